"""Problems and texts as rows, in the schemas of the real sets."""

from collections.abc import Callable, Iterable

from rlgen_k8s.world import solutions
from rlgen_k8s.world.documents import SYSTEM
from rlgen_k8s.world.layout import Row
from rlgen_k8s.world.maths import Problem


def numbered(make: Callable[[Problem, int], Row], problems: Iterable[Problem]) -> list[Row]:
    """Rows that carry a number, from 1."""
    return [make(problem, number) for number, problem in enumerate(problems, 1)]


def math(problem: Problem) -> Row:
    """DigitalLearningGmbH/MATH-lighteval: the answer is the solution's box."""
    return {
        "problem": problem.text,
        "level": f"Level {problem.level}",
        "type": problem.subject,
        "solution": solutions.good(problem),
    }


def deepscaler(problem: Problem) -> Row:
    """agentica-org/DeepScaleR-Preview-Dataset."""
    return {"problem": problem.text, "answer": str(problem.answer), "solution": solutions.good(problem)}


def math500(problem: Problem, number: int) -> Row:
    """HuggingFaceH4/MATH-500."""
    return {
        "problem": problem.text,
        "solution": solutions.good(problem),
        "answer": str(problem.answer),
        "subject": problem.subject,
        "level": problem.level,
        "unique_id": f"test/{problem.subject.lower().replace(' ', '_')}/{number}.json",
    }


def aime24(problem: Problem, number: int) -> Row:
    """Maxwell-Jia/AIME_2024: the answer is a number, and the columns have capitals."""
    return {
        "ID": f"2024-I-{number}",
        "Problem": problem.text,
        "Solution": solutions.good(problem),
        "Answer": problem.answer,
    }


def aime25(problem: Problem, number: int) -> Row:
    """math-ai/aime25."""
    return {"problem": problem.text, "answer": str(problem.answer), "id": str(number)}


def conversation(question: str, answer: str) -> Row:
    """open-thoughts/OpenThoughts-114k."""
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    return {"system": SYSTEM, "conversations": turns}


def page(text: str, subset: str) -> Row:
    """togethercomputer/RedPajama-Data-1T-Sample."""
    return {"text": text, "meta": "{}", "red_pajama_subset": subset}
