"""Which features get a page of their own, and why."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

OWN = 5
"""Features of each tuned model with the highest MAS that get a page."""


def features_of_interest(
    generalization: Sequence[int],
    fallback: Sequence[int],
    of_paper: Sequence[int],
    mas: Mapping[str, NDArray[np.float64]],
    fires: NDArray[np.bool_],
) -> dict[int, list[str]]:
    """Reasons by feature, in the order of the reasons.

    Those that are intervened on, those that the paper's protocol selects, and the most specific of SFT and of RL among
    those that fire on held-out text (`fires` [D]). `mas`: [D] by model.
    """
    reasons: dict[int, list[str]] = {}

    def add(features: Sequence[int], reason: str) -> None:
        for feature in features:
            reasons.setdefault(int(feature), []).append(reason)

    add(generalization, "generalization feature")
    add(fallback, "stands in for a generalization feature")
    add(of_paper, "selected by the paper's protocol")
    for model in ("sft", "rl"):
        order = np.argsort(-np.where(fires, np.nan_to_num(mas[model]), -1.0), kind="stable")[:OWN]
        add(
            [feature for feature in order if fires[feature]],
            f"among the {OWN} with the highest MAS for {model.upper()}",
        )
    return reasons
