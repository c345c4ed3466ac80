"""How a gang ended, from its JobSet and pods. Plain functions of what the API server sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlgen_k8s.errors import TryAgainError
from rlgen_k8s.runners.argo.status import seconds
from rlgen_k8s.runners.quantity import quantity

RANK = "batch.kubernetes.io/job-completion-index"
GPU = "nvidia.com/gpu"

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Member:
    """A pod of a gang that has ended."""

    rank: int
    code: int
    said: str
    seconds: float
    finished: float
    gpus: float

    def __str__(self) -> str:
        said = f": {self.said}" if self.said else ""
        return f"node {self.rank}: exit code {self.code} after {self.seconds:.0f} s{said}"


def ended(jobset: Object) -> str:
    """`Completed` or `Failed`; empty while it is neither."""
    return str(jobset.get("status", {}).get("terminalState", ""))


def members(pods: Sequence[Object]) -> list[Member]:
    """The pods that ran to an end, in the order in which they ended.

    A member that another one's end took along ends after it; of one second, what is a reason of its own comes first.
    """
    found = [member for pod in pods if (member := _member(pod)) is not None]
    return sorted(found, key=lambda one: (one.finished, one.code == 1, one.rank))


def outcome(jobset: Object, ended_members: Sequence[Member]) -> tuple[int, str]:
    """The exit code of the gang and the line that says why: those of the first pod that failed.

    A pod that was deleted has left nothing, and the others fail for want of it: all that can be told of such an end,
    and of exit code 1, which may be its consequence, is that it may go better the next time.
    """
    if ended(jobset) == "Completed":
        return 0, ""
    failed = [member for member in ended_members if member.code]
    if not failed:
        words = [one.get("message", "") for one in jobset["status"].get("conditions", ()) if one["type"] == "Failed"]
        return TryAgainError.exit_code, f"no pod says why: {' '.join(words)}"
    first = failed[0]
    return TryAgainError.exit_code if first.code == 1 else first.code, str(first)


def gpu_seconds(ended_members: Sequence[Member]) -> float:
    """Of all pods together."""
    return sum(member.seconds * member.gpus for member in ended_members)


def _member(pod: Object) -> Member | None:
    ends = [status["state"].get("terminated") for status in pod["status"].get("containerStatuses", ())]
    if not ends or ends[0] is None:
        return None
    end = ends[0]
    began, finished = seconds(end.get("startedAt")) or 0.0, seconds(end.get("finishedAt")) or 0.0
    words = [end.get("reason", "") if end.get("reason") == "OOMKilled" else "", pod["status"].get("message", "")]
    words.append(end.get("message", "").strip())
    limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return Member(
        rank=int(pod["metadata"]["annotations"][RANK]),
        code=end["exitCode"],
        said="; ".join(filter(None, words)),
        seconds=finished - began,
        finished=finished,
        gpus=quantity(limits.get(GPU, "0")),
    )
