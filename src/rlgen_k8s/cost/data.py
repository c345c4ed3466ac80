"""How large the data are, before any of them is there: the real sets by their cards, made-up ones by their settings."""

from collections.abc import Iterable
from pathlib import Path

from rlgen_k8s.lm.harness.names import MultipleChoiceTask
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.study.settings import Study

MIRROR_BYTES = 5e9
"""All sets as parquet: 1.1 GB of OpenThoughts (its card), 2 to 4 GB of RedPajama's 1 B tokens, the others are small."""
ITEMS: dict[MultipleChoiceTask, int] = {
    "openbookqa": 500,
    "commonsense_qa": 1221,
    "headqa_en": 2742,
    "sciq": 1000,
    "arc_challenge": 1172,
    "logiqa": 651,
    "piqa": 1838,
}
"""Of the split that is evaluated, by the sets' cards."""
ITEM_TOKENS = 4.2 * 100
"""All options of an item: options, tokens of one with the question."""
SAMPLES_BYTES = 1e8
"""Of an evaluation, prompts and responses."""

# Of the made-up sets, counted in the tiny study's.
WORLD_ROW_BYTES = 50
WORLD_ITEM_TOKENS = 46
WORLD_ITEM_BYTES = 50
WORLD_TEXT_TOKENS = {"rlgen/tiny-pretraining": 48, "rlgen/tiny-teaching": 81}


def world_rows(settings: MirrorSettings) -> int:
    """Rows of all made-up sets but the few of fixed size."""
    texts = settings.conversations + settings.pages + settings.pretraining + settings.teaching
    return 2 * settings.problems + 2 * settings.math500 + len(ITEMS) * settings.questions + texts


def mirror_bytes(settings: MirrorSettings) -> float:
    """Bytes of all sets; of a folder, those that it has on this machine."""
    if settings.kind == "world":
        return WORLD_ROW_BYTES * world_rows(settings)
    if settings.path is not None:
        return sum(path.stat().st_size for path in Path(settings.path).rglob("*") if path.is_file())
    return MIRROR_BYTES


def choice_tokens(settings: MirrorSettings, tasks: Iterable[MultipleChoiceTask], limit: int | None) -> float:
    """Tokens of all options of so many items of each of `tasks`, or of all items."""
    world = settings.kind == "world"
    sizes = [settings.questions if world else ITEMS[task] for task in tasks]
    items = sum(size if limit is None else min(size, limit) for size in sizes)
    return items * (WORLD_ITEM_TOKENS if world else ITEM_TOKENS)


def samples_bytes(study: Study) -> float:
    """Of an evaluation's samples, all shards."""
    world = study.mirror.kind == "world"
    return WORLD_ITEM_BYTES * len(ITEMS) * study.mirror.questions if world else SAMPLES_BYTES


def pretraining_tokens(model: ModelSettings, mirror: MirrorSettings) -> float:
    """Tokens of the texts that a model is pre-trained on, of those that are made up."""
    rows = {"rlgen/tiny-pretraining": mirror.pretraining, "rlgen/tiny-teaching": mirror.teaching}
    return sum(rows[name] * WORLD_TEXT_TOKENS[name] for name in model.text if name in rows)
