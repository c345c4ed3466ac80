"""All checks at once, and how they are shown."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kubernetes.client import ApiException
from rich.console import Console
from rich.text import Text
from urllib3.exceptions import HTTPError

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.runners.argo.api import brief, connect, explain
from rlgen_k8s.runners.argo.doctor import control, fit, places, queue, room, versions
from rlgen_k8s.runners.argo.doctor.check import Check, Situation
from rlgen_k8s.runners.argo.platform import image_of, read_platform, shared_store
from rlgen_k8s.study.load import load_study

CHECKS: tuple[tuple[str, Callable[[Situation], Check]], ...] = (
    ("argo", control.kinds),
    ("controller", control.controller),
    ("version", versions.argo),
    ("rights", control.rights),
    ("security", control.security),
    ("objects", places.objects),
    ("store", places.store),
    ("mlflow", places.tracking),
    ("image", places.image),
    ("fit", fit.fit),
    ("nodes", room.nodes),
    ("quota", room.quotas),
    ("gang kinds", versions.gang_kinds),
    ("queue", queue.queue),
)
_MARKS = {True: ("ok  ", "green"), False: ("FAIL", "red"), None: ("?   ", "yellow")}


def examine(situation: Situation) -> list[Check]:
    """Every check of a platform that is there, side by side."""

    def one(named: tuple[str, Callable[[Situation], Check]]) -> Check:
        subject, check = named
        try:
            return check(situation)
        except ApiException as error:
            return Check(subject, False, explain(error))
        except HTTPError as error:
            return Check(subject, False, f"the API server did not answer ({brief(error)})")

    with ThreadPoolExecutor(len(CHECKS)) as pool:
        return list(pool.map(one, CHECKS))


def doctor(name: str | None, assignments: list[str], namespace: str | None) -> int:
    """Print every check; 0 when none fails, else 2. With a study, its tasks are held against pods, nodes and quota."""
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    study = load_study(name, assignments) if name else None
    cluster = connect(namespace)
    try:
        checks = [control.api(cluster)]
        platform = read_platform(cluster)
        with shared_store(cluster, platform) as store:
            todo = plan(study) if study else []
            checks += examine(
                Situation(
                    cluster,
                    platform,
                    store,
                    image_of(platform, study),
                    image_of(platform, study, "image_vllm"),
                    study,
                    todo,
                )
            )
    except HTTPError as error:
        checks = [
            Check("api", False, f"{cluster.host} does not answer ({brief(error)}); `make cluster` starts one here")
        ]
    except ApiException as error:
        checks = [Check("api", False, explain(error))]
    except (UserError, TryAgainError) as error:
        checks += [Check("platform", False, str(error))]
    show(checks, console)
    failed = sum(check.ok is False for check in checks)
    console.print(f"{len(checks)} checks in {time.monotonic() - began:.1f} s, {failed or 'none'} failed")
    return 2 if failed else 0


def show(checks: Sequence[Check], console: Console) -> None:
    """One line a check."""
    for check in checks:
        mark, style = _MARKS[check.ok]
        console.print(Text.assemble((mark, style), f" {check.subject:<11} {check.said}"))
