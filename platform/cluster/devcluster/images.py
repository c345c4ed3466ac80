"""Images of one static binary each, made without an image builder and handed to containerd."""

import hashlib
import io
import json
import platform
import socket
import subprocess
import tarfile
from pathlib import Path

from devcluster.components import COMPONENTS
from devcluster.paths import CONTAINERD_SOCKET, RUN

_COMPONENT = {"pause": "agent", "coredns": "coredns"}


def image_name(binary: str) -> str:
    """Tagged by the component's version and build."""
    return f"localhost/{binary}:{COMPONENTS[_COMPONENT[binary]].folder.name}"


def import_images() -> list[str]:
    """Give containerd the images that it does not have; their names."""
    present = _ctr("images", "ls", "-q").split()
    fresh = [binary for binary in _COMPONENT if image_name(binary) not in present]
    for binary in fresh:
        archive = RUN / f"{binary}.tar"
        _write_archive(archive, image_name(binary), COMPONENTS[_COMPONENT[binary]].binary(binary))
        _ctr("images", "import", "--snapshotter", "overlayfs", str(archive))
        archive.unlink()
    return fresh


def containerd_answers() -> bool:
    """Whether its socket is served: a crash leaves one that is not."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(CONTAINERD_SOCKET)) == 0


def _ctr(*arguments: str) -> str:
    command = ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _write_archive(archive: Path, name: str, binary: Path) -> None:
    """The OCI image layout, as a tar file: an image whose only file is the binary."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, binary.name, binary.read_bytes(), mode=0o755)
    blobs = [layer.getvalue()]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": [f"/{binary.name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(blobs[0])]},
    }
    blobs.append(json.dumps(config).encode())
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _descriptor(f"{kind}.config.v1+json", blobs[1]),
        "layers": [_descriptor(f"{kind}.layer.v1.tar", blobs[0])],
    }
    blobs.append(json.dumps(manifest).encode())
    entry = _descriptor(f"{kind}.manifest.v1+json", blobs[2]) | {"annotations": {"io.containerd.image.name": name}}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for blob in blobs:
            _add(tar, f"blobs/{_digest(blob).replace(':', '/')}", blob)


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
