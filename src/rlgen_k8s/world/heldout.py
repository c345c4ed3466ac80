"""What may only be used for evaluation: decided by a hash of the normalised text, so it is the same for every seed."""

import random
from collections.abc import Callable
from typing import TypeVar

from rlgen_k8s.lm.fingerprint import fingerprint

T = TypeVar("T")
SHARE = 8
"""One text in so many is held out."""


def is_held_out(text: str) -> bool:
    """Whether `text` is kept out of every training text."""
    return int(fingerprint(text), 16) % SHARE == 0


def draw(make: Callable[[random.Random], T], text: Callable[[T], str], rng: random.Random, held_out: bool) -> T:
    """The first of `make(rng), make(rng), …` that is held out, or the first that is not."""
    while True:
        made = make(rng)
        if is_held_out(text(made)) == held_out:
            return made
