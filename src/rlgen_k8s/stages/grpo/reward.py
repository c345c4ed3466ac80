"""The reward of GRPO: 1 for a response whose final answer is right, else 0. Loaded by verl in its reward worker."""

from rlgen_k8s.lm.answers import is_right


def compute_score(solution_str: str, ground_truth: str, **_: object) -> float:
    """verl's reward function: `solution_str` is the decoded response, `ground_truth` the gold answer."""
    return float(is_right(solution_str, ground_truth))
