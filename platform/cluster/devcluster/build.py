"""Build what is not in the cache yet, and link the binaries of this tree's versions."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from devcluster.components import COMPONENTS, Component
from devcluster.locking import exclusively
from devcluster.output import UserError, step
from devcluster.paths import BINARIES, CURRENT

GO = (1, 26)


def build(names: Iterable[str]) -> None:
    """Make sure that these components are built and linked."""
    for name in names:
        component = COMPONENTS[name]
        with exclusively(f"build-{name}"):
            if not component.folder.exists():
                if problems := list(lacking_go()):
                    raise UserError(*problems)
                with step(f"built {component.folder.name}"):
                    _build(component)
            _link(component)


def missing(names: Iterable[str]) -> list[str]:
    """Those that would have to be built."""
    return [name for name in names if not COMPONENTS[name].folder.exists()]


def _build(component: Component) -> None:
    BINARIES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BINARIES, prefix=".building-") as work:
        tree = _tree(component, Path(work))
        out = Path(work) / "out"
        out.mkdir()
        flags = " ".join(["-s", "-w", *(f"-X {name}={component.version}" for name in component.version_variables)])
        for package, binary in zip(component.packages, component.binaries, strict=True):
            # As it stands in go.sum, or not at all.
            options = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", flags]
            _go(["build", *options, "-o", str(out / binary), package], tree)
        for name in component.links:
            (out / name).symlink_to(component.binaries[0])
        for name in component.keeps:
            _copy(tree / name, out / name)
        out.rename(component.folder)


def module_folder(component: Component) -> Path:
    """The component's module as it was published, checked against go.sum."""
    return Path(json.loads(_go(["mod", "download", "-json", component.module], component.source))["Dir"])


def _tree(component: Component, work: Path) -> Path:
    """Where to build."""
    if not component.own_tree:
        return component.source
    module = module_folder(component)
    return _argo_tree(module, work) if component.name == "argo" else module


def _argo_tree(module: Path, work: Path) -> Path:
    """Argo's own module, with the two things its published form lacks.

    `signal_linux.go` is a symbolic link upstream, which module archives drop; the UI's build output is in no module.
    """
    tree = work / "argo"
    _copy(module, tree, "docs", "examples", "hack", "sdks", "test", "*_test.go")
    signals = tree / "workflow" / "executor" / "osspecific"
    shutil.copyfile(signals / "signal_darwin.go", signals / "signal_linux.go")
    page = tree / "ui" / "dist" / "app" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<!doctype html><title>Argo Workflows</title>This server was built without its user interface.\n")
    return tree


def _copy(folder: Path, to: Path, *without: str) -> None:
    """Copy a folder of the module cache, which is read-only."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(*without))
    subprocess.run(["chmod", "-R", "u+w", to], check=True)


def _link(component: Component) -> None:
    CURRENT.mkdir(parents=True, exist_ok=True)
    for name in (*component.binaries, *component.links):
        link, target = CURRENT / name, Path("..") / component.folder.name / name
        if not link.is_symlink() or link.readlink() != target:
            fresh = CURRENT / f".{name}-{os.getpid()}"
            fresh.symlink_to(target)
            fresh.replace(link)


def lacking_go() -> Iterator[str]:
    """Why nothing can be built here, if so."""
    found = subprocess.run(["go", "version"], capture_output=True, text=True).stdout if shutil.which("go") else ""
    version = found.split()[2].removeprefix("go") if found else "none"
    if not found or tuple(int(part) for part in version.split(".")[:2]) < GO:
        yield f"go: expected {GO[0]}.{GO[1]} or later on PATH, found {version}; install it from https://go.dev/dl"


def _go(arguments: list[str], folder: Path) -> str:
    environment = os.environ | {"CGO_ENABLED": "0"}
    done = subprocess.run(["nice", "go", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"go {arguments[0]} in {folder}: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
    return done.stdout
