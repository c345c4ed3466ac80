"""What a registry says of an image's tag: a server that answers as the distribution API has it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from rlgen_k8s.runners.argo.doctor.check import Situation
from rlgen_k8s.runners.argo.doctor.places import image as image_check
from rlgen_k8s.runners.argo.doctor.registry import pinned

DIGEST = f"sha256:{'0a' * 32}"


class Registry(BaseHTTPRequestHandler):
    """Has the tags `told` and `untold`, of which it tells the digest or not, and shows `private` to nobody."""

    def do_HEAD(self):
        tag = self.path.removeprefix("/v2/rlgen/stages/manifests/")
        self.send_response({"told": 200, DIGEST: 200, "untold": 200, "private": 403}.get(tag, 404))
        if tag in ("told", DIGEST):
            self.send_header("Docker-Content-Digest", DIGEST)
        self.end_headers()

    def log_message(self, *arguments):
        """Silent."""


@pytest.fixture(scope="module")
def stages():
    """The image's name without a tag."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/rlgen/stages"
    server.shutdown()
    server.server_close()
    thread.join()


def checked(image, *on_node):
    nodes = {"items": [{"metadata": {"name": "n1"}, "status": {"images": [{"names": list(on_node)}]}}]}
    core = SimpleNamespace(list_node=lambda **options: SimpleNamespace(data=json.dumps(nodes)))
    return image_check(Situation(SimpleNamespace(core=core), None, None, image=image, image_vllm=""))


def test_a_tag_is_taken_by_its_digest(stages):
    assert pinned(f"{stages}:told", 5) == f"{stages}@{DIGEST}"
    assert pinned(f"{stages}@{DIGEST}", 5) == f"{stages}@{DIGEST}"


@pytest.mark.parametrize("tag", ["untold", "private", "absent"])
def test_a_tag_stays_where_the_registry_does_not_tell(stages, tag):
    assert pinned(f"{stages}:{tag}", 5) == f"{stages}:{tag}"


def test_an_image_stays_where_there_is_no_registry_to_ask():
    assert pinned("127.0.0.1:1/rlgen/stages:told", 5) == "127.0.0.1:1/rlgen/stages:told"
    assert pinned("", 5) == ""


def test_what_pods_run_is_said_by_digest_or_that_it_cannot_be(stages):
    told = checked(f"{stages}:told")
    assert (told.ok, told.said.endswith(f"; pods run {stages}@{DIGEST}")) == (True, True)
    for tag in ("untold", "private"):
        found = checked(f"{stages}:{tag}", f"{stages}:{tag}")
        assert found.ok is None
        assert found.said.endswith("pods run it, and results name it, by its tag")
    assert checked(f"{stages}:absent").ok is False


def test_an_image_by_digest_needs_no_registry_where_a_node_has_it(stages):
    assert checked(f"{stages}@{DIGEST}").ok is True
    away = f"127.0.0.1:1/rlgen/stages@{DIGEST}"
    assert (checked(away, away).ok, checked(away).ok) == (True, None)
