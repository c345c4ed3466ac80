"""How a maths task's samples are scored: the share of k responses with the right final answer."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.lm.answers import is_right


def average_at_k(doc: Mapping[str, object], results: Sequence[Sequence[str]]) -> dict[str, object]:
    """The harness's `process_results`: `results[0]` holds the k responses to `doc`.

    `average_at_k` is their mean outcome, `correct` the k outcomes.
    """
    gold = str(doc["answer"] if "answer" in doc else doc["Answer"])
    correct = [float(is_right(response, gold)) for response in results[0]]
    return {"average_at_k": sum(correct) / len(correct), "correct": correct}


def mean_of_all(lists: Sequence[Sequence[float]]) -> float:
    """Aggregation of `correct` over samples."""
    outcomes = [outcome for values in lists for outcome in values]
    return sum(outcomes) / len(outcomes)
