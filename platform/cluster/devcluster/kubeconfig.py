"""The user's kubeconfig: where every other tool finds the cluster, and from which it goes again."""

import base64
import json
import os
import subprocess

from devcluster.paths import API, CERTIFICATES, CURRENT, NAME


def add_context() -> None:
    """Merge the cluster in and make it the current one, as kind does."""
    authority = f"--certificate-authority={CERTIFICATES / 'ca.crt'}"
    certificates = [
        f"--client-certificate={CERTIFICATES / 'admin.crt'}",
        f"--client-key={CERTIFICATES / 'admin.key'}",
    ]
    _config("set-cluster", NAME, f"--server={API}", authority, "--embed-certs")
    _config("set-credentials", NAME, *certificates, "--embed-certs")
    _config("set-context", NAME, f"--cluster={NAME}", f"--user={NAME}")
    _config("use-context", NAME)


def remove_context() -> None:
    """Take the cluster out; other clusters stay, and so does another current context."""
    if NAME not in _config("get-contexts", "-o", "name").split():
        return
    if _config("current-context").strip() == NAME:
        _config("unset", "current-context")
    _config("delete-context", NAME)
    _config("delete-cluster", NAME)
    _config("delete-user", NAME)


def has_context() -> bool:
    """Whether the cluster as it is now is in the kubeconfig, and current."""
    found = json.loads(_config("view", "--raw", "-o", "json"))
    authority = base64.b64encode((CERTIFICATES / "ca.crt").read_bytes()).decode()
    clusters = {entry["name"]: entry["cluster"] for entry in found.get("clusters") or []}
    mine: bool = clusters.get(NAME, {}).get("certificate-authority-data") == authority
    return mine and found["current-context"] == NAME


def _config(*arguments: str) -> str:
    """kubectl writes to $KUBECONFIG or ~/.kube/config, with its own locking."""
    command = [str(CURRENT / "kubectl"), "config", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
