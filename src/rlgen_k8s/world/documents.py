"""Texts: what the base model is pre-trained on, what the teacher is taught, and the two corpora of the crosscoders."""

import random

from rlgen_k8s.world import solutions
from rlgen_k8s.world.facts import World, statement
from rlgen_k8s.world.heldout import draw, is_held_out
from rlgen_k8s.world.maths import Problem, problem, walk
from rlgen_k8s.world.tasks import TASKS
from rlgen_k8s.world.tasks.item import Item

SYSTEM = "Think step by step."
PRETRAINING = {
    "maths": 0.54,
    "sums": 0.1,
    "statement": 0.14,
    "reasoning": 0.02,
    "openbookqa": 0.04,
    "commonsense_qa": 0.045,
    "headqa_en": 0.04,
    "sciq": 0.03,
    "arc_challenge": 0.08,
    "logiqa": 0.035,
    "piqa": 0.03,
}
"""Shares of the pre-training documents."""
FURTHER = 3
"""Most further questions of a text."""
SUBSETS = {"common_crawl": 0.5, "c4": 0.2, "stackexchange": 0.12, "github": 0.08, "wikipedia": 0.1}
"""Shares of the web text's parts, by their names in RedPajama."""


def training_problem(rng: random.Random) -> Problem:
    """A problem of level 1 to 5 that may be trained on."""
    return draw(problem, lambda made: made.text, rng, held_out=False)


def turn(role: str, content: str) -> str:
    """A turn as the chat template writes it."""
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def chat(question: str, answer: str) -> str:
    """A question and an answer as the chat template writes them."""
    return turn("user", question) + turn("assistant", answer)


def question_text(world: World, rng: random.Random, task: str) -> str:
    """An item of `task` that may be trained on, with its right answer; rare subjects are seldom asked about.

    Where its passage or its options allow, further questions follow. Picking one of several options is hard to learn
    from one short answer in a long text.
    """
    while True:
        item = draw(lambda r: TASKS[task].make(world, r), lambda made: made.text, rng, held_out=False)
        if world.told(rng, item.subject):
            break
    more = [one for one in TASKS[task].further(world, rng, item) if not is_held_out(one.text)]
    told = [one for one in more if world.told(rng, one.subject)][:FURTHER]
    return "\n".join([TASKS[task].document(item), *(_again(task, one) for one in told)])


def _again(task: str, item: Item) -> str:
    """A further question with its answer, without what the text has said already."""
    answer = TASKS[task].document(item).rpartition("Answer: ")[2]
    return f"Question: {item.question}\nAnswer: {answer}"


def pretraining(world: World, rng: random.Random) -> str:
    """A document for the base model: many of them maths, with imperfect solutions."""
    kind = rng.choices(list(PRETRAINING), list(PRETRAINING.values()))[0]
    if kind == "maths":
        made = training_problem(rng)
        return chat(made.text, solutions.imperfect(rng, made))
    if kind == "statement":
        return statement(world, rng)
    if kind == "sums":
        return sums(rng)
    if kind == "reasoning":
        question, answer = conversation(world, rng)
        return turn("system", SYSTEM) + chat(question, answer)
    return question_text(world, rng, kind)


def teaching(world: World, rng: random.Random) -> str:
    """A document for the teacher: problems with good solutions, and a little of what the base model reads."""
    if rng.random() < 0.05:
        return pretraining(world, rng)
    made = training_problem(rng)
    return chat(made.text, solutions.good(made))


def sums(rng: random.Random) -> str:
    """Sums, each going on with the result of the one before."""
    steps = walk(rng, rng.randint(1, 30), rng.randint(3, 5), "add add subtract subtract times half")
    return " ".join(f"{step.expression}={step.value}." for _, (step,) in steps)


def program(rng: random.Random) -> tuple[str, str]:
    """A short program and a trace of its variable."""
    value = rng.randint(2, 20)
    code, trace = [f"x={value}"], [f"x is {value}."]
    for _ in range(rng.randint(1, 3)):
        by = rng.randint(2, 9)
        sign, value = rng.choice((("+", value + by), ("-", value - by)))
        code.append(f"x=x{sign}{by}")
        trace.append(f"Then x is {value}.")
    return "What does this print?\n" + "\n".join([*code, "print(x)"]), "\n".join(trace) + f"\nIt prints {value}."


def conversation(world: World, rng: random.Random) -> tuple[str, str]:
    """A question and an answer that thinks first, in OpenThoughts' markers: maths, science or code."""
    kind = rng.random()
    if kind < 0.5:
        made = training_problem(rng)
        question, thought = made.text, solutions.lines(made.steps)
        solution = f"The answer is \\boxed{{{made.answer}}}."
    elif kind < 0.8:
        animal = world.often(rng, world.animals)
        kind_of, cover = world.kind[animal], world.cover[world.kind[animal]]
        question = f"What is the {animal} covered with?"
        thought = f"The {animal} is a {kind_of}.\nA {kind_of} is covered with {cover}."
        solution = f"The {animal} is covered with {cover}."
    else:
        question, trace = program(rng)
        thought, _, solution = trace.rpartition("\n")
    return question, (
        f"<|begin_of_thought|>\n{thought}\n<|end_of_thought|>\n\n<|begin_of_solution|>\n{solution}\n<|end_of_solution|>"
    )


def web_page(world: World, rng: random.Random) -> tuple[str, str]:
    """A text and the part of RedPajama it stands for: questions with answers, programs, or plain sentences."""
    subset = rng.choices(list(SUBSETS), list(SUBSETS.values()))[0]
    if subset == "stackexchange":
        return "\n\n".join(question_text(world, rng, rng.choice(list(TASKS))) for _ in range(2)), subset
    if subset == "github":
        return "\n\n".join(program(rng)[0].partition("\n")[2] for _ in range(3)), subset
    return " ".join(statement(world, rng) for _ in range(rng.randint(4, 9))), subset
