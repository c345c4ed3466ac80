"""logiqa: of two animals and their kinds, how is one by the rule for its kind, which is not given (two steps)?"""

import random
from dataclasses import replace

from rlgen_k8s.world.facts import MOODS, World
from rlgen_k8s.world.tasks.item import LETTERS, Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """Two animals of different kinds; one is asked for, and the other's mood is among the options."""
    while True:
        subject, other = rng.choice(world.animals), world.often(rng, world.animals)
        if world.kind[subject] != world.kind[other]:
            break
    told = [f"The {animal} is a {world.kind[animal]}." for animal in (subject, other)]
    rng.shuffle(told)
    right, decoy = world.mood[world.kind[subject]], world.mood[world.kind[other]]
    options, answer = choose(rng, right, MOODS, 4, decoys=(decoy,))
    return Item(f"How is the {subject}?", options, answer, " ".join(told), subject)


def further(world: World, rng: random.Random, item: Item) -> list[Item]:
    """The same question about the other animal; its mood is among the options as well."""
    (other,) = (animal for animal in world.animals if f"The {animal} is" in item.passage and animal != item.subject)
    right = world.mood[world.kind[other]]
    return [replace(item, question=f"How is the {other}?", answer=item.options.index(right), subject=other)]


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    return {
        "label": item.letter.lower(),
        "context": item.passage,
        "question": item.question,
        "options": list(item.options),
    }


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False))
    return f"Passage: {item.passage}\nQuestion: {item.question}\nChoices:\n{lines}\nAnswer: {item.right}"
