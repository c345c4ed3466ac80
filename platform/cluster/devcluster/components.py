"""The programs built from Go modules. Versions stand in go/<component>/go.mod, checksums in go.sum, nowhere else."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from devcluster.paths import BINARIES, SOURCE

ARGO = "github.com/argoproj/argo-workflows/v4"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")


@dataclass(frozen=True)
class Component:
    """One Go module and what is built of it."""

    name: str
    module: str
    """The module whose version is the component's."""
    packages: tuple[str, ...]
    """Import paths, or `.` for the main package beside go.mod."""
    binaries: tuple[str, ...]
    """In the order of `packages`."""
    version_variables: tuple[str, ...] = ()
    """Go variables that the linker sets to the version."""
    links: tuple[str, ...] = ()
    """Further names of the first binary, which looks at the name it is called by."""
    own_tree: bool = False
    """Whether it is built in the module's own tree, whose go.sum checks what it requires, and not beside ours."""
    keeps: tuple[str, ...] = ()
    """Folders of that tree that are kept beside the binaries."""

    @property
    def source(self) -> Path:
        return SOURCE / "go" / self.name

    @property
    def version(self) -> str:
        """As go.mod requires it."""
        text = (self.source / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(self.module)} (v\S+)", text, re.M)
        if found is None:
            raise ValueError(f"{self.source / 'go.mod'}: no requirement of {self.module}")
        return found[1]

    @property
    def folder(self) -> Path:
        """Named by the version and by everything that goes into the build."""
        digest = hashlib.sha256(json.dumps([self.packages, self.version_variables, self.links]).encode())
        for path in sorted(path for path in self.source.rglob("*") if path.is_file()):
            digest.update(path.relative_to(self.source).as_posix().encode() + path.read_bytes())
        return BINARIES / f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"

    def binary(self, name: str) -> Path:
        return self.folder / name


COMPONENTS = {
    component.name: component
    for component in (
        Component(
            "helm",
            "helm.sh/helm/v4",
            ("helm.sh/helm/v4/cmd/helm",),
            ("helm",),
            ("helm.sh/helm/v4/internal/version.version",),
        ),
        Component(
            "kube",
            "k8s.io/kubernetes",
            (".",),
            ("kube",),
            ("k8s.io/component-base/version.gitVersion",),
            KUBERNETES,
        ),
        Component("etcd", "go.etcd.io/etcd/server/v3", ("go.etcd.io/etcd/server/v3",), ("etcd",)),
        Component("coredns", "github.com/coredns/coredns", (".",), ("coredns",)),
        Component("agent", "k8s.io/client-go", (".", "./pause"), ("agent", "pause")),
        Component(
            "registry",
            "github.com/distribution/distribution/v3",
            ("github.com/distribution/distribution/v3/cmd/registry",),
            ("registry",),
            ("github.com/distribution/distribution/v3/version.version",),
        ),
        Component(
            "argo",
            ARGO,
            ("./cmd/workflow-controller", "./cmd/argoexec", "./cmd/argo"),
            ("workflow-controller", "argoexec", "argo"),
            (f"{ARGO}.version", f"{ARGO}.gitTag"),
            own_tree=True,
        ),
        Component("minio", "github.com/minio/minio", ("github.com/minio/minio",), ("minio",)),
        Component("jobset", "sigs.k8s.io/jobset", (".",), ("jobset",), own_tree=True, keeps=("config",)),
        Component(
            "kueue",
            "sigs.k8s.io/kueue",
            ("./cmd/kueue",),
            ("kueue",),
            ("sigs.k8s.io/kueue/pkg/version.GitVersion",),
            own_tree=True,
            keeps=("config",),
        ),
    )
}
NEEDED_BY_CLUSTER = ("kube", "etcd", "coredns", "agent", "registry")
NEEDED_BY_PLATFORM = ("helm", "argo", "minio")
"""By `make images` and `make install`."""
NEEDED_BY_QUEUES = ("jobset", "kueue")
