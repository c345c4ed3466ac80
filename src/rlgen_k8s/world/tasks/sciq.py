"""sciq: a passage about an animal; what follows from its kind by a rule that is not given (two steps)?"""

import random

from rlgen_k8s.world.facts import BEDS, World
from rlgen_k8s.world.maths import NAMES
from rlgen_k8s.world.tasks.item import Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """A person's animal; half of the passages tell its kind, the others leave that to be known."""
    animal, name = rng.choice(world.animals), rng.choice(NAMES)
    known = f"is a {world.kind[animal]}" if rng.random() < 0.5 else f"eats {world.food[animal]}"
    told = [f"The {animal} {known}.", f"The {animal} lives in the {world.home[animal]}."]
    rng.shuffle(told)
    options, answer = choose(rng, world.bed[world.kind[animal]], BEDS, 4)
    passage = " ".join([f"{name} has a {animal}.", *told])
    return Item(f"What does the {animal} sleep on?", options, answer, passage, animal)


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    wrong = [option for option in item.options if option != item.right]
    return {
        "question": item.question,
        "distractor3": wrong[2],
        "distractor1": wrong[0],
        "distractor2": wrong[1],
        "correct_answer": item.right,
        "support": item.passage,
    }


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"{item.passage}\nQuestion: {item.question}\nAnswer: {item.right}"
