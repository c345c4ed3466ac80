"""The software bill of materials that `images/build` writes of an image."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/you/rlgen/stages@{DIGEST}"
COMPONENT = {
    "type": "object",
    "required": ["type", "name", "bom-ref"],
    "properties": {
        "type": {"enum": ["application", "container", "library", "operating-system"]},
        "name": {"type": "string"},
        "version": {"type": "string"},
        "bom-ref": {"type": "string", "minLength": 1},
        "purl": {"type": "string"},
        "externalReferences": {
            "type": "array",
            "items": {
                "required": ["url", "type"],
                "properties": {
                    "url": {"type": "string"},
                    "type": {"const": "distribution"},
                    "hashes": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["alg", "content"],
                            "properties": {
                                "alg": {"const": "SHA-256"},
                                "content": {"type": "string", "pattern": "^[a-f0-9]{64}$"},
                            },
                            "additionalProperties": False,
                        },
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["bomFormat", "specVersion", "version"],
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.5"},
        "serialNumber": {
            "type": "string",
            "pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        },
        "version": {"type": "integer", "minimum": 1},
        "metadata": {"type": "object", "properties": {"component": COMPONENT}, "additionalProperties": False},
        "components": {"type": "array", "items": COMPONENT, "uniqueItems": True},
    },
    "additionalProperties": False,
}
"""What CycloneDX 1.5 (bom-1.5.schema.json) says of the fields used here, and no other field."""

STATUS = """Package: libstdc++6
Status: install ok installed
Architecture: amd64
Source: gcc-12
Version: 12.2.0-14+deb12u1
Description: GNU Standard C++ Library v3
 Package: not-a-field

Package: passwd
Status: install ok installed
Architecture: amd64
Source: shadow (1:4.13+dfsg1-1)
Version: 1:4.13+dfsg1-1+deb12u1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1.0
"""
GO = """/usr/bin/tool: go1.26.8
\tpath\tgithub.com/Some/tool/v2/cmd/tool
\tmod\tgithub.com/Some/tool/v2\tv2.1.0\t
\tdep\tgithub.com/Azure/go\tv1.0.0+incompatible\th1:abc=
\tdep\texample.com/old\tv0.1.0
\t=>\texample.com/fork\tv0.1.1\th1:def=
\tbuild\t-trimpath=true
"""


def bill(parts: Path, image: str = IMAGE) -> dict[str, Any]:
    command = [sys.executable, "images/lib/sbom.py", image, parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def purls(found: dict[str, Any]) -> set[str]:
    return {component["purl"] for component in found["components"] if "purl" in component}


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Path:
    """What uv says of the tracking server's part of the lock, and an environment that lacks one of its packages."""
    parts = tmp_path_factory.mktemp("parts")
    uv = [".uv/bin/uv", "export", "--quiet", "--frozen", "--no-emit-project", "--format", "cyclonedx1.5"]
    done = subprocess.run(
        [*uv, "--only-group", "tracking-server"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (parts / "locked.json").write_text(done.stdout)
    names = [(c["name"].replace("-", "_"), c["version"]) for c in json.loads(done.stdout)["components"]]
    folders = [f"{name}-{version}.dist-info" for name, version in names if name != "mlflow"]
    (parts / "installed").write_text("\n".join([*folders, "rlgen_k8s-0.1.0.dist-info"]))
    return parts


def test_it_names_the_image_by_digest_and_twice_the_same_bytes(tmp_path):
    (tmp_path / "debian").write_text(STATUS)
    found = bill(tmp_path)
    image = found["metadata"]["component"]
    assert image["bom-ref"] == IMAGE
    assert (image["name"], image["version"]) == ("stages", DIGEST)
    assert unquote(image["purl"]) == f"pkg:oci/stages@{DIGEST}?repository_url=ghcr.io/you/rlgen/stages"
    assert found == bill(tmp_path)
    assert found["serialNumber"] != bill(tmp_path, IMAGE.replace("ab", "cd"))["serialNumber"]


def test_debian_packages_are_the_installed_ones_with_the_source_that_advisories_name(tmp_path):
    (tmp_path / "debian").write_text(STATUS)
    found = bill(tmp_path)
    assert {"type": "operating-system", "bom-ref": "debian@12", "name": "debian", "version": "12"} in found[
        "components"
    ]
    assert purls(found) == {
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12",
        "pkg:deb/debian/passwd@1%3A4.13%2Bdfsg1-1%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=shadow",
    }


def test_python_packages_are_the_installed_ones_with_the_hashes_of_the_lock(locked):
    found = {component["name"]: component for component in bill(locked)["components"]}
    assert "psycopg-binary" in found and "mlflow" not in found
    assert found["rlgen-k8s"]["purl"] == "pkg:pypi/rlgen-k8s@0.1.0"
    assert "externalReferences" not in found["rlgen-k8s"]
    lock = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    known = {(p["name"], p["version"]): [p.get("sdist", {}), *p.get("wheels", [])] for p in lock}
    for name, component in found.items():
        assert component["purl"] == f"pkg:pypi/{name}@{component['version']}"
        if name != "rlgen-k8s":
            hashes = {f"sha256:{entry['content']}" for at in component["externalReferences"] for entry in at["hashes"]}
            assert hashes == {file["hash"] for file in known[name, component["version"]] if file}


def test_a_binary_has_its_modules_their_replacements_and_gos_library(tmp_path):
    (tmp_path / "go").write_text(GO)
    assert purls(bill(tmp_path)) == {
        "pkg:golang/stdlib@1.26.8",
        "pkg:golang/github.com/some/tool/v2@v2.1.0",
        "pkg:golang/github.com/azure/go@v1.0.0%2Bincompatible",
        "pkg:golang/example.com/fork@v0.1.1",
    }


def test_it_is_cyclonedx(locked, tmp_path):
    for part in locked.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "debian").write_text(STATUS)
    (tmp_path / "go").write_text(GO)
    found = bill(tmp_path)
    Draft7Validator(SCHEMA).validate(found)
    references = [component["bom-ref"] for component in found["components"]]
    assert len(references) == len(set(references)) > 50
