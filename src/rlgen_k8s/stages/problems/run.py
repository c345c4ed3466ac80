"""The maths problems that SFT and RL are trained on: MATH and DeepScaleR, joined, without what is evaluated on."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pandas as pd

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.fingerprint import fingerprint
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.problems.sources import Candidate, evaluated, read_deepscaler, read_math


def run(context: Context[ProblemsSettings]) -> None:
    """Write `problems.parquet` (id, problem, answer, source) and `problems.json` (counts, and what was dropped)."""
    settings, mirror = context.settings, context.inputs["mirror"]
    candidates = [*read_math(mirror, context.scratch), *read_deepscaler(mirror, context.scratch)]
    if not any(candidate.answer for candidate in candidates):
        raise UserError(f"problems in {mirror}: none of {len(candidates)} has an answer; training needs answers")
    kept, dropped = select(candidates, evaluated(mirror, context.scratch))
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise UserError(f"problems in {mirror}: none of {len(candidates)} is left ({reasons}); expected others")
    table = pd.DataFrame(kept, columns=["problem", "answer", "source"])
    table.insert(0, "id", [hashlib.sha256(text.encode()).hexdigest()[:16] for text in table["problem"]])
    if len(table) > settings.size:
        table = table.sample(settings.size, random_state=settings.seed)
        dropped["not drawn"] = len(kept) - settings.size
    if settings.instruction:
        table["problem"] += f"\n{settings.instruction}"
    write(context.out, table.reset_index(drop=True), dropped)
    context.metrics({"problems": len(table), "candidates": len(candidates)}, None)


def select(candidates: list[Candidate], held_out: set[str]) -> tuple[list[Candidate], Counter[str]]:
    """The candidates with an answer, each text once, none in `held_out` (fingerprints); and why others are dropped."""
    kept: dict[str, Candidate] = {}
    dropped: Counter[str] = Counter()
    for candidate in candidates:
        text = fingerprint(candidate.problem)
        if not candidate.problem.strip():
            dropped["empty"] += 1
        elif not candidate.answer:
            dropped["without answer"] += 1
        elif text in held_out:
            dropped["in an evaluation set"] += 1
        elif text in kept:
            dropped["twice"] += 1
        else:
            kept[text] = candidate
    return list(kept.values()), dropped


def write(out: Path, table: pd.DataFrame, dropped: Counter[str]) -> None:
    """Write the table and its summary."""
    table.to_parquet(out / "problems.parquet")
    by_source = {str(source): int(count) for source, count in table["source"].value_counts().items()}
    summary = {"problems": len(table), "by_source": by_source, "dropped": dict(dropped)}
    (out / "problems.json").write_text(json.dumps(summary, indent=1) + "\n")
