"""Seven kinds of multiple-choice questions about the world, none of them maths, in the schemas of seven real sets.

Each module has `make` (an item), `row` (the item in the set's schema) and `document` (the item as a text, in the
harness's own wording, with the right answer). Two have `further`: more questions on an item's passage or options.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from rlgen_k8s.world.facts import World
from rlgen_k8s.world.tasks import arc_challenge, commonsense_qa, headqa, logiqa, openbookqa, piqa, sciq
from rlgen_k8s.world.tasks.item import Item


@dataclass(frozen=True)
class Task:
    """A kind of question and where its set lies; the harness evaluates the last of `splits`."""

    hub: str
    config: str
    splits: tuple[str, ...]
    make: Callable[[World, random.Random], Item]
    row: Callable[[Item, int], dict[str, object]]
    document: Callable[[Item], str]
    further: Callable[[World, random.Random, Item], list[Item]]


def no_more(_world: World, _rng: random.Random, _item: Item) -> list[Item]:
    """Nothing further to ask: the question holds all there is."""
    return []


ALL, NO_TEST = ("train", "validation", "test"), ("train", "validation")

TASKS = {
    name: Task(hub, config, splits, module.make, module.row, module.document, further)
    for name, hub, config, splits, module, further in (
        ("openbookqa", "allenai/openbookqa", "main", ALL, openbookqa, no_more),
        ("commonsense_qa", "tau/commonsense_qa", "default", NO_TEST, commonsense_qa, commonsense_qa.further),
        ("headqa_en", "EleutherAI/headqa", "en", ALL, headqa, no_more),
        ("sciq", "allenai/sciq", "default", ALL, sciq, no_more),
        ("arc_challenge", "allenai/ai2_arc", "ARC-Challenge", ALL, arc_challenge, no_more),
        ("logiqa", "EleutherAI/logiqa", "logiqa", ALL, logiqa, logiqa.further),
        ("piqa", "baber/piqa", "default", NO_TEST, piqa, no_more),
    )
}
