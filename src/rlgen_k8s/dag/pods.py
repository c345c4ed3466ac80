"""The shape of a pod: command, environment, resources, security, and when it is tried again."""

from hera.workflows import Container, Env, Parameter, Resources, RetryStrategy
from hera.workflows.models import Backoff, Capabilities, SeccompProfile, SecurityContext

from rlgen_k8s.dag.names import EXPECTED_MINUTES, TASK_PARAMETERS
from rlgen_k8s.study.settings import PodShape

# 75: try again. 137 and 143: killed (memory, preemption, a drained node). `Error`: the pod was deleted.
# Everything else, 2 above all, would fail in the same way again.
RETRY_WHEN = "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) in [75, 137, 143]"
RETRIES = 4


def stage_template(stage: str, image: str, shape: PodShape) -> Container:
    """The container template of `stage`. Its inputs are the parameters that differ between the stage's tasks."""
    resources = Resources(
        cpu_request=shape.cpu,
        memory_request=f"{shape.memory:g}Gi",
        memory_limit=f"{shape.memory:g}Gi",
        gpus=shape.gpus or None,
    )
    arguments = [f"--{name}={{{{inputs.parameters.{name}}}}}" for name in TASK_PARAMETERS]
    return Container(
        name=stage,
        image=image,
        command=["rlgen-stage"],
        args=[f"--stage={stage}", *arguments],
        inputs=[Parameter(name=name) for name in TASK_PARAMETERS],
        env=[
            Env(name="RLGEN_STORE", value="{{workflow.parameters.store}}"),
            Env(name="MLFLOW_TRACKING_URI", value="{{workflow.parameters.tracking}}"),
            Env(name="RLGEN_SUBMISSION", value="{{workflow.parameters.submission}}"),
            Env(name="OMP_NUM_THREADS", value=str(max(1, int(shape.cpu)))),
        ],
        resources=resources,
        annotations={EXPECTED_MINUTES: f"{shape.minutes:g}"},
        retry_strategy=RetryStrategy(
            limit=RETRIES,
            retry_policy="Always",
            expression=RETRY_WHEN,
            backoff=Backoff(duration="5s", factor=2, max_duration="5m"),
        ),
        security_context=SecurityContext(
            allow_privilege_escalation=False,
            capabilities=Capabilities(drop=["ALL"]),
            run_as_non_root=True,
            seccomp_profile=SeccompProfile(type="RuntimeDefault"),
        ),
    )
