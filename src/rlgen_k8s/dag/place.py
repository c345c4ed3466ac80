"""Where a workflow runs: addresses and names of objects there, no part of any result's key."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Queue:
    """What lets stages in that ask for GPUs or run on several nodes, and who starts the latter."""

    name: str = "rlgen-stages"
    """Of Kueue's LocalQueue."""
    priority: str = "rlgen-stages"
    """Kueue's WorkloadPriorityClass."""
    launcher_service_account: str = "rlgen-launcher"
    """Of the launchers, which make JobSets."""

    @property
    def labels(self) -> dict[str, str]:
        """Of what is to wait in it."""
        return {"kueue.x-k8s.io/queue-name": self.name, "kueue.x-k8s.io/priority-class": self.priority}


@dataclass(frozen=True)
class CacheClaim:
    """Room on each node's own disk for weights that its pods share."""

    name: str = "rlgen-cache"
    """Of the PersistentVolumeClaim."""
    gib: float = 200
    """Of weights on one node, at most."""


@dataclass(frozen=True)
class Place:
    """A place as the workflow needs to know it. The defaults are what the chart installs in the namespace `rlgen`."""

    store: str = "s3://rlgen/results?endpoint=http://rlgen-minio.rlgen.svc:9000"
    """Address of the store, as pods reach it."""
    tracking: str = "http://rlgen-mlflow.rlgen.svc:5000"
    """Address of MLflow, as pods reach it."""
    submission: str = ""
    """Id of the submission; empty: nothing is tracked."""
    image: str = ""
    """Image of the stages; empty: the study's own."""
    image_vllm: str = ""
    """The same with vLLM; empty: the study's own."""
    service_account: str = "rlgen-stage"
    """Of the stages' containers, which get no token."""
    executor_service_account: str = "rlgen-executor"
    """Of Argo's own containers beside them."""
    store_secret: str = "rlgen-store"
    """Secret with `access-key` and `secret-key` of the store."""
    hub_secret: str = "rlgen-hub"
    """Secret with `token` of the Hugging Face hub, for gated repositories; it need not exist."""
    artifact_repositories: str = "artifact-repositories"
    """ConfigMap with Argo's artifact repositories, for logs and for what a person looks at."""
    artifact_repository: str = "rlgen"
    """Key in it."""
    queue: Queue | None = None
    """None: every stage runs in one pod, whatever its shape says, and nothing but room on a node keeps that out."""
    cache: CacheClaim | None = None
    """None: every pod fetches its weights from the store."""


CHART = Place(queue=Queue(), cache=CacheClaim())
"""What the chart installs, queue and cache included."""


def workflow_name(study: str, addresses: Iterable[str]) -> str:
    """The name of the workflow that makes these results: the same for the same work, so that nobody does it twice."""
    digest = hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()
    return f"{study}-{digest[:8]}"
