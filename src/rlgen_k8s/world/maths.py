"""Maths problems in words: one to seven steps of whole-number arithmetic, in five subjects and many wordings.

A problem's level is its number of steps (MATH's levels are 1–5); longer ones stand for the AIME sets.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 99
"""No number in a problem or its solution is larger."""

NAMES = ["Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jon"]
ITEMS = ["apples", "books", "coins", "dolls", "eggs", "forks", "games", "hats"]
LETTERS = "abcdefgh"
GAINS = ("{} finds {}.", "{} gets {} more.", "{} buys {}.")
LOSSES = ("{} loses {}.", "{} sells {}.", "{} gives away {}.")


@dataclass(frozen=True)
class Step:
    """One line of a solution: `expression` has the value `value`."""

    expression: str
    value: int


@dataclass(frozen=True)
class Problem:
    """A problem, its solution in steps, and its final answer (the last step's value)."""

    text: str
    steps: tuple[Step, ...]
    subject: str

    @property
    def answer(self) -> int:
        """The last step's value."""
        return self.steps[-1].value

    @property
    def level(self) -> int:
        """Number of steps, at most 5."""
        return min(5, len(self.steps))


@dataclass(frozen=True)
class Change:
    """What happens to a running value: `kind` add, subtract, times, half or groups, by `amount` (groups of `size`)."""

    kind: str
    amount: int
    size: int = 0

    def apply(self, value: int) -> tuple[Step, ...]:
        """The steps that carry this change out on `value`."""
        if self.kind == "groups":
            first = Step(f"{self.amount}*{self.size}", self.amount * self.size)
            return (first, Step(f"{value}+{first.value}", value + first.value))
        sign, result = {
            "add": ("+", value + self.amount),
            "subtract": ("-", value - self.amount),
            "times": ("*", value * self.amount),
            "half": ("/", value // self.amount),
        }[self.kind]
        return (Step(f"{value}{sign}{self.amount}", result),)


def draw_change(rng: random.Random, value: int, kinds: str) -> Change:
    """A change of one of `kinds` that keeps `value` a whole number within 1 and `LARGEST`."""
    while True:
        kind = rng.choice(kinds.split())
        if kind in ("add", "subtract"):
            change = Change(kind, rng.randint(2, 29))
        elif kind == "times":
            change = Change(kind, rng.choice((2, 2, 3)))
        elif kind == "half":
            change = Change(kind, 2)
        else:
            change = Change(kind, rng.randint(2, 5), rng.randint(2, 9))
        if (kind != "half" or value % 2 == 0) and 1 <= change.apply(value)[-1].value <= LARGEST:
            return change


def walk(rng: random.Random, start: int, length: int, kinds: str) -> list[tuple[Change, tuple[Step, ...]]]:
    """Changes with their steps, `length` steps in all, from the value `start`."""
    walked: list[tuple[Change, tuple[Step, ...]]] = []
    value, left = start, length
    while left > 0:
        change = draw_change(rng, value, kinds)
        steps = change.apply(value)
        if len(steps) <= left:
            walked.append((change, steps))
            value, left = steps[-1].value, left - len(steps)
    return walked


def _steps(walked: list[tuple[Change, tuple[Step, ...]]]) -> tuple[Step, ...]:
    return tuple(step for _, steps in walked for step in steps)


def stock(rng: random.Random, length: int) -> Problem:
    """A person's stock goes up and down."""
    name, item, start = rng.choice(NAMES), rng.choice(ITEMS), rng.randint(3, 40)
    walked = walk(rng, start, length, "add add subtract subtract times half groups")
    sentences = [f"{name} has {start} {item}."]
    for change, _ in walked:
        if change.kind == "add":
            sentences.append(rng.choice(GAINS).format(name, change.amount))
        elif change.kind == "subtract":
            sentences.append(rng.choice(LOSSES).format(name, change.amount))
        elif change.kind == "times":
            sentences.append(f"The {item} {'double' if change.amount == 2 else 'triple'}.")
        elif change.kind == "half":
            sentences.append(f"{name} sells half.")
        else:
            sentences.append(f"{name} buys {change.amount} bags of {change.size}.")
    return Problem(" ".join([*sentences, f"How many {item} now?"]), _steps(walked), "Prealgebra")


def people(rng: random.Random, length: int) -> Problem:
    """Each person's amount is given by the one before."""
    names, item, start = rng.sample(NAMES, length + 1), rng.choice(ITEMS), rng.randint(3, 40)
    walked = walk(rng, start, length, "add subtract times half")
    sentences = [f"{names[0]} has {start} {item}."]
    for (change, _), before, name in zip(walked, names, names[1:], strict=False):
        sentences.append(
            {
                "add": f"{name} has {change.amount} more than {before}.",
                "subtract": f"{name} has {change.amount} fewer than {before}.",
                "times": f"{name} has {change.amount} times as many as {before}.",
                "half": f"{name} has half as many as {before}.",
            }[change.kind]
        )
    return Problem(" ".join([*sentences, f"How many has {names[-1]}?"]), _steps(walked), "Counting & Probability")


def letters(rng: random.Random, length: int) -> Problem:
    """Letters defined one by the other."""
    start, offset = rng.randint(3, 40), rng.randint(0, len(LETTERS) - length - 1)
    walked = walk(rng, start, length, "add subtract times half")
    names = LETTERS[offset : offset + length + 1]
    sentences = [f"Let {names[0]}={start}."]
    for (change, _), before, name in zip(walked, names, names[1:], strict=False):
        right = {
            "add": f"{before}+{change.amount}",
            "subtract": f"{before}-{change.amount}",
            "times": f"{change.amount}{before}",
            "half": f"{before}/2",
        }[change.kind]
        sentences.append(f"Let {name}={right}.")
    return Problem(" ".join([*sentences, f"Find {names[-1]}."]), _steps(walked), "Algebra")


def number(rng: random.Random, length: int) -> Problem:
    """A number goes through operations; the last one asks for a remainder."""
    start = rng.randint(3, 40)
    walked = walk(rng, start, length - 1, "add subtract times half")
    words = {"add": "Add {}.", "subtract": "Subtract {}.", "times": "Multiply by {}.", "half": "Divide by {}."}
    value = walked[-1][1][-1].value if walked else start
    divisor = rng.randint(3, 9)
    sentences = [f"Start with {start}.", *(words[change.kind].format(change.amount) for change, _ in walked)]
    last = Step(f"{value} mod {divisor}", value % divisor)
    text = " ".join([*sentences, f"What is the remainder by {divisor}?"])
    return Problem(text, (*_steps(walked), last), "Number Theory")


def rectangle(rng: random.Random, length: int) -> Problem:
    """The perimeter of a rectangle whose width changes first (three steps at least)."""
    while True:
        start, longer = rng.randint(3, 20), rng.randint(2, 15)
        walked = walk(rng, start, length - 3, "add subtract")
        width = walked[-1][1][-1].value if walked else start
        side = width + longer
        if 2 * (width + side) <= LARGEST:
            break
    grows = {"add": "It grows by {}.", "subtract": "It shrinks by {}."}
    sentences = [f"A field is {start} wide.", *(grows[change.kind].format(change.amount) for change, _ in walked)]
    text = " ".join([*sentences, f"It is {longer} longer than wide. Find its perimeter."])
    last = (
        Step(f"{width}+{longer}", side),
        Step(f"{width}+{side}", width + side),
        Step(f"2*{width + side}", 2 * (width + side)),
    )
    return Problem(text, (*_steps(walked), *last), "Geometry")


SUBJECTS: dict[Callable[[random.Random, int], Problem], range] = {
    stock: range(1, 8),
    people: range(1, 5),
    letters: range(1, 7),
    number: range(2, 8),
    rectangle: range(3, 6),
}
"""The kinds of problems and the numbers of steps each is made with."""


def problem(rng: random.Random, lengths: tuple[int, ...] = (1, 2, 3, 4, 5)) -> Problem:
    """One problem with one of `lengths` steps."""
    length = rng.choice(lengths)
    make = rng.choice([make for make, allowed in SUBJECTS.items() if length in allowed])
    return make(rng, length)
