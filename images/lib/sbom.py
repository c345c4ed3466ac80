"""The software bill of materials of an image, as CycloneDX 1.5: `sbom.py IMAGE FOLDER`, to standard output.

IMAGE is `registry/rlgen/name@sha256:…`. FOLDER holds what was found in it, each file where there is such a part:

    debian       dpkg's status file
    installed    the names of Python's *.dist-info folders, one a line
    locked.json  uv.lock as `uv export --format cyclonedx1.5` prints it
    go           what `go version -m` says of its binary

The same image and the same parts give the same bytes.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

DEBIAN = "12"
"""What `images/base` stands on."""

Component = dict[str, Any]


def bill(image: str, parts: Path) -> dict[str, Any]:
    """The document for `image` (`registry/rlgen/name@sha256:…`) from the files in the folder `parts`."""
    repository, _, digest = image.partition("@")
    name = repository.rpartition("/")[2]
    purl = f"pkg:oci/{name}@{quote(digest, safe='')}?repository_url={quote(repository, safe='')}"
    found = [*_debian(parts / "debian"), *_python(parts), *_go(parts / "go")]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, image)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": image, "name": name, "version": digest, "purl": purl}
        },
        "components": sorted(found, key=lambda component: str(component["bom-ref"])),
    }


def _debian(status: Path) -> Iterator[Component]:
    """Installed packages, with the source package that security advisories name."""
    if not status.exists():
        return
    yield {"type": "operating-system", "bom-ref": f"debian@{DEBIAN}", "name": "debian", "version": DEBIAN}
    for paragraph in status.read_text().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.M))
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={fields['Architecture']}"
        purl += f"&distro=debian-{DEBIAN}"
        if "Source" in fields:
            purl += f"&upstream={quote(fields['Source'].split()[0], safe='')}"
        yield _library(name, version, purl)


def _python(parts: Path) -> Iterator[Component]:
    """Installed distributions; where the lock has one, also where it came from and its hashes."""
    if not (parts / "installed").exists():
        return
    locked = {
        (_normal(component["name"]), component["version"]): component["externalReferences"]
        for component in json.loads((parts / "locked.json").read_text())["components"]
    }
    for line in (parts / "installed").read_text().split():
        written, _, version = line.removesuffix(".dist-info").partition("-")
        name = _normal(written)
        component = _library(name, version, f"pkg:pypi/{name}@{quote(version, safe='')}")
        if (name, version) in locked:
            component["externalReferences"] = locked[name, version]
        yield component


def _go(modules: Path) -> Iterator[Component]:
    """The modules of a binary, those that take another's place for it, and Go's own library."""
    if not modules.exists():
        return
    first, *lines = modules.read_text().splitlines()
    compiler = first.rpartition(": go")[2]
    yield _library("stdlib", compiler, f"pkg:golang/stdlib@{compiler}")
    listed: list[tuple[str, str]] = []
    for line in lines:
        kind, *words = line.split()
        if kind == "=>":
            listed.pop()
        if kind in ("mod", "dep", "=>"):
            listed.append((words[0], words[1]))
    for name, version in listed:
        yield _library(name, version, f"pkg:golang/{quote(name.lower())}@{quote(version, safe='')}")


def _library(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _normal(name: str) -> str:
    """The name as PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    json.dump(bill(sys.argv[1], Path(sys.argv[2])), sys.stdout, indent=1)
