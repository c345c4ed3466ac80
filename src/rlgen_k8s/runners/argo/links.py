"""Where a person looks at a submission: Argo's UI and MLflow's."""

import json
from http.client import HTTPException
from urllib.parse import quote
from urllib.request import urlopen

from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.platform import ANSWER_SECONDS, Platform


def argo_link(cluster: Cluster, platform: Platform, name: str) -> str:
    """The workflow in Argo's UI, or what to type first where the UI has no public address, or that none is known."""
    path = f"workflows/{cluster.namespace}/{name}"
    if platform.argo_ui:
        return f"{platform.argo_ui.rstrip('/')}/{path}"
    if not platform.argo_forwarded:
        return "no address of its UI is known; public.argo of the chart takes one"
    forward = f"kubectl -n {cluster.namespace} port-forward svc/rlgen-argo-server 2746"
    return f"{platform.argo_forwarded}/{path} after `{forward}`"


def mlflow_link(cluster: Cluster, platform: Platform, study: str) -> str:
    """The study's runs in MLflow's UI, or what to type first. A study's very first run makes its page."""
    if not platform.tracking_public:
        return f"http://localhost:5000 after `kubectl -n {cluster.namespace} port-forward svc/rlgen-mlflow 5000`"
    base = platform.tracking_public.rstrip("/")
    query = f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(study)}"
    try:
        with urlopen(query, timeout=ANSWER_SECONDS) as answer:
            return f"{base}/#/experiments/{json.load(answer)['experiment']['experiment_id']}"
    except (OSError, HTTPException, ValueError, KeyError):  # nobody there, or something else than MLflow
        return base
