"""With Docker the cluster is kind's. Docker and kind are programs here that note what they are asked."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlgen-k8s" / "bin"
NOTED = """#!/bin/sh
echo "$(basename "$0") $*" >> {calls}
"""
KUBECTL = """#!/bin/sh
case "$1" in
kustomize) exec {built}/current/kubectl "$@" ;;
config) [ "$2" != current-context ] || echo rlgen-dev ;;
apply) cat > {applied} ;;
esac
echo "kubectl $*" >> {calls}
"""


@pytest.fixture
def kind(command, tmp_path) -> Iterator[Callable[..., tuple[int, list[str], list[str]]]]:
    """Run `up` or `down` where a Docker daemon answers: exit code, what docker, kind and kubectl were asked, errors.

    The port of etcd is taken, so that the other cluster is never started.
    """
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name in ("docker", "kind", "kubectl"):
        text = KUBECTL if name == "kubectl" else NOTED
        (programs / name).write_text(text.format(calls=calls, built=BUILT, applied=tmp_path / "applied"))
        (programs / name).chmod(0o755)
    # What is built is found, and what is linked is seen.
    cache = tmp_path / "cache" / "rlgen-k8s" / "bin"
    cache.mkdir(parents=True)
    for folder in BUILT.iterdir():
        if folder.name != "current":
            (cache / folder.name).symlink_to(folder)
    folders = {"XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state", "KUBECONFIG": "kubeconfig"}
    folders = {name: str(tmp_path / below) for name, below in folders.items()}
    path = f"{programs}:{os.environ['PATH']}"

    def run(name: str, **changes: str) -> tuple[int, list[str], list[str]]:
        calls.write_text("")
        ended = command(name, **{"KIND": "", "PATH": path} | folders | changes)
        return ended.code, calls.read_text().splitlines(), ended.errors

    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            taken.bind(("127.0.0.1", 2379))
            taken.listen()
        yield run


def test_the_cluster_is_kind_s_with_pinned_images_and_with_what_images_and_installation_need(kind, tmp_path):
    code, asked, errors = kind("up", GPUS="8")
    assert code == 0, errors
    asked_for = "\n".join(asked)
    assert "kind create cluster --name rlgen-dev --config cluster.yaml" in asked_for
    assert "kubectl config use-context rlgen-dev" in asked
    assert any("patch node rlgen-dev-control-plane" in line and '"value": "8"' in line for line in asked)
    linked = {path.name for path in (tmp_path / "cache/rlgen-k8s/bin/current").iterdir()}
    assert {"kubectl", "helm", "minio", "workflow-controller", "argo", "argoexec"} <= linked
    config = (Path(__file__).parents[2] / "platform/cluster/kind/cluster.yaml").read_text()
    assert "image: kindest/node:v1.34.3@sha256:" in config


def test_with_queues_the_projects_released_manifests_are_applied_to_it(kind, tmp_path):
    code, asked, errors = kind("up", QUEUES="1")
    assert code == 0, errors
    assert asked.index("kubectl config use-context rlgen-dev") < asked.index(
        "kubectl apply --server-side --field-manager rlgen --filename -"
    )
    for project in ("jobset", "kueue"):
        assert f"image: registry.k8s.io/{project}/{project}:v0." in (tmp_path / "applied").read_text()
        assert any(f"--namespace {project}-system" in line for line in asked)


def test_the_registry_is_started_again_or_made_of_a_pinned_image(kind, tmp_path):
    _, asked, _ = kind("up")
    assert "docker start rlgen-registry" in asked
    assert not [line for line in asked if line.startswith("docker run")]
    docker = tmp_path / "bin/docker"
    docker.write_text(docker.read_text() + '[ "$1" != start ]\n')
    _, asked, _ = kind("up")
    [made] = [line for line in asked if line.startswith("docker run")]
    assert "--publish 127.0.0.1:5000:5000 registry:3.0.0@sha256:" in made


def test_it_is_removed_with_its_context(kind):
    code, asked, errors = kind("down")
    assert code == 0, errors
    assert "kind delete cluster --name rlgen-dev" in asked
    assert "kubectl config unset current-context" in asked
    assert "kubectl config delete-context rlgen-dev" in asked


def test_kind_is_named_where_it_is_missing(kind, tmp_path):
    (tmp_path / "bin/kind").unlink()
    code, _, errors = kind("up")
    assert code == 2
    assert errors == [
        "error: kind: not on PATH, and a Docker daemon answers; install kind, or go without Docker: KIND=0"
    ]


def test_the_other_cluster_can_be_had_where_docker_is(kind):
    code, asked, errors = kind("up", KIND="0")
    assert (code, asked) == (2, [])
    assert [line for line in errors if "port 2379" in line]


def test_a_cluster_of_the_other_way_stays_that_where_docker_starts_later(kind, tmp_path):
    state = tmp_path / "state/rlgen-k8s/cluster"
    state.mkdir(parents=True)
    (state / "absent-before.json").write_text("[]")
    code, asked, errors = kind("up")
    assert (code, asked) == (2, [])
    assert [line for line in errors if "port 2379" in line]


def test_another_value_is_refused(kind):
    code, asked, errors = kind("up", KIND="yes")
    assert (code, asked) == (2, [])
    assert errors == ["error: KIND=yes: expected 0, for the cluster without Docker, or nothing"]
