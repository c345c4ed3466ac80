"""What a user types to get a study onto Argo, and what comes of it."""

import json

SOON = 300


def sets(settings):
    """Settings as options."""
    return [word for setting in settings for word in ("--set", setting)]


def test_given_nothing_in_the_store_when_submitted_then_it_runs_and_then_there_is_nothing_to_run(cluster, small):
    options = ["tiny", *sets(small), "--until", "problems"]

    said = cluster.rlgen("submit", *options)

    name = said.split(":")[0]
    assert "submitted, 2 of" in said
    assert f"/workflows/{cluster.namespace}/{name}" in said
    assert "MLflow: http" in said
    ended = cluster.end(name, SOON)
    assert ended["status"]["phase"] == "Succeeded", json.dumps(ended["status"])
    assert ended["metadata"]["labels"]["rlgen-k8s/study"] == "tiny"
    seed = json.loads(ended["metadata"]["annotations"]["rlgen-k8s/settings"])["seed"]
    assert f"seed={seed}" in small
    assert "nothing to run" in cluster.rlgen("submit", *options)
    assert "nothing to run" in cluster.rlgen("resubmit", name)


def test_given_a_running_workflow_when_submitted_again_then_it_is_adopted_and_nothing_is_created(cluster, small):
    name = cluster.submit(*small, until=("problems",))
    before = set(cluster.names())

    again = cluster.rlgen("submit", "tiny", *sets(small), "--until", "problems")

    assert f"{name}: already running" in again
    assert set(cluster.names()) == before
    assert cluster.end(name, SOON)["status"]["phase"] == "Succeeded"


def test_given_a_result_made_here_when_submitted_then_it_is_a_hit_and_the_other_way_round(cluster, small, run_here):
    study = ["tiny", *sets(small), "--until"]

    run_here(*study, "mirror")
    said = cluster.rlgen("submit", *study, "problems")

    assert "submitted, 1 of" in said
    assert cluster.end(said.split(":")[0], SOON)["status"]["phase"] == "Succeeded"
    assert "nothing to run" in run_here(*study, "problems")


def test_given_checks_that_fail_when_submitted_then_it_says_which_and_creates_nothing(cluster, small):
    before = set(cluster.names())

    said = cluster.rlgen("submit", "tiny", *sets(small), "--set", "pods.mirror.memory=999", "--until", "mirror", code=2)

    assert "FAIL nodes" in said
    assert "pods.mirror.memory" in said
    assert "not submitted, 1 checks failed" in said
    assert set(cluster.names()) == before


def test_given_a_stopped_workflow_when_resubmitted_then_a_new_one_makes_what_is_missing(cluster, small):
    name = cluster.submit(*small, until=("problems",))
    cluster.pod(name, "mirror", SOON)

    assert "stopping" in cluster.rlgen("stop", name)

    assert cluster.end(name, SOON)["status"]["phase"] == "Failed"
    assert "nothing to stop" in cluster.rlgen("stop", name)
    again = cluster.rlgen("resubmit", name).split(":")[0]
    assert again != name
    assert cluster.workflow(again)["metadata"]["annotations"]["rlgen-k8s/until"] == '["problems"]'
    cluster.rlgen("stop", again)
    cluster.end(again, SOON)


def test_given_no_platform_when_anything_is_asked_then_one_line_says_what_to_do(cluster):
    for command in (["submit", "tiny"], ["doctor"]):
        said = cluster.rlgen(*command, "--namespace", "kube-public", code=2)
        assert "ConfigMap rlgen-platform: not in namespace kube-public" in said
        assert "make install" in said


def test_given_no_cluster_when_anything_is_asked_then_one_line_says_so(start, tmp_path):
    nowhere = tmp_path / "config"
    nowhere.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "me", "user": {}}],
                "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
                "current-context": "gone",
            }
        )
    )
    away = start("watch", KUBECONFIG=str(nowhere))
    said, _ = away.communicate(timeout=60)
    assert away.returncode == 75
    assert said.startswith("error: Kubernetes at https://127.0.0.1:1 (context gone): not reachable")
    assert len(said.strip().splitlines()) == 1
