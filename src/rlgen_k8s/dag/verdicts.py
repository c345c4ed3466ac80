"""For every node of a plan: is its result there already, has it to run, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.errors import UserError
from rlgen_k8s.store.manifest import Identity, Manifest
from rlgen_k8s.store.results import Store


@dataclass(frozen=True)
class Verdict:
    """A node with what is known of its result."""

    node: Node
    manifest: Manifest | None
    needed: bool
    """Whether it was asked for, or anything that has to run reads this result."""
    again: bool
    """Whether its result is to be made again; `manifest` is None then, though the store may have one."""

    @property
    def runs(self) -> bool:
        """Whether the node has to run."""
        return self.manifest is None and self.needed


def judge(nodes: list[Node], store: Store, rebuild: Collection[str] = (), until: Collection[str] = ()) -> list[Verdict]:
    """A verdict for each node, in the order of `nodes`.

    What is asked for is `until`, names of tasks, or else the end of the DAG. A missing result whose readers are all
    there is not needed: nothing would read it. `rebuild` names addresses or tasks whose results are made again.
    Raises `UserError` for a name that is no node's.
    """
    names = {node.name for node in nodes}
    _check("rebuild", rebuild, names | {node.address for node in nodes})
    _check("until", until, names)
    again = {node.name for node in nodes if {node.name, node.address} & set(rebuild)}
    manifests = {node.name: None if node.name in again else store.manifest(node.address) for node in nodes}
    missing = {name for name, manifest in manifests.items() if manifest is None}
    needed = _with_what_is_read(nodes, (set(until) or {nodes[-1].name}) | again, missing)
    return [Verdict(node, manifests[node.name], node.name in needed, node.name in again) for node in nodes]


def up_to(nodes: list[Node], until: Collection[str]) -> list[Node]:
    """The tasks named by `until` and all that they stand on, or all nodes. Raises `UserError` as `judge` does."""
    names = {node.name for node in nodes}
    _check("until", until, names)
    wanted = _with_what_is_read(nodes, set(until) or {nodes[-1].name}, names)
    return [node for node in nodes if node.name in wanted]


def _with_what_is_read(nodes: list[Node], asked: set[str], readers: set[str]) -> set[str]:
    """The names `asked`, with what those of them that are `readers` read, and so on."""
    found = set(asked)
    for node in reversed(nodes):
        if node.name in found and node.name in readers:
            found |= {item.name for item in node.dependencies}
    return found


def _check(option: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"--{option} {name}: no such task in this study; see `rlgen plan`")


def reasons(verdicts: list[Verdict], store: Store) -> list[str]:
    """Why each verdict is what it is. Reads every result of the stages that have to run."""
    others = {stage: identities(store, stage) for stage in {verdict.node.stage for verdict in verdicts if verdict.runs}}
    return [_reason(verdict, others) for verdict in verdicts]


def _reason(verdict: Verdict, others: Mapping[str, list[Identity]]) -> str:
    if verdict.manifest is not None:
        return f"made {verdict.manifest.finished:%Y-%m-%d %H:%M}"
    return why(verdict.node, others[verdict.node.stage]) if verdict.needed else "not needed: all that reads it is there"


def identities(store: Store, stage: str) -> list[Identity]:
    """What decided each published result of a stage."""
    manifests = [store.manifest(f"{stage}/{key}") for key in store.blobs.children(stage)]
    return [manifest.identity for manifest in manifests if manifest is not None]


def why(node: Node, others: list[Identity]) -> str:
    """What sets `node` apart from the closest result of its stage that exists."""
    if not others:
        return "new: no result of this stage yet"
    differences = min((_differences(node, other) for other in others), key=len)
    shown = ", ".join(differences[:2]) + (f" and {len(differences) - 2} more" if len(differences) > 2 else "")
    return f"differs from the closest result: {shown}"


def _differences(node: Node, other: Identity) -> list[str]:
    mine, theirs = _flat(node.settings_json), _flat(other.settings)
    settings = [
        f"{name} {theirs.get(name)!s} → {mine.get(name)!s}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name) and len(str(mine.get(name))) < 60
    ]
    ours = node.input_addresses
    inputs = [
        f"input {name}"
        for name in sorted(ours.keys() | other.inputs.keys())
        if ours.get(name) != other.inputs.get(name)
    ]
    return settings + inputs or ["the stage's version"]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
