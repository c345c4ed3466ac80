"""What the run was made of: its data in a few figures, and all its settings."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rlgen_k8s.stages.report.inputs import Run


def data_facts(run: Run) -> list[tuple[str, str]]:
    """Counts of problems, traces, corpus and activations, as label and text."""
    problems, traces, corpus = run.problems, run.traces, run.corpus
    by_source = ", ".join(f"{count:,} {source}" for source, count in problems["by_source"].items())
    dropped = ", ".join(f"{count:,} {why}" for why, count in problems["dropped"].items()) or "none"
    facts = [
        ("Problems", f"{problems['problems']:,} ({by_source}); dropped: {dropped}"),
        (
            "Traces",
            f"{traces['accepted']:,} right of {traces['sampled']:,} sampled ({100 * traces['rate']:.0f} %); "
            f"{traces['given_up']:,} problems without a right one",
        ),
    ]
    for shard, counts in corpus["sequences"].items():
        sources = ", ".join(f"{count:,} {source}" for source, count in counts.items())
        facts.append((f"Corpus, {shard}", f"sequences of {corpus['length']} tokens: {sources}"))
    joint = run.crosscoders["joint"]
    scales = ", ".join(f"{model} {measures['scale']:.4g}" for model, measures in joint["models"].items())
    facts.append(
        (
            "Activations",
            f"layer {joint['layer']}, width {joint['width']}, {joint['train_tokens']:,} + "
            f"{joint['evaluation_tokens']:,} tokens, {joint['dtype']}; scales to E‖x‖ = √d: {scales}",
        )
    )
    return facts


def settings_by_stage(text: str) -> dict[str, list[tuple[str, str]]]:
    """The study's settings as (name, value) under each stage; those of the study itself under "study"."""
    sections: dict[str, list[tuple[str, str]]] = {"study": []}
    for key, value in json.loads(text).items():
        if isinstance(value, dict):
            sections[key] = list(_flat(value))
        else:
            sections["study"].append((key, _text(value)))
    return {name: rows for name, rows in sections.items() if rows}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
