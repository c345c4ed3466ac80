"""From any result back to the data, by what MLflow knows alone: the inputs of the run that published it, and so on."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import Run
from rich.tree import Tree

from rlgen_k8s.store.keys import split_address
from rlgen_k8s.tracking.mlflow_store import Tracking, producer
from rlgen_k8s.tracking.reading import reading
from rlgen_k8s.tracking.text import plain

INPUT = "rlgen.input."


@dataclass(frozen=True)
class Origin:
    """A result, the run that published it, and where its inputs came from."""

    address: str
    task: str
    run_id: str | None
    """None if MLflow has no finished run for the address: it was published without tracking, or elsewhere."""
    inputs: tuple[tuple[str, str, "Origin"], ...]
    """Name, address (which may be a folder inside a result) and origin of each input."""


def walk(address: str, environ: Mapping[str, str]) -> Origin:
    """The origin of the result at `address` (`stage/key`, or a folder in it). Raises UserError if it is no address."""
    result, _ = split_address(address)
    with reading(environ) as tracking:
        return _walk(tracking, result, {})


def _walk(tracking: Tracking, result: str, known: dict[str, Origin]) -> Origin:
    if result not in known:
        found = producer(tracking, result)
        if found is None:
            known[result] = Origin(result, result.split("/")[0], None, ())
        else:
            run = tracking.client.get_run(found.info.run_id)  # a search leaves out model inputs
            names = {value: tag.removeprefix(INPUT) for tag, value in run.data.tags.items() if tag.startswith(INPUT)}
            inputs = tuple(
                (names.get(address, "?"), address, _walk(tracking, split_address(address)[0], known))
                for address in input_addresses(tracking, run)
            )
            known[result] = Origin(result, run.data.tags["rlgen.task"], run.info.run_id, inputs)
    return known[result]


def input_addresses(tracking: Tracking, run: Run) -> list[str]:
    """The addresses of a run's data-set and model inputs."""
    if run.inputs is None:
        return []
    data = []
    for one in run.inputs.dataset_inputs:
        stage, _, sub = one.dataset.name.partition("/")
        data.append("/".join(filter(None, [stage, one.dataset.digest, sub])))
    models = [tracking.client.get_logged_model(one.model_id) for one in run.inputs.model_inputs]
    return sorted(data + [model.tags["rlgen.address"] for model in models])


def render_tree(origin: Origin) -> str:
    """The walk as text: a tree, in which a result met again is named and not unfolded again."""
    return plain(_branch("", origin.address, origin, set()))


def _branch(name: str, address: str, origin: Origin, seen: set[str]) -> Tree:
    again = origin.address in seen
    remark = " (see above)" if again and origin.inputs else "" if origin.run_id else " (no run in this MLflow)"
    tree = Tree(f"{name}: {address}{remark}" if name else f"{address}{remark}", highlight=False)
    if not again:
        seen.add(origin.address)
        for input_name, input_address, input_origin in origin.inputs:
            tree.children.append(_branch(input_name, input_address, input_origin, seen))
    return tree
