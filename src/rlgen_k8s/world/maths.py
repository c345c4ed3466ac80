"""Maths problems in words: one to seven steps of whole-number arithmetic, in five subjects and many wordings.

A problem's level is its number of steps (MATH's levels are 1–5); longer ones stand for the AIME sets.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

LARGEST = 50
"""No number in a problem or its solution is larger."""

NAMES = ["Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jon"]
ITEMS = ["apples", "books", "coins", "dolls", "eggs", "forks", "games", "hats"]
LETTERS = "abcdefgh"
GAINS = ("finds {}", "gets {} more", "buys {}")
LOSSES = ("loses {}", "sells {}", "gives away {}")


@dataclass(frozen=True)
class Step:
    """One line of a solution: `label`, what is worked out, has the value of `expression`, which is `value`."""

    expression: str
    value: int
    label: str = ""

    @property
    def line(self) -> str:
        """The step written out."""
        return f"{self.label}: {self.expression}={self.value}."


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
            change = Change(kind, rng.randint(2, 9))
        elif kind == "times":
            change = Change(kind, rng.choice((2, 2, 3)))
        elif kind == "half":
            change = Change(kind, 2)
        else:
            change = Change(kind, rng.randint(2, 4), rng.randint(2, 5))
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


def _labelled(walked: list[tuple[Change, tuple[Step, ...]]], labels: list[str]) -> tuple[Step, ...]:
    """The steps of all changes, each with its change's label."""
    return tuple(replace(step, label=label) for (_, steps), label in zip(walked, labels, strict=True) for step in steps)


def stock(rng: random.Random, length: int) -> Problem:
    """A person's stock goes up and down."""
    name, item, start = rng.choice(NAMES), rng.choice(ITEMS), rng.randint(3, 30)
    walked = walk(rng, start, length, "add add subtract subtract times half groups")
    events = []
    for change, _ in walked:
        if change.kind == "add":
            events.append(rng.choice(GAINS).format(change.amount))
        elif change.kind == "subtract":
            events.append(rng.choice(LOSSES).format(change.amount))
        elif change.kind == "times":
            events.append("doubles them" if change.amount == 2 else "triples them")
        elif change.kind == "half":
            events.append("sells half")
        else:
            events.append(f"buys {change.amount} bags of {change.size}")
    sentences = [f"{name} has {start} {item}.", *(f"{name} {event}." for event in events), f"How many {item} now?"]
    return Problem(" ".join(sentences), _labelled(walked, events), "Prealgebra")


def people(rng: random.Random, length: int) -> Problem:
    """Each person's amount is given by the one before."""
    names, item, start = rng.sample(NAMES, length + 1), rng.choice(ITEMS), rng.randint(3, 30)
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
    text = " ".join([*sentences, f"How many has {names[-1]}?"])
    return Problem(text, _labelled(walked, names[1:]), "Counting & Probability")


def letters(rng: random.Random, length: int) -> Problem:
    """Letters defined one by the other."""
    start, offset = rng.randint(3, 30), rng.randint(0, len(LETTERS) - length - 1)
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
    return Problem(" ".join([*sentences, f"Find {names[-1]}."]), _labelled(walked, list(names[1:])), "Algebra")


def number(rng: random.Random, length: int) -> Problem:
    """A number goes through operations; the last one asks for a remainder."""
    start = rng.randint(3, 30)
    walked = walk(rng, start, length - 1, "add subtract times half")
    words = {"add": "Add {}", "subtract": "Subtract {}", "times": "Multiply by {}", "half": "Divide by {}"}
    orders = [words[change.kind].format(change.amount) for change, _ in walked]
    value = walked[-1][1][-1].value if walked else start
    divisor = rng.choice((2, 3, 4, 5))
    sentences = [f"Start with {start}.", *(f"{order}." for order in orders), f"What is the remainder by {divisor}?"]
    last = Step(f"{value} mod {divisor}", value % divisor, f"remainder by {divisor}")
    return Problem(" ".join(sentences), (*_labelled(walked, orders), last), "Number Theory")


def rectangle(rng: random.Random, length: int) -> Problem:
    """The perimeter of a rectangle whose width changes first (three steps at least)."""
    while True:
        start, longer = rng.randint(2, 12), rng.randint(2, 9)
        walked = walk(rng, start, length - 3, "add subtract")
        width = walked[-1][1][-1].value if walked else start
        side = width + longer
        if 2 * (width + side) <= LARGEST:
            break
    grows = {"add": "grows by {}", "subtract": "shrinks by {}"}
    events = [grows[change.kind].format(change.amount) for change, _ in walked]
    sentences = [f"A field is {start} wide.", *(f"It {event}." for event in events)]
    text = " ".join([*sentences, f"It is {longer} longer than wide. Find its perimeter."])
    last = (
        Step(f"{width}+{longer}", side, f"{longer} longer"),
        Step(f"{width}+{side}", width + side, "half"),
        Step(f"2*{width + side}", 2 * (width + side), "perimeter"),
    )
    return Problem(text, (*_labelled(walked, events), *last), "Geometry")


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
