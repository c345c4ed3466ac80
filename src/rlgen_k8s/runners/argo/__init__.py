"""A study on a Kubernetes with Argo Workflows: submit, watch, logs, stop, and the checks before all that."""
