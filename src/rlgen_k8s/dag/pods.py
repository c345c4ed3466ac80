"""The pods of a workflow: command, environment, resources, volumes, security, and when one is tried again."""

import json
from collections.abc import Sequence
from typing import Any

from hera.workflows import (
    Artifact,
    Container,
    EmptyDirVolume,
    Env,
    ExistingVolume,
    FieldEnv,
    NoneArchiveStrategy,
    Parameter,
    Resources,
    RetryStrategy,
    SecretEnv,
)
from hera.workflows.models import Backoff, Capabilities, PodSecurityContext, Quantity, SeccompProfile, SecurityContext

from rlgen_k8s.dag.names import EXPECTED_MINUTES, INTERNET, STAGE, TASK, TASK_PARAMETERS
from rlgen_k8s.dag.place import CacheClaim, Place
from rlgen_k8s.stages.points import RESUME_STEPS
from rlgen_k8s.study.settings import PodShape

# Exit codes: 75 try again; 137 and 143 killed (preempted, evicted, its node drained); -1 nobody saw the end. `Error`:
# the pod was deleted, or Argo's own containers failed. Everything else, 2 above all, would fail in the same way again,
# and so would a pod that used more than its memory ("OOMKilled") or its volumes ("Usage of EmptyDir volume … exceeds").
# Argo's executor, as process 1, ends with 2 when a second SIGTERM comes while it waits for a stage that the first one
# stopped: then only the stage's own words tell.
RETRY_WHEN = (
    "!(lastRetry.message contains 'OOMKilled') && !(lastRetry.message contains 'Usage of EmptyDir')"
    " && (lastRetry.status == 'Error' || asInt(lastRetry.exitCode) in [-1, 75, 137, 143]"
    " || lastRetry.message contains 'stopped by SIGTERM')"
)
# Argo waits between attempts only where there is a limit, and counts preemptions in it; so it is out of the way, and
# the frame counts the failures that are the stage's own (`stages/frame/budget.py`). The last waits are 5 min each.
RETRIES = 100
GRACE_SECONDS = 30
USER = 65532
SCRATCH, CACHE = "/scratch", "/cache"
VIEWABLE = {"report": ("report.html", "figures", "features")}
"""What a person looks at in Argo's UI, by stage: files and folders of the result."""

POD_SECURITY = PodSecurityContext(
    run_as_non_root=True,
    run_as_user=USER,
    run_as_group=USER,
    fs_group=USER,
    fs_group_change_policy="OnRootMismatch",  # else every pod would go through all files of the node's cache
    seccomp_profile=SeccompProfile(type="RuntimeDefault"),
)
# What Argo has no field of its own for.
POD_PATCH = json.dumps({"terminationGracePeriodSeconds": GRACE_SECONDS, "enableServiceLinks": False})


def stage_template(stage: str, image: str, shape: PodShape, place: Place, *, online: bool = False) -> Container:
    """The container template of `stage`. Its inputs are the parameters that differ between the stage's tasks.

    `online` pods may reach the hub.
    """
    viewable = VIEWABLE.get(stage, ())
    # Of several pods it is their JobSet that waits.
    waits_in = place.queue.labels if place.queue and shape.queued and shape.nodes == 1 else {}
    return Container(
        name=stage,
        image=image,
        command=["rlgen-stage"],
        args=[f"--stage={stage}", *(f"--{name}={{{{inputs.parameters.{name}}}}}" for name in TASK_PARAMETERS)],
        inputs=[Parameter(name=name) for name in TASK_PARAMETERS],
        outputs=[_viewable(path) for path in viewable] or None,
        env=[
            *pod_environment(image, place),
            Env(name="OMP_NUM_THREADS", value=str(max(1, int(shape.cpu)))),
            Env(name="RLGEN_ATTEMPT", value="{{=asInt(retries) + 1}}"),
            Env(name="RLGEN_PATIENCE", value=f"{shape.patience:g}"),
            Env(name="RLGEN_MEMORY", value=f"{shape.memory:g}"),
            Env(name="RLGEN_GPUS", value=str(shape.gpus * shape.nodes)),
            *([Env(name="RLGEN_PROCESSES", value=str(shape.processes))] if shape.processes > 1 else []),
            *([Env(name=RESUME_STEPS, value=str(shape.resume_steps))] if shape.resume_steps is not None else []),
            *([_hub_token(place)] if online else []),
            *(_cache_environment(place.cache) if place.cache else []),
            *([Env(name="RLGEN_ARTIFACTS", value=f"{SCRATCH}/artifacts")] if viewable else []),
        ],
        resources=pod_resources(shape),
        volumes=pod_volumes(shape, place.cache),
        annotations={EXPECTED_MINUTES: f"{shape.minutes:g}"},
        labels={STAGE: stage, TASK: "{{inputs.parameters.name}}"} | ({INTERNET: "true"} if online else {}) | waits_in,
        retry_strategy=RetryStrategy(
            limit=RETRIES,
            retry_policy="Always",
            expression=RETRY_WHEN,
            # `cap` bounds the wait between two attempts; `maxDuration` would end all attempts.
            backoff=Backoff(duration="5s", factor=2, cap="5m"),
        ),
        security_context=_container_security(),
    )


def close_template(image: str, place: Place) -> Container:
    """The exit handler: ends the submission in MLflow and sends what stages could not send."""
    shape = PodShape(cpu=0.1, memory=1, disk=1)
    return Container(
        name="close",
        image=image,
        command=["python"],
        args=["-m", "rlgen_k8s.tracking.close", "--status={{workflow.status}}"],
        env=[*pod_environment(image, place), Env(name="RLGEN_FAILURES", value="{{workflow.failures}}")],
        resources=pod_resources(shape),
        volumes=pod_volumes(shape),
        labels={STAGE: "close"},
        retry_strategy=RetryStrategy(limit=3, retry_policy="Always", backoff=Backoff(duration="5s", factor=2)),
        security_context=_container_security(),
    )


def pod_environment(image: str, place: Place) -> Sequence[Any]:
    """The variables of every pod."""
    return [
        Env(name="RLGEN_STORE", value="{{workflow.parameters.store}}"),
        Env(name="MLFLOW_TRACKING_URI", value="{{workflow.parameters.tracking}}"),
        Env(name="RLGEN_SUBMISSION", value="{{workflow.parameters.submission}}"),
        SecretEnv(name="MINIO_ACCESS_KEY", secret_name=place.store_secret, secret_key="access-key"),
        SecretEnv(name="MINIO_SECRET_KEY", secret_name=place.store_secret, secret_key="secret-key"),
        FieldEnv(name="RLGEN_POD", field_path="metadata.name"),
        FieldEnv(name="RLGEN_NODE", field_path="spec.nodeName"),
        Env(name="RLGEN_IMAGE", value=image),
        Env(name="RLGEN_SCRATCH", value=SCRATCH),
        Env(name="RLGEN_HOME", value=f"{SCRATCH}/home"),
        Env(name="HOME", value=f"{SCRATCH}/home"),
    ]


def _hub_token(place: Place) -> SecretEnv:
    """Opens gated repositories; pods start without it."""
    return SecretEnv(name="HF_TOKEN", secret_name=place.hub_secret, secret_key="token", optional=True)


def _cache_environment(cache: CacheClaim) -> Sequence[Env]:
    return [Env(name="RLGEN_CACHE", value=CACHE), Env(name="RLGEN_CACHE_GIB", value=f"{cache.gib:g}")]


def pod_resources(shape: PodShape) -> Resources:
    """What the container asks for."""
    return Resources(
        cpu_request=shape.cpu,
        memory_request=f"{shape.memory:g}Gi",
        memory_limit=f"{shape.memory:g}Gi",
        ephemeral_request=f"{shape.disk:g}Gi",
        gpus=shape.gpus or None,
    )


def pod_volumes(shape: PodShape, cache: CacheClaim | None = None) -> list[EmptyDirVolume | ExistingVolume]:
    """All that a stage can write to. Shared memory counts as memory of the pod, so it is at most half of it."""
    return [
        *([ExistingVolume(name="cache", claim_name=cache.name, mount_path=CACHE)] if cache else []),
        EmptyDirVolume(name="scratch", mount_path=SCRATCH, size_limit=Quantity(f"{shape.disk:g}Gi")),
        EmptyDirVolume(name="tmp", mount_path="/tmp", size_limit=Quantity(f"{shape.disk:g}Gi")),
        EmptyDirVolume(
            name="shm", mount_path="/dev/shm", medium="Memory", size_limit=Quantity(f"{shape.memory / 2:g}Gi")
        ),
    ]


def _viewable(path: str) -> Artifact:
    return Artifact(
        name=path.partition(".")[0],
        path=f"{SCRATCH}/artifacts/{path}",
        archive=NoneArchiveStrategy(),
        optional=True,  # a stage that failed has none, and its own message is the one to show
    )


def _container_security() -> SecurityContext:
    return SecurityContext(
        allow_privilege_escalation=False,
        capabilities=Capabilities(drop=["ALL"]),
        read_only_root_filesystem=True,
        run_as_non_root=True,
        seccomp_profile=SeccompProfile(type="RuntimeDefault"),
    )
