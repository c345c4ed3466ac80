"""piqa: which of two ways works? The tool follows from what the thing is made of (two steps)."""

import random

from rlgen_k8s.world.facts import TOOLS, World
from rlgen_k8s.world.maths import NAMES
from rlgen_k8s.world.tasks.item import Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """A person with two things works one of them; the other tool is the one for the other thing, if that differs."""
    name, (thing, other) = rng.choice(NAMES), rng.sample(list(world.material), 2)
    things = f"{thing} and a {other}" if rng.random() < 0.5 else f"{other} and a {thing}"
    goal = f"{name} has a {things}. How does {name} {rng.choice(('mend', 'shape', 'open'))} the {thing}?"
    right, decoy = world.tool[world.material[thing]], world.tool[world.material[other]]
    options, answer = choose(rng, right, TOOLS, 2, decoys=() if decoy == right else (decoy,))
    return Item(goal, tuple(f"With the {tool}." for tool in options), answer, subject=thing)


def row(item: Item, number: int) -> Row:
    """The item as the data set has it."""
    return {"goal": item.question, "sol1": item.options[0], "sol2": item.options[1], "label": item.answer}


def document(item: Item) -> str:
    """The harness's prompt with the right answer."""
    return f"Question: {item.question}\nAnswer: {item.right}"
