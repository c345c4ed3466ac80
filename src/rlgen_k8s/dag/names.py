"""Names by which the workflow, its pods and the local runner understand each other."""

TASK_PARAMETERS = ("name", "key", "settings", "inputs")
"""Input parameters of every stage's template: what differs between its tasks."""

WORKFLOW_PARAMETERS = ("store", "tracking", "submission")
"""Parameters of the workflow: the place it runs in."""

EXPECTED_MINUTES = "rlgen-k8s/expected-minutes"
"""Annotation of a template: what the local runner orders tasks by."""

STUDY = "rlgen-k8s/study"
SUBMISSION = "rlgen-k8s/submission"
STAGE = "rlgen-k8s/stage"
TASK = "rlgen-k8s/task"
"""Labels of workflows and pods."""

INTERNET = "rlgen-k8s/internet"
"""Label of pods that the chart's network policies let out to public addresses."""

GANG = "rlgen-k8s/gang"
"""Label of the pods of a gang, which the chart's network policies let talk to each other: the key of their result."""

JOBSET = "RLGEN_JOBSET"
"""Variable of a gang's launcher: the JobSet that it makes, as JSON."""

SETTINGS = "rlgen-k8s/settings"
"""Annotation of a workflow: the study's settings, as JSON."""

POD_ONLY = frozenset(
    {
        "HOME",
        "RLGEN_ARTIFACTS",
        "RLGEN_ATTEMPT",
        "RLGEN_CACHE",
        "RLGEN_CACHE_GIB",
        "RLGEN_HOME",
        "RLGEN_IMAGE",
        "RLGEN_SCRATCH",
    }
)
"""Variables of a template that tell of the pod itself, its file system and its image: they mean nothing elsewhere."""


def gang_name(stage: str, key: str) -> str:
    """The name of the JobSet that makes a result: whoever looks for it finds it."""
    return f"{stage}-{key}"
