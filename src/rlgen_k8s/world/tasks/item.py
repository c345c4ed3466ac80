"""A multiple-choice question, before it takes the shape of a data set's row."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDE"


@dataclass(frozen=True)
class Item:
    """`options[answer]` is right; `passage` is "" where the task has none; `subject` is the word it is about."""

    question: str
    options: tuple[str, ...]
    answer: int
    passage: str = ""
    subject: str = ""

    @property
    def right(self) -> str:
        """The right option."""
        return self.options[self.answer]

    @property
    def letter(self) -> str:
        """The letter of the right option."""
        return LETTERS[self.answer]

    @property
    def text(self) -> str:
        """What makes this item this item, whatever the order of its options: held out as one."""
        return " | ".join((self.passage, self.question, *sorted(self.options)))


def choose(
    rng: random.Random, right: str, wrong: Sequence[str], count: int, decoys: Sequence[str] = ()
) -> tuple[tuple[str, ...], int]:
    """`count` options in random order, `decoys` surely among them, and the place of the right one."""
    rest = [option for option in wrong if option != right and option not in decoys]
    options = [right, *decoys, *rng.sample(rest, count - 1 - len(decoys))]
    rng.shuffle(options)
    return tuple(options), options.index(right)
