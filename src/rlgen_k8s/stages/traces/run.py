"""A teacher's chains of thought for the problems, those with the right answer kept (docs/study.md, SFT targets)."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.answers import is_right
from rlgen_k8s.lm.generate import Sampling, generate
from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.traces.rejection import Problem, Sampled, sample_until_right
from rlgen_k8s.stages.traces.settings import TracesSettings

DATASET = "traces"


def run(context: Context[TracesSettings]) -> None:
    """Write `traces.jsonl`, `dataset_info.json` (LLaMA-Factory's index of it) and `traces.json` (what was rejected)."""
    settings = context.settings
    problems = read_problems(context.inputs["problems"])

    def on_chunk(done: Sampled) -> None:
        context.progress(done.samples, done.samples + pending(problems, done, settings.max_tries))
        context.metrics({"acceptance_rate": len(done.kept) / done.samples, "kept": len(done.kept)}, done.samples)

    done = sample_until_right(
        problems,
        teacher(context.inputs["teacher"], settings),
        is_right,
        max_tries=settings.max_tries,
        chunk=settings.resume_problems,
        resume=context.resume,
        scratch=context.scratch,
        on_chunk=on_chunk,
    )
    if not done.kept:
        raise UserError(
            f"teacher {context.inputs['teacher']}: none of its {done.samples} responses to {len(problems)} problems "
            "ends in the right answer; use a stronger teacher, or raise max_new_tokens or max_tries"
        )
    write(context.out, problems, done)
    summary = json.loads((context.out / "traces.json").read_text())
    context.metrics({key: summary[key] for key in ("sampled", "accepted", "rate", "problems")}, None)


def read_problems(folder: Path) -> list[Problem]:
    """The problems in a result of the stage `problems`."""
    table = pd.read_parquet(folder / "problems.parquet", columns=["id", "problem", "answer"])
    return [Problem(*row) for row in table.itertuples(index=False)]


def teacher(folder: Path, settings: TracesSettings) -> Callable[[list[Problem], int], list[str | None]]:
    """One response of the model in `folder` to each problem; None where the length limit cut it."""
    tokenizer = load_tokenizer(folder)
    model = load_model(folder)
    if torch.cuda.is_available():
        model.cuda()  # type: ignore[call-arg]
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k, settings.max_new_tokens)

    def sample(problems: list[Problem], number: int) -> list[str | None]:
        texts = [problem.text for problem in problems]
        seed = settings.seed * 1_000_003 + number
        responses = generate(model, tokenizer, texts, sampling, batch_size=settings.batch_size, seed=seed)
        return [response.text.strip() if response.finished else None for response in responses]

    return sample


def pending(problems: list[Problem], done: Sampled, max_tries: int) -> int:
    """Samples that may still be needed, if each is wrong."""
    return sum(max_tries - done.tries.get(problem.id, 0) for problem in problems if problem.id not in done.kept)


def write(out: Path, problems: list[Problem], done: Sampled) -> None:
    """The three files of the result; traces in the order of the problems."""
    with (out / "traces.jsonl").open("w") as file:
        for problem in problems:
            if problem.id in done.kept:
                turns = [("human", problem.text), ("gpt", done.kept[problem.id])]
                record = {"id": problem.id, "conversations": [{"from": who, "value": text} for who, text in turns]}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    info = {DATASET: {"file_name": "traces.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations"}}}
    (out / "dataset_info.json").write_text(json.dumps(info, indent=1))
    summary = {
        "problems": len(problems),
        "sampled": done.samples,
        "accepted": len(done.kept),
        "rate": len(done.kept) / done.samples,
        "tries": dict(sorted(Counter(done.tries[id] for id in done.kept).items())),
        "given_up": len(problems) - len(done.kept),
    }
    (out / "traces.json").write_text(json.dumps(summary, indent=1))
