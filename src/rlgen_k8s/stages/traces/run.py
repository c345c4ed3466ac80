"""A teacher's chains of thought for the problems, those with the right answer kept (docs/study.md, SFT targets)."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.answers import is_right
from rlgen_k8s.lm.engines import load_engine
from rlgen_k8s.lm.generate import Sampling
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.traces.files import Counts, trace, write
from rlgen_k8s.stages.traces.rejection import Problem, Sample, Sampled, Shard, sample_until_right
from rlgen_k8s.stages.traces.settings import TracesSettings


def run(context: Context[TracesSettings]) -> None:
    """Write `traces.jsonl`, `dataset_info.json` (LLaMA-Factory's index of it) and `traces.json` (what was rejected)."""
    settings = context.settings
    everything, shard = read_problems(context.inputs["problems"]), Shard(settings.shard, settings.shards)
    problems = shard.of(everything, settings.resume_problems)

    def on_response(done: Sampled, more: int) -> None:
        context.progress(done.samples + more, done.samples + pending(problems, done, settings.max_tries))

    def on_chunk(done: Sampled) -> None:
        on_response(done, 0)
        context.metrics({"acceptance_rate": len(done.kept) / done.samples, "kept": len(done.kept)}, done.samples)

    done = sample_until_right(
        everything,
        teacher(context),
        is_right,
        max_tries=settings.max_tries,
        chunk=settings.resume_problems,
        shard=shard,
        resume=context.resume,
        scratch=context.scratch,
        on_chunk=on_chunk,
        on_response=on_response,
    )
    if not done.kept:
        raise UserError(
            f"teacher {context.inputs['teacher']}: none of its {done.samples} responses to {len(problems)} problems "
            "ends in the right answer; use a stronger teacher, or raise max_new_tokens or max_tries"
        )
    context.metrics(write_kept(context.out, problems, done).metrics, None)


def read_problems(folder: Path) -> list[Problem]:
    """The problems in a result of the stage `problems`."""
    table = pd.read_parquet(folder / "problems.parquet", columns=["id", "problem", "answer"])
    return [Problem(*row) for row in table.itertuples(index=False)]


def teacher(context: Context[TracesSettings]) -> Sample:
    """One response of the teacher to each problem; None where the length limit cut it. Its speed is a metric."""
    settings = context.settings
    respond = load_engine(settings.engine, context.inputs["teacher"], batch_size=settings.batch_size)
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k, settings.max_new_tokens)

    def sample(problems: list[Problem], number: int, tell: Callable[[int], None]) -> list[str | None]:
        began = time.perf_counter()
        seed = settings.seed * 1_000_003 + number
        texts = [problem.text for problem in problems]
        responses = respond(texts, sampling, seed=seed, on_batch=lambda done, total: tell(done))
        written = sum(response.tokens for response in responses)
        context.metrics({"tokens_per_second": written / (time.perf_counter() - began)}, number)
        return [response.text.strip() if response.finished else None for response in responses]

    return sample


def pending(problems: list[Problem], done: Sampled, max_tries: int) -> int:
    """Samples that may still be needed, if each is wrong."""
    return sum(max_tries - done.tries.get(problem.id, 0) for problem in problems if problem.id not in done.kept)


def write_kept(out: Path, problems: list[Problem], done: Sampled) -> Counts:
    """The result's files; traces in the order of the problems."""
    kept = [problem for problem in problems if problem.id in done.kept]
    counts = Counts(len(problems), done.samples, Counter(done.tries[problem.id] for problem in kept))
    write(out, (trace(problem, done.kept[problem.id]) for problem in kept), counts)
    return counts
