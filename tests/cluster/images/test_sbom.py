"""Each image's software bill of materials lists what is in the image, and the registry has it beside the image."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
DEBIAN = ["base", "stages", "tracking", "database"]
BINARIES = ["minio", "workflow-controller", "argocli", "argoexec"]
INSTALLED = """
import importlib.metadata, re
for found in importlib.metadata.distributions(path=["/opt/rlgen/.venv/lib/python3.11/site-packages"]):
    print(re.sub("[-_.]+", "-", found.name).lower(), found.version)
"""


def components(name: str, kind: str) -> set[tuple[str, str]]:
    """Names and versions of one kind of package."""
    found = json.loads((ROOT / f"images/.sbom/{name}.cdx.json").read_text())["components"]
    return {(one["name"], one["version"]) for one in found if one.get("purl", "").startswith(f"pkg:{kind}/")}


def pairs(output: str) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in output.splitlines()}


@pytest.mark.parametrize("name", DEBIAN)
def test_it_lists_the_debian_packages_of_the_image(pods, name):
    ended = pods.run(name, "-W", "-f", "${Package} ${Version}\\n", command="dpkg-query")
    assert ended.code == 0, ended.output
    assert components(name, "deb") == pairs(ended.output)


@pytest.mark.parametrize("name", ["stages", "tracking"])
def test_it_lists_the_python_distributions_of_the_image(pods, name):
    ended = pods.run(name, "-c", INSTALLED, command="python")
    assert ended.code == 0, ended.output
    assert components(name, "pypi") == pairs(ended.output)
    assert ("rlgen-k8s" in dict(components(name, "pypi"))) == (name == "stages")


@pytest.mark.parametrize("name", BINARIES)
def test_it_lists_modules_and_the_certificates_of_an_image_of_one_binary(name):
    assert len(components(name, "golang")) > 50
    assert "stdlib" in dict(components(name, "golang"))
    assert set(dict(components(name, "deb"))) == {"ca-certificates"}


@pytest.mark.parametrize("name", [*DEBIAN, *BINARIES])
def test_the_registry_has_it_as_an_artifact_of_the_image(name):
    image = (ROOT / f"images/.built/{name}").read_text().strip()
    bill = (ROOT / f"images/.sbom/{name}.cdx.json").read_bytes()
    assert json.loads(bill)["metadata"]["component"]["bom-ref"] == image
    repository, _, digest = image.partition("@")
    artifact = f"docker://{repository}:{digest.replace(':', '-')}.sbom"
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", artifact]
    manifest: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert manifest["artifactType"] == "application/vnd.cyclonedx+json"
    assert manifest["subject"]["digest"] == digest
    (layer,) = manifest["layers"]
    assert layer["digest"] == f"sha256:{hashlib.sha256(bill).hexdigest()}"
