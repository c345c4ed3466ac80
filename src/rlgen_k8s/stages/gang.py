"""The pods that run one stage together, as one of them sees it. A stage that several pods run asks for it."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Gang:
    """One of `nodes` pods. The first makes the result; the others help."""

    nodes: int = 1
    rank: int = 0
    address: str = ""
    """Where the first pod is."""
    port: int = 0

    @property
    def helps(self) -> bool:
        """Whether another pod makes the result."""
        return self.rank > 0


ALONE = Gang()
"""A pod of its own."""


def gang_of(environ: Mapping[str, str]) -> Gang:
    """By torchrun's names: `NNODES`, `NODE_RANK`, `MASTER_ADDR`, `MASTER_PORT`; without them a pod is alone."""
    if "NNODES" not in environ:
        return ALONE
    return Gang(int(environ["NNODES"]), int(environ["NODE_RANK"]), environ["MASTER_ADDR"], int(environ["MASTER_PORT"]))


def shared_token(environ: Mapping[str, str]) -> str:
    """What only the pods of this gang know: made of its address and the store's secret key. A pod alone draws one."""
    gang = gang_of(environ)
    if gang.nodes == 1:
        return secrets.token_hex(32)
    secret = environ.get("MINIO_SECRET_KEY") or environ.get("AWS_SECRET_ACCESS_KEY") or ""
    return hashlib.sha256(f"{gang.address} {secret}".encode()).hexdigest()
