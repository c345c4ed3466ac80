"""A task's log: while it runs, after its end, and after its pod is gone."""

import subprocess

SOON = 300


def test_given_a_task_that_runs_when_its_log_is_followed_then_it_comes_to_the_task_s_end(cluster, small):
    name = cluster.submit(*small, until=("mirror",))

    log = cluster.rlgen("logs", "mirror", name, "--follow")

    assert "mirror: mirror/" in log
    assert "published" in log
    assert cluster.end(name, SOON)["status"]["phase"] == "Succeeded"


def test_given_a_pod_that_is_gone_when_its_log_is_asked_for_then_it_comes_from_the_archive(cluster, small):
    name = cluster.submit(*small, until=("mirror",))
    assert cluster.end(name, SOON)["status"]["phase"] == "Succeeded"
    pods = f"workflows.argoproj.io/workflow={name}"
    subprocess.run(
        ["kubectl", "delete", "pods", f"--namespace={cluster.namespace}", "--wait", f"--selector={pods}"], check=True
    )

    assert "published" in cluster.rlgen("logs", "mirror", name)


def test_given_a_wrong_name_when_a_log_is_asked_for_then_the_right_ones_are_named(cluster, small):
    name = cluster.submit(*small, until=("mirror",))

    assert "its tasks are mirror" in cluster.rlgen("logs", "mirrror", name, code=2)
    assert f"the newest are {name}" in cluster.rlgen("logs", "mirror", "tiny-none", code=2)

    cluster.end(name, SOON)
