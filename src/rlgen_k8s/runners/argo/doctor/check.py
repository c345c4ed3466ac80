"""A check's result, and what the checks are given."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.platform import Platform
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.settings import Study


@dataclass(frozen=True)
class Check:
    """`ok` is None when it cannot be told from here; that stops nothing."""

    subject: str
    ok: bool | None
    said: str


@dataclass(frozen=True)
class Situation:
    """What is to be checked: a platform, its store as reached from here, and the tasks of a study that are to run."""

    cluster: Cluster
    platform: Platform
    store: Store
    image: str
    image_vllm: str
    study: Study | None = None
    todo: Sequence[Node] = ()
