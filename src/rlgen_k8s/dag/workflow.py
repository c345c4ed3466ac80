"""A study's nodes as one Hera Workflow: the only description of what runs, here and on Argo."""

from collections.abc import Collection

from hera.workflows import DAG, Parameter, Task, Workflow

from rlgen_k8s.dag.names import TASK_PARAMETERS, WORKFLOW_PARAMETERS
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.dag.pods import stage_template
from rlgen_k8s.store.keys import canonical_json
from rlgen_k8s.study.settings import Study


def build_workflow(
    study: Study,
    nodes: list[Node],
    *,
    finished: Collection[str] = (),
    store: str = "",
    tracking: str = "",
    submission: str = "",
) -> Workflow:
    """The workflow of `nodes` without those named in `finished`, whose results are already in the store.

    `store`, `tracking` and `submission` are addresses of the place it runs in: values of workflow parameters, never
    part of a template.
    """
    todo = [node for node in nodes if node.name not in finished]
    values = dict(zip(WORKFLOW_PARAMETERS, (store, tracking, submission), strict=True))
    with Workflow(
        generate_name=f"{study.name}-",
        entrypoint="study",
        labels={"rlgen-k8s/study": study.name},
        arguments=[Parameter(name=name, value=value) for name, value in values.items()],
    ) as workflow:
        shapes = {node.stage: node.shape for node in todo}
        templates = {stage: stage_template(stage, study.image, shape) for stage, shape in shapes.items()}
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


def _arguments(node: Node) -> dict[str, str]:
    values = (node.name, node.key, canonical_json(node.settings_json), canonical_json(node.input_addresses))
    return dict(zip(TASK_PARAMETERS, values, strict=True))
