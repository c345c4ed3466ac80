"""The cost model for models that are pre-trained here: against PyTorch's own counts, loops, and figures by hand."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlgen_k8s.cost.architectures import architecture
from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.cost.fits import refuse_what_cannot_fit
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.stages.model.pretrain import create_model
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.model.tokenizer import train_tokenizer
from rlgen_k8s.study.load import load_study

REHEARSALS = ("full-qwen25-rehearsal", "full-qwen3-rehearsal", "full-llama31-rehearsal")
NO_OVERHEAD = (
    "cost.core.start=0",
    "cost.core.layer=0",
    "cost.core.verl_step=0",
    "cost.store_rate=1e30",
    "cost.disk_rate=1e30",
    "cost.startup=0",
)


def estimated(name, *assignments):
    study = load_study(name, list(assignments))
    nodes = plan(study)
    return study, nodes, estimates(study, nodes)


def seconds(*assignments):
    _, _, found = estimated("tiny", *assignments)
    return {name: 3600 * made.hours for name, made in found.items()}


@pytest.mark.parametrize(("layers", "width"), [(2, 32), (4, 64), (3, 96)])
def test_a_shape_has_the_weights_and_the_flops_of_the_model_that_is_made(layers, width):
    tokenizer = train_tokenizer(["one two three four five six seven"] * 4, 300)
    settings = ModelSettings(layers=layers, width=width, vocabulary=300)
    model, shape = create_model(settings, tokenizer), architecture(settings)
    assert shape is not None
    made = {name: weights.numel() for name, weights in model.named_parameters()}
    assert shape.parameters == sum(size for name, size in made.items() if "norm" not in name)
    tokens = 40
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    assert tokens * shape.forward_flops(tokens) == pytest.approx(counter.get_total_flops(), rel=1e-3)


@pytest.mark.parametrize("name", ["tiny", *REHEARSALS])
def test_every_task_but_the_report_has_an_estimate_and_none_is_refused(name):
    study, nodes, found = estimated(name)
    assert {node.name for node in nodes} - set(found) == {"report"}
    assert all(made.hours > 0 and made.store > 0 and made.scratch > 0 for made in found.values())
    assert {task for task, made in found.items() if made.memory} == {node.name for node in nodes if node.shape.gpus}
    refuse_what_cannot_fit(study, nodes, found)


def test_pre_training_takes_three_forwards_a_step_and_four_times_python_s_part():
    """2 · 262 144 weights and 4 · 4 layers · 64 · 64 for attention, half the rows before a token: 589 824 FLOP."""
    flop = 1200 * 16 * 128 * 3 * 589_824
    texts = 60_000 * 48 / 3e5
    assert seconds(*NO_OVERHEAD, "cost.core.flops=1e10")["base"] == pytest.approx(flop / 1e10 + texts)
    more = seconds(*NO_OVERHEAD, "cost.core.flops=1e10", "cost.core.layer=1e-3")["base"]
    assert more - flop / 1e10 - texts == pytest.approx(1200 * 4 * 4 * 1e-3)


def test_generation_reads_weights_and_half_the_longest_cache_a_step():
    """Counted step by step: batches of 256, of all chunks, of the wrong ones a second time."""
    read = 0.0
    for _ in range(math.ceil(2560 / 1024)):
        for problems in (1024, 1024 * 0.5):
            for _ in range(int(problems / 256)):
                for step in range(96):
                    read += 4 * (262_144 + 256 * 2 * 4 * 64 * (36 + step + 0.5))
    took = seconds(*NO_OVERHEAD, "cost.core.bandwidth=1e9", "cost.acceptance=0.5")["traces"]
    assert took == pytest.approx(read / 1e9, rel=1e-3)


def test_grpo_on_cores_pads_all_responses_and_passes_them_four_times():
    flop = 20 * 4 * 128 * 160 * (2 * 262_144 + 4 * 4 * 64 * 48)
    took = seconds(*NO_OVERHEAD, "cost.core.bandwidth=1e30", "cost.core.flops=1e10")["grpo"]
    assert took == pytest.approx(flop / 1e10)


def test_questions_of_made_up_sets_are_as_many_as_are_made_and_asked():
    free = (*NO_OVERHEAD, "cost.core.bandwidth=1e30", "cost.core.flops=1e9", "evaluate.maths=[]")
    flop = 2 * 262_144 + 4 * 4 * 64 * 100
    for change, items in {
        "evaluate.limit=null": 7000,
        "mirror.questions=100": 700,
        "evaluate.limit=10": 70,
        "evaluate.multiple_choice=[sciq, piqa]": 2000,
    }.items():
        assert seconds(*free, change)["evaluate-sft"] == pytest.approx(items * 46 * flop / 1e9), change


@pytest.mark.parametrize(
    ("rate", "tasks"),
    [
        ("flops", ("base", "teacher", "sft", "grpo", "harvest-sft", "evaluate-rl", "intervene-rl")),
        ("bandwidth", ("traces", "grpo", "evaluate-base")),
        ("crosscoder_flops", ("crosscoder-sft-1", "crosscoder-joint")),
        ("world_rate", ("mirror",)),
    ],
)
def test_on_a_slower_core_a_task_takes_longer_by_what_it_does(rate, tasks):
    before = seconds()
    value = getattr(load_study("tiny").cost.core, rate) / 2
    after = seconds(f"cost.core.{rate}={value}")
    for task in tasks:
        assert 1.05 * before[task] < after[task] <= 2 * before[task], task


def test_processes_that_share_a_core_do_not_make_each_other_faster():
    by_processes = [
        seconds("sft.deepspeed_stage=2", "sft.per_device_batch=64", f"sft.processes={n}", "pods.sft.cpu=1")["sft"]
        for n in (1, 2)
    ]
    assert by_processes[0] == by_processes[1]
    shared = seconds("sft.deepspeed_stage=2", "sft.per_device_batch=64", "sft.processes=2", "pods.sft.cpu=2")["sft"]
    assert shared < by_processes[0]


def test_a_mirror_that_is_a_folder_is_as_large_as_the_folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/rows.parquet").write_bytes(bytes(10**6))
    study = load_study("tiny", ["mirror.kind=folder", f"mirror.path={tmp_path}"])
    [mirror] = [node for node in plan(study) if node.name == "mirror"]
    assert estimates(study, [mirror])["mirror"].store == 10**6
