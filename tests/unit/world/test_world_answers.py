import random
import re
from dataclasses import replace
from types import ModuleType

import pytest

from rlgen_k8s.world.facts import create, statement
from rlgen_k8s.world.maths import SUBJECTS
from rlgen_k8s.world.solutions import good
from rlgen_k8s.world.tasks import TASKS


def test_a_reader_of_the_problem_arrives_at_its_answer(reader: ModuleType) -> None:
    rng = random.Random(3)
    for make, lengths in SUBJECTS.items():
        for length in lengths:
            for _ in range(60):
                made = make(rng, length)
                assert reader.solve(made.text) == made.answer, made.text
                assert len(made.steps) == length


def test_every_line_of_a_good_solution_is_true_and_its_box_is_the_answer(reader: ModuleType) -> None:
    rng = random.Random(4)
    for make, lengths in SUBJECTS.items():
        for _ in range(100):
            made = make(rng, max(lengths))
            *lines, last = good(made).split("\n")
            for line in lines:
                left, right = line.partition(": ")[2].rstrip(".").split("=")
                assert eval(left.replace("mod", "%")) == int(right), line
            assert re.findall(r"\\boxed\{(\d+)\}", last) == [str(reader.solve(made.text))]


@pytest.mark.parametrize("task", TASKS)
def test_exactly_the_right_option_follows_from_what_the_texts_say(task: str, reader: ModuleType) -> None:
    world, rng = create(7), random.Random(5)
    talkative = replace(world, rarity={})  # so that 20 000 sentences tell every fact
    facts = reader.read_facts([" ".join(statement(talkative, rng) for _ in range(20000))])
    places = set()
    for _ in range(300):
        item = TASKS[task].make(world, rng)
        for one in (item, *TASKS[task].further(world, rng, item)):
            assert reader.answer(task, one.passage, one.question, list(one.options), facts) == [one.right], one
            assert (one.passage, one.options) == (item.passage, item.options)
        assert len(set(item.options)) == len(item.options)
        places.add(item.answer)
    assert len(places) == len(item.options)


def test_worlds_differ_by_seed_and_only_by_seed() -> None:
    assert create(1) == create(1)
    assert create(1) != create(2)


def test_a_good_solution_is_right_by_the_definition_that_training_and_evaluation_use(reader: ModuleType) -> None:
    from rlgen_k8s.lm.answers import is_right

    rng = random.Random(6)
    for make, lengths in SUBJECTS.items():
        made = make(rng, max(lengths))
        assert is_right(good(made), str(reader.solve(made.text)))
        assert not is_right(good(made), str(made.answer + 1))
