from pathlib import Path

import pytest
import torch
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.harness.model import batches_of_tokens, load_harness_model
from rlgen_k8s.lm.harness.score import score
from rlgen_k8s.lm.harness.scores import scores
from rlgen_k8s.lm.harness.tasks import load_tasks
from rlgen_k8s.lm.middle import edit_residual

TASKS = ("openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge", "logiqa", "piqa")


def test_outcomes_are_those_of_log_likelihoods_computed_directly(mirror: Path, model_folder: Path, tmp_path: Path):
    tasks = load_tasks(["openbookqa"], mirror, tmp_path)
    samples = score(load_harness_model(model_folder, tokens_per_batch=300), tasks, docs={"openbookqa": range(5)})
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder)
    for sample, doc in zip(samples, tasks["openbookqa"].eval_docs, strict=False):
        found = []
        for option in doc["choices"]["text"]:
            context = tokenizer(doc["question_stem"])["input_ids"]
            ids = torch.tensor([tokenizer(f"{doc['question_stem']} {option}")["input_ids"]])
            with torch.no_grad():
                log_p = model(ids).logits[0].log_softmax(-1)
            found.append(sum(float(log_p[i - 1, ids[0, i]]) for i in range(len(context), ids.shape[1])))
        assert sample.loglikelihoods == pytest.approx(found, abs=1e-4)
        right = doc["choices"]["label"].index(doc["answerKey"])
        assert sample.outcome == float(found.index(max(found)) == right)
        assert sample.choice == found.index(max(found))
        assert sample.gold == doc["choices"]["text"][right]
        assert sample.prompt == doc["question_stem"]


def test_all_tasks_agree_with_the_harness_own_model(mirror: Path, model_folder: Path, tmp_path: Path):
    tasks = load_tasks(TASKS, mirror, tmp_path)
    samples = score(load_harness_model(model_folder, tokens_per_batch=200), tasks)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder)
    stock = evaluate(HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3), {"tasks": tasks}, bootstrap_iters=1)
    figures = scores(samples)
    for task in TASKS:
        theirs = [[answer[0] for answer in entry["filtered_resps"]] for entry in stock["samples"][task]]
        ours = [sample.loglikelihoods for sample in samples if sample.task == task]
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, abs=1e-4)
        assert figures[task].mean == pytest.approx(stock["results"][task]["acc,none"], rel=1e-12)
        assert figures[task].stderr == pytest.approx(stock["results"][task]["acc_stderr,none"], rel=1e-12)
        if "acc_norm,none" in stock["results"][task]:
            assert figures[task].mean_normalized == pytest.approx(stock["results"][task]["acc_norm,none"], rel=1e-12)
    assert {task: figures[task].chance for task in ("piqa", "commonsense_qa", "sciq")} == pytest.approx(
        {"piqa": 0.5, "commonsense_qa": 0.2, "sciq": 0.25}
    )


def test_chosen_samples_keep_their_ids_in_whatever_order_they_are_asked(
    mirror: Path, model_folder: Path, tmp_path: Path
):
    tasks = load_tasks(["openbookqa"], mirror, tmp_path)
    model = load_harness_model(model_folder, tokens_per_batch=300)
    everything = score(model, tasks)
    some = score(model, tasks, docs={"openbookqa": [7, 2, 5]})
    assert [sample.doc_id for sample in some] == [2, 5, 7]
    for sample in some:
        assert sample.prompt == everything[sample.doc_id].prompt
        assert sample.loglikelihoods == pytest.approx(everything[sample.doc_id].loglikelihoods, abs=1e-4)


def test_a_hook_that_changes_nothing_changes_no_bit(mirror: Path, model_folder: Path, tmp_path: Path):
    tasks = load_tasks(["openbookqa", "piqa"], mirror, tmp_path)
    model = load_harness_model(model_folder, tokens_per_batch=300)
    plain = score(model, tasks)
    with edit_residual(model.model, lambda stream: stream):
        hooked = score(model, tasks)
    with edit_residual(model.model, lambda stream: stream + 1.0):
        moved = score(model, tasks)
    assert hooked == plain
    assert all(a.loglikelihoods != b.loglikelihoods for a, b in zip(moved, plain, strict=True))


def test_batches_hold_every_input_once_and_no_more_tokens_than_allowed():
    inputs = [tuple(range(n)) for n in (90, 31, 30, 30, 9, 8, 7, 1)]
    batches = list(batches_of_tokens(inputs, 62))
    assert [item for batch in batches for item in batch] == inputs
    assert all(len(batch) == 1 or len(batch[0]) * len(batch) <= 62 for batch in batches)
    assert len(batches) == 4


def test_a_mirror_without_a_tasks_data_is_named(tmp_path: Path):
    (tmp_path / "mirror").mkdir()
    with pytest.raises(UserError, match=r"task piqa: .*baber/piqa.*add its data set to the mirror"):
        load_tasks(["piqa"], tmp_path / "mirror", tmp_path)
