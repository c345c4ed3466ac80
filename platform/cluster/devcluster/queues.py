"""JobSet and Kueue in the cluster: the manifests of their modules, with images of ours."""

import os
import subprocess
from pathlib import Path
from string import Template

from devcluster.components import COMPONENTS, NEEDED_BY_QUEUES
from devcluster.images import image_name
from devcluster.output import UserError
from devcluster.paths import CURRENT, SOURCE, STATE


def queues_manifests() -> str:
    """Their objects, as one YAML text."""
    return "\n---\n".join(_manifests(name) for name in NEEDED_BY_QUEUES)


def _manifests(name: str) -> str:
    folder = STATE / "queues" / name
    folder.mkdir(parents=True, exist_ok=True)
    base = COMPONENTS[name].folder / "config" / "default"
    template = Template((SOURCE / "queues" / f"{name}.yaml").read_text())
    # kustomize takes other folders by relative paths only.
    filled = template.substitute(base=_relative(base, folder), image=image_name(name))
    (folder / "kustomization.yaml").write_text(filled)
    done = subprocess.run([CURRENT / "kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"manifests of {name}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _relative(path: Path, start: Path) -> str:
    return os.path.relpath(path.resolve(), start.resolve())
