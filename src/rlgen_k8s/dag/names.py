"""Names by which the workflow, its pods and the local runner understand each other."""

TASK_PARAMETERS = ("name", "key", "settings", "inputs")
"""Input parameters of every stage's template: what differs between its tasks."""

WORKFLOW_PARAMETERS = ("store", "tracking", "submission")
"""Parameters of the workflow: the place it runs in."""

EXPECTED_MINUTES = "rlgen-k8s/expected-minutes"
"""Annotation of a template: what the local runner orders tasks by."""
