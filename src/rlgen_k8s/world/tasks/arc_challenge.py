"""arc_challenge: compare sizes that were only ever told in pairs (order, transitivity)."""

import random

from rlgen_k8s.world.facts import World
from rlgen_k8s.world.tasks.item import LETTERS, Item

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """One animal beyond a given one among three that are not."""
    size = world.animals.index
    while True:
        subject, *others = rng.sample(world.animals, 12)
        word = rng.choice(("larger", "smaller"))
        beyond = [one for one in others if (size(one) > size(subject)) == (word == "larger")]
        short = [one for one in others if one not in beyond]
        if beyond and len(short) >= 3:
            options = [beyond[0], *short[:3]]
            rng.shuffle(options)
            question = f"Which is {word} than the {subject}?"
            return Item(question, tuple(options), options.index(beyond[0]), subject=subject)


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    choices = {"text": list(item.options), "label": list(LETTERS[:4])}
    return {"id": str(number), "question": item.question, "choices": choices, "answerKey": item.letter}


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"Question: {item.question}\nAnswer: {item.right}"
