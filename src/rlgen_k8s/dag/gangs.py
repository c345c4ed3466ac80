"""Stages that several pods run together: a launcher's template, and the JobSet that the launcher makes."""

import json
from typing import Any

from hera.shared._pydantic import APIBaseModel
from hera.workflows import Container, Env, FieldEnv

from rlgen_k8s.dag.names import GANG, JOBSET, STAGE, TASK, gang_name
from rlgen_k8s.dag.place import Place, Queue
from rlgen_k8s.dag.pods import (
    GRACE_SECONDS,
    POD_SECURITY,
    pod_environment,
    pod_resources,
    pod_volumes,
    stage_template,
)
from rlgen_k8s.study.settings import PodShape

LAUNCHER = PodShape(cpu=0.1, memory=1, disk=1)
KEPT_SECONDS = 3600
"""How long a JobSet stays that has ended and that no launcher removed."""
JOB = "node"
MASTER_PORT = 29500


def gang_template(stage: str, image: str, shape: PodShape, place: Place, queue: Queue) -> Container:
    """The stage's template with the launcher in it, to which the stage's pod is given as a JobSet."""
    template = stage_template(stage, image, shape, place)
    manifest = json.dumps(jobset(template, stage, shape, place, queue), sort_keys=True, default=_plain)
    template.command = ["python", "-m", "rlgen_k8s.runners.gang"]
    template.env = [*pod_environment(image, place), Env(name=JOBSET, value=manifest)]
    template.resources, template.volumes = pod_resources(LAUNCHER), pod_volumes(LAUNCHER)
    template.service_account_name = queue.launcher_service_account
    template.automount_service_account_token = True
    return template


def jobset(template: Container, stage: str, shape: PodShape, place: Place, queue: Queue) -> dict[str, Any]:
    """The JobSet of `shape.nodes` pods as `template` describes one, but for their arguments, which are the launcher's.

    Argo fills in names as in any template. The arguments it could not: they are JSON, and this becomes JSON in JSON.
    """
    name = gang_name(stage, "{{inputs.parameters.key}}")
    labels = {"workflows.argoproj.io/workflow": "{{workflow.name}}", TASK: "{{inputs.parameters.name}}"}
    volumes = pod_volumes(shape, place.cache)
    alone: Any = template.env
    container = {
        "name": "main",
        "image": template.image,
        "command": template.command,
        "env": [one.build() for one in (*alone, *_rendezvous(name, shape.nodes))],
        "resources": pod_resources(shape).build(),
        "volumeMounts": [one._build_volume_mount() for one in volumes],
        "securityContext": template.security_context,
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": place.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [one._build_volume() for one in volumes],
    }
    job = {
        "completionMode": "Indexed",
        "parallelism": shape.nodes,
        "completions": shape.nodes,
        "backoffLimit": 0,
        "template": {"metadata": {"labels": labels | {STAGE: stage, GANG: "{{inputs.parameters.key}}"}}, "spec": pod},
    }
    owner = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "{{workflow.name}}",
        "uid": "{{workflow.uid}}",
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "labels": labels | queue.labels, "ownerReferences": [owner]},
        "spec": {
            "suspend": True,  # until Kueue admits it
            "failurePolicy": {"maxRestarts": 0},
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "replicatedJobs": [{"name": JOB, "replicas": 1, "template": {"spec": job}}],
        },
    }


def _rendezvous(name: str, nodes: int) -> list[Any]:
    """What each pod is told of the others, by torchrun's names for it."""
    return [
        Env(name="NNODES", value=str(nodes)),
        FieldEnv(name="NODE_RANK", field_path="metadata.annotations['batch.kubernetes.io/job-completion-index']"),
        Env(name="MASTER_ADDR", value=f"{name}-{JOB}-0-0.{name}"),
        Env(name="MASTER_PORT", value=str(MASTER_PORT)),
    ]


def _plain(model: APIBaseModel) -> dict[str, Any]:
    """A model of Hera's as the API server wants it."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
