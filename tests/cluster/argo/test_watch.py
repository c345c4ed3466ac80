"""What a user sees of a workflow while it runs, waits, fails, and when the API server is away."""

import secrets
import socket
import subprocess
import threading
from contextlib import suppress
from urllib.parse import urlsplit

import yaml
from kubernetes import client

SOON = 300


class Watching:
    """`rlgen watch` as a process whose lines can be waited for."""

    def __init__(self, process):
        self.process = process
        self.lines = []

    def until(self, words):
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}:\n{''.join(self.lines)}")

    def end(self):
        self.lines += self.process.stdout.readlines()
        return self.process.wait(SOON), "".join(self.lines)


class Gate:
    """A port of this machine that leads to the API server while it is open; a kubeconfig that goes through it."""

    def __init__(self, folder):
        shown = subprocess.check_output(["kubectl", "config", "view", "--raw", "--minify", "--flatten"], text=True)
        configuration = yaml.safe_load(shown)
        entry = configuration["clusters"][0]["cluster"]
        parts = urlsplit(entry["server"])
        self.target = (parts.hostname, parts.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        entry |= {"server": f"https://127.0.0.1:{self.listener.getsockname()[1]}", "tls-server-name": parts.hostname}
        self.kubeconfig = folder / "gate.yaml"
        self.kubeconfig.write_text(yaml.safe_dump(configuration))
        self.passing = []
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            if not self.is_open:
                near.close()
                continue
            far = socket.create_connection(self.target)
            self.passing += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def shut(self):
        self.is_open = False
        for one in self.passing:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def open(self):
        self.is_open = True


def test_given_a_workflow_when_watched_then_every_task_is_told_and_the_exit_code_is_0(cluster, start, small):
    name = cluster.submit(*small, until=("problems",))

    code, said = Watching(start("watch", name)).end()

    assert code == 0, said
    told = [line.split()[1:3] for line in said.splitlines() if line[2:3] == ":"]
    assert [pair for pair in told if pair[1] in ("started", "done")] == [
        [task, what] for task in ("mirror", "problems", "onExit") for what in ("started", "done")
    ]
    assert f"{name}: done in" in said


def test_given_a_full_quota_when_watched_then_it_says_so_until_there_is_room(cluster, start, small):
    # There are more pods than one already: the platform's own.
    quota = client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name="full"), spec=client.V1ResourceQuotaSpec(hard={"count/pods": "1"})
    )
    cluster.core.create_namespaced_resource_quota(cluster.namespace, quota)
    try:
        name = cluster.submit(*small, until=("mirror",))
        watching = Watching(start("watch", name))
        assert "exceeded quota: full" in watching.until("waits: ")
    finally:
        cluster.core.delete_namespaced_resource_quota("full", cluster.namespace)
    code, said = watching.end()
    assert code == 0, said


def test_given_a_full_node_when_watched_then_it_says_what_there_is_too_little_of(cluster, start, small):
    node = cluster.core.list_node().items[0]
    cores = float(node.status.allocatable["cpu"])
    # Alone on the node a pod of this size has no room beside the platform's own.
    name = cluster.submit(*small, f"pods.mirror.cpu={cores}", until=("mirror",))
    watching = Watching(start("watch", name))

    assert "Insufficient cpu" in watching.until("waits: Unschedulable")

    cluster.rlgen("stop", name)
    code, said = watching.end()
    assert code == 1, said
    assert "rlgen resubmit" in said


def test_given_a_bad_setting_when_watched_then_the_exit_code_is_2_with_message_and_log(cluster, start, small, tmp_path):
    # A folder that this machine has and the pod has not.
    (tmp_path / "here.txt").write_text(secrets.token_hex())
    name = cluster.submit("mirror.kind=folder", f"mirror.path={tmp_path}", "pods.mirror.cpu=0.1", until=("mirror",))

    code, said = Watching(start("watch", name)).end()

    assert code == 2, said
    assert f"log: rlgen logs mirror {name}" in said


def test_given_an_api_server_that_is_away_when_watched_then_it_says_so_and_comes_back(cluster, start, small, tmp_path):
    name = cluster.submit(*small, until=("problems",))
    gate = Gate(tmp_path)
    watching = Watching(start("watch", name, KUBECONFIG=str(gate.kubeconfig)))
    watching.until("started")
    gate.shut()
    watching.until("not reachable")
    gate.open()
    watching.until("reachable again")
    code, said = watching.end()
    assert code == 0, said
