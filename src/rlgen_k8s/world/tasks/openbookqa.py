"""openbookqa: finish the sentence, from facts that are not given. A cover follows from the kind (two steps)."""

import random

from rlgen_k8s.world.facts import COVERS, FOODS, HOMES, KINDS, World
from rlgen_k8s.world.tasks.item import LETTERS, Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """A sentence about an animal, without its last word."""
    animal = rng.choice(world.animals)
    stem, right, pool = rng.choice(
        (
            ("is covered with", world.cover[world.kind[animal]], COVERS),
            ("is covered with", world.cover[world.kind[animal]], COVERS),
            ("is a", world.kind[animal], KINDS),
            ("lives in the", world.home[animal], HOMES),
            ("eats", world.food[animal], FOODS),
        )
    )
    options, answer = choose(rng, right, pool, 4)
    start = rng.choice(("The {}", "A young {}", "An old {}", "Everyone knows that the {}", "As a rule the {}"))
    return Item(f"{start.format(animal)} {stem}", options, answer, subject=animal)


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    choices = {"text": list(item.options), "label": list(LETTERS[:4])}
    return {"id": str(number), "question_stem": item.question, "choices": choices, "answerKey": item.letter}


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"{item.question} {item.right}"
