"""Images of one static binary each, made without an image builder and put into the registry.

The node pulls them like any other: under disk pressure kubelet removes images that nothing runs, the pause image among
them, and what is not in a registry would never come back.
"""

import hashlib
import io
import json
import platform
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable

from devcluster.components import COMPONENTS

_REGISTRY = "localhost:5000"
_COMPONENT = {"pause": "agent", "coredns": "coredns", "jobset": "jobset", "kueue": "kueue"}
_KIND = "application/vnd.oci.image"


def image_name(binary: str) -> str:
    """Tagged by the component's version and build."""
    return f"{_REGISTRY}/cluster/{binary}:{_tag(binary)}"


def push_images(binaries: Iterable[str]) -> None:
    """Give the registry those of these images that it does not have."""
    for binary in binaries:
        manifest = f"cluster/{binary}/manifests/{_tag(binary)}"
        if _call("HEAD", f"/v2/{manifest}", accept=f"{_KIND}.manifest.v1+json") is None:
            _push(f"cluster/{binary}", manifest, COMPONENTS[_COMPONENT[binary]].binary(binary).read_bytes(), binary)


def registry_answers() -> bool:
    """Whether it is served."""
    try:
        return _call("GET", "/v2/") is not None
    except urllib.error.URLError:
        return False


def _tag(binary: str) -> str:
    return COMPONENTS[_COMPONENT[binary]].folder.name


def _push(repository: str, manifest_path: str, program: bytes, name: str) -> None:
    """Upload layer, configuration and manifest (OCI distribution specification, pushing monolithically)."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": [f"/{name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
    }
    blobs = {f"{_KIND}.config.v1+json": json.dumps(config).encode(), f"{_KIND}.layer.v1.tar": layer.getvalue()}
    for blob in blobs.values():
        upload = _call("POST", f"/v2/{repository}/blobs/uploads/") or ""
        joint = "&" if urllib.parse.urlsplit(upload).query else "?"
        _call("PUT", f"{upload}{joint}digest={_digest(blob)}", blob, "application/octet-stream")
    described, layered = (
        {"mediaType": kind, "digest": _digest(blob), "size": len(blob)} for kind, blob in blobs.items()
    )
    kind = f"{_KIND}.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": [layered]}
    _call("PUT", f"/v2/{manifest_path}", json.dumps(manifest).encode(), kind)


def _call(method: str, address: str, body: bytes | None = None, content: str = "", accept: str = "*/*") -> str | None:
    """The answer's Location, or "" without one; None where nothing has that name."""
    headers = {"Accept": accept} | ({"Content-Type": content} if content else {})
    url = urllib.parse.urljoin(f"http://{_REGISTRY}", address)
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.headers.get("Location", ""))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()
