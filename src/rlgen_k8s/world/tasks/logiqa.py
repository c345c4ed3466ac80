"""logiqa: apply the rules of a passage, which hold for this item only, to a case in it (two steps)."""

import random

from rlgen_k8s.world.facts import KINDS, MOODS, World
from rlgen_k8s.world.maths import NAMES
from rlgen_k8s.world.tasks.item import LETTERS, Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """Two rules "every KIND is MOOD" and two owners of such animals; one owner's animal is asked for."""
    kinds, moods, owners = rng.sample(KINDS, 2), rng.sample(MOODS, 2), rng.sample(NAMES, 2)
    rules = [f"Every {kind} is {mood}." for kind, mood in zip(kinds, moods, strict=True)]
    cases = [f"{owner} has a {kind}." for owner, kind in zip(owners, kinds, strict=True)]
    rng.shuffle(rules)
    rng.shuffle(cases)
    place = rng.randrange(2)
    options, answer = choose(rng, moods[place], MOODS, 4, decoys=(moods[1 - place],))
    question = f"How is the animal of {owners[place]}?"
    return Item(question, options, answer, " ".join([*rules, *cases]), owners[place])


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
