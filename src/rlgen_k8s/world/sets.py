"""Which set is made of what, and how large: the whole mirror."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.world import documents, rows
from rlgen_k8s.world.facts import World, create
from rlgen_k8s.world.heldout import draw
from rlgen_k8s.world.layout import Row, write_set
from rlgen_k8s.world.maths import Problem, problem
from rlgen_k8s.world.tasks import TASKS, Task

LEVELS = (1, 2, 3, 4, 5)
CONTEST = (6, 7)
"""Steps of the problems that stand for the AIME sets."""
AIME_ITEMS = 30
TRAINING_QUESTIONS = 20
"""Items in the splits that are not evaluated: examples of the form."""

DRAWS = 30
"""Draws for each wanted problem or question before there are held to be no more different ones."""

Splits = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Sizes:
    """Rows of the sets; the two AIME sets have 30 as in reality."""

    problems: int
    questions: int
    math500: int
    conversations: int
    pages: int
    pretraining: int
    teaching: int


@dataclass(frozen=True)
class Recipe:
    """A set: its hub name and configuration, and what makes its splits from random numbers of its own."""

    hub: str
    config: str
    make: Callable[[random.Random], Splits]


def build(folder: Path, sizes: Sizes, seed: int, progress: Callable[[int, int], None]) -> None:
    """Write every set of the study into `folder`. Raises `UserError` if a size asks for more than there is."""
    recipes = all_sets(create(seed), sizes, seed)
    for done, recipe in enumerate(recipes):
        progress(done, len(recipes))
        write_set(folder, recipe.hub, recipe.config, recipe.make(_generator(recipe.hub, seed)))
    progress(len(recipes), len(recipes))


def all_sets(world: World, sizes: Sizes, seed: int) -> list[Recipe]:
    """The recipes of all sets; MATH's test split holds MATH-500, as in reality."""
    exam = exam_problems(_generator("MATH-500", seed), sizes.math500, LEVELS)
    contest = exam_problems(_generator("AIME", seed), 2 * AIME_ITEMS, CONTEST)

    def trained(r: random.Random) -> list[Problem]:
        return [documents.training_problem(r) for _ in range(sizes.problems)]

    def texts(make: Callable[[World, random.Random], str], count: int, r: random.Random) -> Splits:
        return {"train": [{"text": make(world, r)} for _ in range(count)]}

    def talks(r: random.Random) -> Splits:
        return {"train": [rows.conversation(*documents.conversation(world, r)) for _ in range(sizes.conversations)]}

    def web(r: random.Random) -> Splits:
        return {"train": [rows.page(*documents.web_page(world, r)) for _ in range(sizes.pages)]}

    return [
        Recipe(
            "DigitalLearningGmbH/MATH-lighteval",
            "default",
            lambda r: {"train": [rows.math(one) for one in trained(r)], "test": [rows.math(one) for one in exam]},
        ),
        Recipe(
            "agentica-org/DeepScaleR-Preview-Dataset",
            "default",
            lambda r: {"train": [rows.deepscaler(one) for one in trained(r)]},
        ),
        Recipe("HuggingFaceH4/MATH-500", "default", lambda r: {"test": rows.numbered(rows.math500, exam)}),
        Recipe(
            "Maxwell-Jia/AIME_2024",
            "default",
            lambda r: {"train": rows.numbered(rows.aime24, contest[:AIME_ITEMS])},
        ),
        Recipe("math-ai/aime25", "default", lambda r: {"test": rows.numbered(rows.aime25, contest[AIME_ITEMS:])}),
        Recipe("open-thoughts/OpenThoughts-114k", "default", talks),
        Recipe("togethercomputer/RedPajama-Data-1T-Sample", "default", web),
        *(
            Recipe(task.hub, task.config, partial(question_splits, world, task, sizes.questions))
            for task in TASKS.values()
        ),
        Recipe("rlgen/tiny-pretraining", "default", partial(texts, documents.pretraining, sizes.pretraining)),
        Recipe("rlgen/tiny-teaching", "default", partial(texts, documents.teaching, sizes.teaching)),
    ]


def exam_problems(rng: random.Random, count: int, lengths: tuple[int, ...]) -> list[Problem]:
    """`count` different held-out problems of these numbers of steps."""
    made: dict[str, Problem] = {}
    for _ in range(DRAWS * count):
        if len(made) == count:
            return list(made.values())
        one = draw(lambda r: problem(r, lengths), lambda p: p.text, rng, held_out=True)
        made.setdefault(one.text, one)
    raise UserError(f"math500 {count}: there are fewer different problems than that; ask for fewer")


def question_splits(world: World, task: Task, count: int, rng: random.Random) -> Splits:
    """`count` held-out items in the split that is evaluated (the last), a few others in the rest."""
    *others, evaluated = task.splits
    splits = {split: questions(world, task, TRAINING_QUESTIONS, rng, held_out=False) for split in others}
    return splits | {evaluated: questions(world, task, count, rng, held_out=True)}


def questions(world: World, task: Task, count: int, rng: random.Random, held_out: bool) -> list[Row]:
    """`count` different items of a task as rows."""
    made: dict[str, Row] = {}
    for _ in range(DRAWS * count):
        if len(made) == count:
            return list(made.values())
        item = draw(lambda r: task.make(world, r), lambda one: one.text, rng, held_out)
        made.setdefault(item.text, task.row(item, len(made)))
    raise UserError(f"questions {count}: {task.hub} has fewer different items than that; ask for fewer")


def _generator(name: str, seed: int) -> random.Random:
    return random.Random(f"{name} {seed}")
