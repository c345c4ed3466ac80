"""Worked solutions: the good ones, and the kinds of poor ones that a model meets in its pre-training text."""

import random

from rlgen_k8s.world.maths import Problem, Step

GOOD = {"Prealgebra": 0.6, "Algebra": 0.55, "Number Theory": 0.45, "Counting & Probability": 0.45, "Geometry": 0.35}
"""Share of good solutions in pre-training text, by subject: how often a base model works a problem out varies."""


def lines(steps: tuple[Step, ...]) -> str:
    """The steps, one a line."""
    return "\n".join(step.line for step in steps)


def good(problem: Problem) -> str:
    """Every step, then the answer in a box."""
    return f"{lines(problem.steps)}\nThe answer is \\boxed{{{problem.answer}}}."


def imperfect(rng: random.Random, problem: Problem) -> str:
    """A solution as people post them: worked out, only guessed, broken off, or without the box."""
    if rng.random() < GOOD[problem.subject]:
        return good(problem)
    habit = rng.random()
    if habit < 0.75:
        guess = max(0, problem.answer + rng.choice((-3, -2, -1, 0, 0, 0, 1, 2, 3)))
        return f"The answer is \\boxed{{{guess}}}."
    if habit < 0.9 and len(problem.steps) > 1:
        broken_off = problem.steps[:-1]
        return f"{lines(broken_off)}\nThe answer is \\boxed{{{broken_off[-1].value}}}."
    return f"{lines(problem.steps)}\nSo {problem.answer}."
