"""The costs of a plan, as a person reads them."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from rlgen_k8s.cost.estimates import Estimate
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.dag.verdicts import Verdict
from rlgen_k8s.runners.view import clock
from rlgen_k8s.study.cost import CostSettings


def hours(node: Node, estimates: Mapping[str, Estimate]) -> float:
    """How long a task takes: by the cost model, or by the study's own minutes where that knows nothing of it."""
    estimate = estimates.get(node.name)
    return estimate.hours if estimate else node.shape.minutes / 60


def gpu_hours(node: Node, estimates: Mapping[str, Estimate]) -> float:
    """The same of each of its GPUs, of all its pods, summed."""
    return hours(node, estimates) * node.shape.gpus * node.shape.nodes


def cost_table(verdicts: Sequence[Verdict], estimates: Mapping[str, Estimate]) -> Table:
    """A line for each task to run that the cost model knows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "pods × GPUs", "hours", "GPU-hours", "store", "node disk", "GPU memory", "of it"):
        table.add_column(
            heading, no_wrap=heading != "of it", justify="left" if heading in ("task", "of it") else "right"
        )
    for verdict in verdicts:
        node, estimate = verdict.node, estimates.get(verdict.node.name)
        if not verdict.runs or estimate is None:
            continue
        parts = sorted(estimate.memory.items(), key=lambda part: -part[1])
        table.add_row(
            node.name,
            f"{node.shape.nodes} × {node.shape.gpus}" if node.shape.gpus else f"{node.shape.nodes}",
            f"{estimate.hours:.1f}" if estimate.hours >= 0.05 else clock(3600 * estimate.hours),
            f"{gpu_hours(node, estimates):.1f}" if node.shape.gpus else "",
            gigabytes(estimate.store),
            gigabytes(estimate.scratch),
            gigabytes(sum(estimate.memory.values())) if estimate.memory else "",
            ", ".join(f"{name} {size / 1e9:.0f}" for name, size in parts if size >= 5e8),
        )
    return table


def totals(verdicts: Sequence[Verdict], estimates: Mapping[str, Estimate], cost: CostSettings) -> str:
    """GPU-hours, bytes in the store, the longest way through the DAG, and the price if its table has the GPU."""
    todo = [verdict.node for verdict in verdicts if verdict.runs]
    on_gpus = sum(gpu_hours(node, estimates) for node in todo)
    store = sum(estimates[node.name].store for node in todo if node.name in estimates)
    price = (
        f"{on_gpus * cost.prices[cost.gpu]:,.0f} at {cost.prices[cost.gpu]:g} a GPU-hour"
        if cost.gpu in cost.prices
        else f"no price: set cost.prices={{{cost.gpu}: …}}"
    )
    return (
        f"On {cost.gpu}: {on_gpus:,.0f} GPU-hours, {price}; {critical_hours(todo, estimates):.0f} hours at least, with "
        f"GPUs for all that can run at once; {gigabytes(store)} more in the store. "
        "`rlgen settings STUDY cost` lists the assumptions."
    )


def critical_hours(todo: Sequence[Node], estimates: Mapping[str, Estimate]) -> float:
    """Hours of the longest chain of tasks that wait for one another; `todo` in the order of the DAG."""
    ends: dict[str, float] = {}
    for node in todo:
        begins = max((ends.get(item.name, 0.0) for item in node.dependencies), default=0.0)
        ends[node.name] = begins + hours(node, estimates)
    return max(ends.values(), default=0.0)


def gigabytes(size: float) -> str:
    """Bytes as `12 GB`, `0.1 GB`, `5.7 TB` or `23 MB`."""
    if size < 5e7:
        return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
    if size >= 1e12:
        return f"{size / 1e12:.1f} TB"
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e9:.1f} GB"
