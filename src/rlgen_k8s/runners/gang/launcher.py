"""A gang from its JobSet to its end. At any moment another launcher may go on where this one was."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.observe import observe
from rlgen_k8s.runners.argo.workloads import hopeless, reason, workloads
from rlgen_k8s.runners.gang.ending import Object, ended, gpu_seconds, members, outcome
from rlgen_k8s.runners.gang.jobsets import JOBSETS, make_or_adopt, pods, remove
from rlgen_k8s.runners.gang.log import copied_log
from rlgen_k8s.stages.frame.budget import spend
from rlgen_k8s.stages.frame.ending import TerminatedError, leave_message
from rlgen_k8s.stages.frame.progress import Progress, progress_of
from rlgen_k8s.store.results import Store

LOOK_SECONDS = 3.0
STOP_SECONDS = 20.0
"""Of the grace of a pod, for removing the JobSet."""
HOPELESS_LOOKS = 100
"""So many looks in a row at a quota that can never be enough end the wait."""


def launch(
    cluster: Cluster,
    manifest: dict[str, Any],
    address: str,
    store: Store,
    progress_file: Path | None,
    environ: Mapping[str, str],
) -> tuple[int, str]:
    """See that the gang makes the result `address`; the exit code and the line that says why.

    Told to stop, it removes the JobSet: nothing holds quota that nobody follows.
    """
    if store.manifest(address) is not None:
        print(f"hit, {address} is in the store", flush=True)
        return 0, ""
    name = manifest["metadata"]["name"]
    try:
        make_or_adopt(cluster, manifest)
        with copied_log(cluster, name, partial(_tell, Progress(progress_file))):
            jobset = _follow(cluster, name)
        if jobset is not None:
            code, words = _conclude(cluster, jobset)
        elif store.manifest(address) is not None:
            code, words = 0, ""
        else:
            code, words = TryAgainError.exit_code, f"JobSet {name}: deleted before its end, and not by its launcher"
        if code:
            remove(cluster, name)
    except (TerminatedError, UserError):
        with suppress(TryAgainError):
            remove(cluster, name, STOP_SECONDS)
        raise
    if code == TryAgainError.exit_code:
        return spend(store, address, secrets.token_hex(4), words, environ)
    return code, words


def _follow(cluster: Cluster, name: str) -> Object | None:
    """The JobSet at its end; None if somebody deleted it."""
    away, waits, looks = "", "", 0
    jobset: Object = {}
    for seen in observe(cluster, JOBSETS, name, LOOK_SECONDS):
        if seen is not None and seen.away:
            if not away:
                print(f"Kubernetes is away ({seen.away}); the gang goes on meanwhile", flush=True)
            away = seen.away
            continue
        if seen is not None:
            away = ""
            if seen.gone or seen.found is None:
                return None
            jobset = seen.found
            if ended(jobset):
                return jobset
        before, waits = waits, _waits(cluster, jobset, waits)
        if waits != before:
            print(f"waits {waits}" if waits else "admitted", flush=True)
            leave_message(f"waited {waits}" if waits else "")
        looks = looks + 1 if hopeless(waits) else 0
        if looks > HOPELESS_LOOKS:
            raise UserError(f"gang {name}: can never be admitted, {waits}; ask for less in pods, or for more quota")
    raise AssertionError("observe never ends")


def _waits(cluster: Cluster, jobset: Object, before: str) -> str:
    """Why a gang waits; as `before` while Kueue cannot be asked."""
    if not jobset.get("spec", {}).get("suspend"):
        return ""
    try:
        return reason(workloads(cluster), "JobSet", jobset["metadata"]["name"]) or before
    except (ApiException, HTTPError):
        return before


def _conclude(cluster: Cluster, jobset: Object) -> tuple[int, str]:
    """Tell what the gang's pods took, and how they ended."""
    found = members(pods(cluster, jobset["metadata"]["name"]))
    for member in found:
        print(member, flush=True)
    print(f"{gpu_seconds(found):.0f} GPU-seconds", flush=True)
    return outcome(jobset, found)


def _tell(progress: Progress, line: str) -> None:
    """Copy a line of the first pod's log to ours, or its progress to where Argo looks for ours."""
    counted = progress_of(line)
    if counted:
        progress(*counted)
    else:
        print(line, flush=True)
