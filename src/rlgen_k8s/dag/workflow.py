"""A study's nodes as one Hera Workflow: the only description of what runs, here and on Argo."""

from collections.abc import Collection

from hera.workflows import DAG, Parameter, Task, Workflow
from hera.workflows.models import ArtifactRepositoryRef, ExecutorConfig, Metadata, PodGC, TTLStrategy

from rlgen_k8s.dag.gangs import gang_template
from rlgen_k8s.dag.names import SETTINGS, STUDY, SUBMISSION, TASK_PARAMETERS, WORKFLOW_PARAMETERS
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.dag.place import CHART, Place, workflow_name
from rlgen_k8s.dag.pods import POD_PATCH, POD_SECURITY, close_template, stage_template
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.store.keys import canonical_json
from rlgen_k8s.study.settings import Study

DAY = 24 * 3600
# Logs and artifacts outlive both pods and workflows, in the artifact repository.
POD_GC = PodGC(strategy="OnPodSuccess", delete_delay_duration="5m")
TTL = TTLStrategy(seconds_after_success=7 * DAY, seconds_after_failure=30 * DAY)


def build_workflow(
    study: Study,
    nodes: list[Node],
    *,
    finished: Collection[str] = (),
    place: Place = CHART,
    name: str = "",
) -> Workflow:
    """The workflow of `nodes` without those named in `finished`, whose results are already in the store.

    Addresses of the place it runs in are values of workflow parameters, never part of a template. Without a `name` it
    is that of `workflow_name`.
    """
    todo = [node for node in nodes if node.name not in finished]
    image, image_vllm = place.image or study.image, place.image_vllm or study.image_vllm
    values = dict(zip(WORKFLOW_PARAMETERS, (place.store, place.tracking, place.submission), strict=True))
    labels = {STUDY: study.name, SUBMISSION: place.submission}
    with Workflow(
        name=name or workflow_name(study.name, (node.address for node in todo)),
        entrypoint="study",
        labels=labels,
        annotations={SETTINGS: study.model_dump_json()},
        arguments=[Parameter(name=name, value=value) for name, value in values.items()],
        service_account_name=place.service_account,
        automount_service_account_token=False,
        executor=ExecutorConfig(service_account_name=place.executor_service_account),
        security_context=POD_SECURITY,
        pod_metadata=Metadata(labels=labels),
        pod_spec_patch=POD_PATCH,
        artifact_repository_ref=ArtifactRepositoryRef(
            config_map=place.artifact_repositories, key=place.artifact_repository
        ),
        archive_logs=True,
        pod_gc=POD_GC,
        ttl_strategy=TTL,
    ) as workflow:
        shapes = {node.stage: node.shape for node in todo}
        online = {node.stage for node in todo if _from_the_hub(node)}
        images = {node.stage: image_vllm for node in todo if node.on_vllm}
        templates = {
            stage: gang_template(stage, images.get(stage, image), shape, place, place.queue)
            if shape.nodes > 1 and place.queue
            else stage_template(stage, images.get(stage, image), shape, place, online=stage in online)
            for stage, shape in shapes.items()
        }
        workflow.on_exit = close_template(image, place)
        with DAG(name="study"):
            for node in todo:
                waits_for = [item.name for item in node.dependencies if item.name not in finished]
                Task(
                    name=node.name,
                    template=templates[node.stage],
                    arguments=[Parameter(name=name, value=value) for name, value in _arguments(node).items()],
                    dependencies=waits_for or None,
                )
    return workflow


def _from_the_hub(node: Node) -> bool:
    settings = node.settings
    return (isinstance(settings, MirrorSettings) and settings.kind == "hub") or (
        isinstance(settings, ModelSettings) and settings.source == "hub"
    )


def _arguments(node: Node) -> dict[str, str]:
    values = (node.name, node.key, canonical_json(node.settings_json), canonical_json(node.input_addresses))
    return dict(zip(TASK_PARAMETERS, values, strict=True))
