"""sciq: read a passage that holds for this item only; who does, and who does not, what it says (look-up, negation)?"""

import random

from rlgen_k8s.world.facts import FOODS, HOMES, KINDS, World
from rlgen_k8s.world.tasks.item import Item, choose

Row = dict[str, object]


def make(world: World, rng: random.Random) -> Item:
    """Three animals seen in a new country; what they do there has nothing to do with what they do at home."""
    verb, pool, about_one, about_none = rng.choice(
        (
            ("ate", FOODS, "What did the {} eat?", "What did no animal eat?"),
            ("went to the", HOMES, "Where did the {} go?", "Where did no animal go?"),
        )
    )
    animals, values = rng.sample(KINDS, 3), rng.sample(pool, 3)
    passage = " ".join(f"The {animal} {verb} {value}." for animal, value in zip(animals, values, strict=True))
    if rng.random() < 0.5:
        place = rng.randrange(3)
        decoys = [value for value in values if value != values[place]]
        options, answer = choose(rng, values[place], pool, 4, decoys=decoys)
        return Item(about_one.format(animals[place]), options, answer, passage, animals[place])
    stranger = rng.choice([value for value in pool if value not in values])
    options, answer = choose(rng, stranger, pool, 4, decoys=values)
    return Item(about_none, options, answer, passage, animals[0])


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
