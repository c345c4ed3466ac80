"""commonsense_qa: where is a tool (one step), or the tool that a trade needs (two steps)? Answered by letter."""

import random
from dataclasses import replace

from rlgen_k8s.world.facts import ROOMS, World
from rlgen_k8s.world.maths import NAMES
from rlgen_k8s.world.tasks.item import LETTERS, Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """A person looks for a tool."""
    name = rng.choice(NAMES)
    if rng.random() < 0.5:
        subject = rng.choice(list(world.room))
        question, right = f"Where does {name} look for the {subject}?", world.room[subject]
    else:
        subject = rng.choice(list(world.needs))
        question, right = f"{name} is a {subject}. Where is the tool for it?", world.room[world.needs[subject]]
    options = tuple(sorted(choose(rng, right, ROOMS, 5)[0]))
    return Item(question, options, options.index(right), subject=subject)


def further(world: World, rng: random.Random, item: Item) -> list[Item]:
    """Other questions with the same options."""
    others = (make(world, rng) for _ in range(12))
    return [
        replace(other, options=item.options, answer=item.options.index(other.right))
        for other in others
        if other.right in item.options
    ]


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    choices = {"label": list(LETTERS), "text": list(item.options)}
    return {
        "id": str(number),
        "question": item.question,
        "question_concept": item.subject,
        "choices": choices,
        "answerKey": item.letter,
    }


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=True))
    return f"Question: {item.question}\n{lines}\nAnswer: {item.letter}"
