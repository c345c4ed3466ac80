"""arc_challenge: compare sizes that were only ever told in pairs (order, transitivity), with one bound or two."""

import random

from rlgen_k8s.world.facts import World
from rlgen_k8s.world.tasks.item import LETTERS, Item, choose

Row = dict[str, object]
Bounds = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""The animal asked about, the question, the animals that are right, and those that are wrong."""
NEAR = 14
"""How far from a bound an option may be, in ranks of size: animals far apart are told apart too easily."""


def make(world: World, rng: random.Random) -> Item:
    """An animal within the bounds among three that are not."""
    bounds = beyond_one if rng.random() < 0.5 else between_two
    while True:
        subject, question, inside, outside = bounds(world.animals, rng)
        if inside and len(outside) >= 3:
            options, answer = choose(rng, rng.choice(inside), outside, 4)
            return Item(question, options, answer, subject=subject)


def beyond_one(animals: tuple[str, ...], rng: random.Random) -> Bounds:
    """Larger, or smaller, than one animal."""
    place = rng.randrange(len(animals))
    below, above = animals[max(0, place - NEAR) : place], animals[place + 1 : place + 1 + NEAR]
    word, inside, outside = rng.choice((("larger", above, below), ("smaller", below, above)))
    return animals[place], f"Which is {word} than the {animals[place]}?", inside, outside


def between_two(animals: tuple[str, ...], rng: random.Random) -> Bounds:
    """Larger than one animal and smaller than another."""
    low, high = sorted(rng.sample(range(len(animals)), 2))
    inside = animals[low + 1 : high]
    outside = animals[max(0, low - NEAR) : low] + animals[high + 1 : high + 1 + NEAR]
    question = f"Which is larger than the {animals[low]} but smaller than the {animals[high]}?"
    return animals[low], question, inside, outside


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    choices = {"text": list(item.options), "label": list(LETTERS[:4])}
    return {"id": str(number), "question": item.question, "choices": choices, "answerKey": item.letter}


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"Question: {item.question}\nAnswer: {item.right}"
