"""From what tasks took: for each rate of the cost model the value with which it would have said so."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.study.cost import CoreSettings, CostSettings
from rlgen_k8s.study.settings import Study

NO_RATES = ("memory_share", "prompt_tokens", "response_tokens", "acceptance")
"""Numbers of which no task's time says anything, or which a metric says outright."""
WIDEST = 1000.0
"""How far from what is set a rate is looked for, up and down."""
HALVINGS = 40
LEAST = 0.25
"""By what part of a rate's change the time of a task changes at least that tells of it."""
SLIGHTLY = 1.01


@dataclass(frozen=True)
class Fitted:
    """A rate, by the path of its setting."""

    rate: str
    now: float
    fitted: float | None
    """None: no value gives what the tasks took; something else was slower or faster than it is set."""
    tasks: tuple[str, ...]
    """Those that it was fitted to."""


def fitted(study: Study, nodes: Sequence[Node], took: Mapping[str, float]) -> list[Fitted]:
    """A line for each rate on which a task in `took` (seconds) depends more than on any other.

    It is fitted to the sum of these tasks' times, all other rates as they are set.
    """
    slopes = _slopes(study, nodes)
    leads: dict[str, list[str]] = {}
    for name in took:
        rate, slope = max(slopes.get(name, {}).items(), key=lambda pair: pair[1], default=("", 0.0))
        if slope > LEAST:
            leads.setdefault(rate, []).append(name)
    return [
        Fitted(
            f"cost.{rate}",
            now,
            _solve(study, nodes, rate, now, leads[rate], sum(took[name] for name in leads[rate])),
            tuple(leads[rate]),
        )
        for rate, now in rates(study.cost)
        if rate in leads
    ]


def rates(cost: CostSettings) -> Iterator[tuple[str, float]]:
    """Each number by which the model turns work into time, with its path below `cost`; none that is 0."""
    for name, value in cost:
        if isinstance(value, CoreSettings):
            yield from ((f"{name}.{inner}", number) for inner, number in value if number)
        elif isinstance(value, float | int) and name not in NO_RATES and value:
            yield name, float(value)


def _with(study: Study, rate: str, value: float) -> Study:
    """The study with another value; not validated, since a share above 1 says that something else is wrong."""
    name, _, inner = rate.partition(".")
    cost = study.cost
    changed = getattr(cost, name).model_copy(update={inner: value}) if inner else value
    return study.model_copy(update={"cost": cost.model_copy(update={name: changed})})


def _slopes(study: Study, nodes: Sequence[Node]) -> dict[str, dict[str, float]]:
    """By task and rate: by what share its time changes for a share by which the rate does."""
    before = _seconds(study, nodes)
    found: dict[str, dict[str, float]] = {name: {} for name in before}
    for rate, now in rates(study.cost):
        for name, after in _seconds(_with(study, rate, now * SLIGHTLY), nodes).items():
            found[name][rate] = abs(after / before[name] - 1) / (SLIGHTLY - 1)
    return found


def _seconds(study: Study, nodes: Sequence[Node]) -> dict[str, float]:
    return {name: 3600 * made.hours for name, made in estimates(study, nodes).items()}


def _solve(
    study: Study, nodes: Sequence[Node], rate: str, now: float, tasks: Sequence[str], wanted: float
) -> float | None:
    """By halving the range; what the model says rises or falls with a rate all the way."""

    def above(value: float) -> bool:
        after = _seconds(_with(study, rate, value), nodes)
        return sum(after[name] for name in tasks) > wanted

    low, high = now / WIDEST, now * WIDEST
    at_low = above(low)
    if at_low == above(high):
        return None
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if above(middle) == at_low else (low, middle)
    return math.sqrt(low * high)
