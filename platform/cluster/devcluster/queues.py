"""JobSet and Kueue: the manifests of their modules, as the files of `queues/` change them.

As a program it prints them for any cluster, with images of `REGISTRY`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from devcluster.build import lacking_go, module_folder
from devcluster.components import COMPONENTS, NEEDED_BY_QUEUES, Component
from devcluster.images import image_name
from devcluster.output import UserError, run_main
from devcluster.paths import CURRENT, SOURCE

RELEASES = "registry.k8s.io"
"""Where both projects release their images, as `kueue/kueue` with the module's version."""


def development_manifests() -> str:
    """Their objects for the development cluster, with images of ours, as one YAML text."""
    return _joined(
        _manifests(name, COMPONENTS[name].folder / "config" / "default", "development", image_name(name))
        for name in NEEDED_BY_QUEUES
    )


def released_manifests(registry: str) -> str:
    """Their objects for any other cluster, with the projects' own images, as one YAML text."""
    return _joined(
        _manifests(name, _published(component), "released", f"{registry}/{name}/{name}:{component.version}")
        for name, component in COMPONENTS.items()
        if name in NEEDED_BY_QUEUES
    )


def _published(component: Component) -> Path | str:
    """Where kustomize finds the manifests of this version: in the module, or without Go at GitHub."""
    if list(lacking_go()):
        return f"https://github.com/kubernetes-sigs/{component.name}/config/default?ref={component.version}"
    return module_folder(component) / "config" / "default"


def _manifests(name: str, base: Path | str, cluster: str, image: str) -> str:
    """First what the platform wants of a project, then what a kind of cluster does."""
    leader = str(cluster == "released").lower()
    with TemporaryDirectory(prefix="rlgen-queues-") as work:
        for layer in (name, cluster):
            folder = Path(work).resolve() / layer
            folder.mkdir()
            # kustomize takes other folders by relative paths only.
            below = os.path.relpath(base.resolve(), folder) if isinstance(base, Path) else base
            text = Template((SOURCE / "queues" / f"{layer}.yaml").read_text())
            filled = text.substitute(base=below, name=name, image=image, leader=leader)
            (folder / "kustomization.yaml").write_text(filled)
            base = folder
        kubectl = shutil.which("kubectl", path=f"{CURRENT}:{os.environ['PATH']}")
        if kubectl is None:
            raise UserError("kubectl: not found; install it, or run make cluster, which builds it")
        done = subprocess.run([kubectl, "kustomize", base], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"manifests of {name}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _joined(manifests: Iterable[str]) -> str:
    return "\n---\n".join(manifests)


def _main() -> None:
    print(released_manifests(os.environ.get("REGISTRY") or RELEASES))


if __name__ == "__main__":
    run_main(_main)
