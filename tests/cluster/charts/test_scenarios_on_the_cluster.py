import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCENARIOS = sorted(path.stem for path in (ROOT / "charts/rlgen/values").glob("*.yaml"))
NAMESPACE = "rlgen-dry-run"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"


def run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def namespace(tools):
    run("kubectl", "create", "namespace", NAMESPACE)
    run("kubectl", "label", "namespace", NAMESPACE, *RESTRICTED)
    yield NAMESPACE
    run("kubectl", "delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_api_server_takes_a_scenario_without_a_warning(namespace, scenario):
    """Fields it does not know, values of the wrong kind and pods below the restricted standard would be told."""
    images = "images.stages=registry.test/stages:1,images.tracking=registry.test/tracking:1"
    # Node ports are one set for the whole cluster: those of dev may be in use.
    ports = "argo.server.nodePort=0,minio.nodePort=0,mlflow.nodePort=0"
    objects = run(
        *("helm", "template", "rlgen", str(ROOT / "charts/rlgen"), "--namespace", namespace),
        *("--values", str(ROOT / f"charts/rlgen/values/{scenario}.yaml"), "--set", images, "--set", ports),
    )
    taken = run(
        *("kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors"),
        *("--filename", "-"),
        stdin=objects,
    )
    assert len(taken.splitlines()) == objects.count("\nkind: ")


def test_a_pod_below_the_standard_would_be_told(namespace):
    """The check above can fail."""
    pod = (
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"},'
        '"spec": {"containers": [{"name": "a", "image": "a:1"}]}}'
    )
    done = subprocess.run(
        ["kubectl", "--namespace", namespace, "apply", "--server-side", "--dry-run=server", "--filename", "-"],
        input=pod,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "violates PodSecurity" in done.stderr
