"""Seven kinds of multiple-choice questions about the world, none of them maths, in the schemas of seven real sets.

Each module has `make` (an item), `row` (the item in the set's schema) and `document` (the item as a text, in the
harness's own wording, with the right answer).
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


ALL, NO_TEST = ("train", "validation", "test"), ("train", "validation")

TASKS = {
    name: Task(hub, config, splits, module.make, module.row, module.document)
    for name, hub, config, splits, module in (
        ("openbookqa", "allenai/openbookqa", "main", ALL, openbookqa),
        ("commonsense_qa", "tau/commonsense_qa", "default", NO_TEST, commonsense_qa),
        ("headqa_en", "EleutherAI/headqa", "en", ALL, headqa),
        ("sciq", "allenai/sciq", "default", ALL, sciq),
        ("arc_challenge", "allenai/ai2_arc", "ARC-Challenge", ALL, arc_challenge),
        ("logiqa", "EleutherAI/logiqa", "logiqa", ALL, logiqa),
        ("piqa", "baber/piqa", "default", NO_TEST, piqa),
    )
}
