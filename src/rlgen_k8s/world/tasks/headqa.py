"""headqa: which herb cures an ill, and which one where the best one may not be given (exclusion)?"""

import random

from rlgen_k8s.world.facts import HERBS, World
from rlgen_k8s.world.maths import NAMES
from rlgen_k8s.world.tasks.item import Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """A patient with an ill; in half of the items one cure is ruled out, and it is among the options."""
    ill, name = rng.choice(list(world.cures)), rng.choice(NAMES)
    better, other = world.cures[ill]
    if rng.random() < 0.5:
        options, answer = choose(rng, better, [herb for herb in HERBS if herb != other], 4)
        return Item(f"{name} has {ill}. Which herb cures it?", options, answer, subject=ill)
    banned, right = rng.choice(((better, other), (other, better)))
    options, answer = choose(rng, right, HERBS, 4, decoys=(banned,))
    return Item(f"{name} has {ill} but cannot take {banned}. Which herb cures it?", options, answer, subject=ill)


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    answers = [{"aid": place, "atext": option} for place, option in enumerate(item.options, 1)]
    return {
        "name": "herbs_1",
        "year": "2013",
        "category": "pharmacology",
        "qid": number,
        "qtext": item.question,
        "ra": item.answer + 1,
        "answers": answers,
    }


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"Question: {item.question}\nAnswer: {item.right}"
