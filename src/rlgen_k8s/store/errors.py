"""What goes wrong with a result in the store."""

from rlgen_k8s.errors import UserError


class StoreError(UserError):
    """A result that is missing, truncated or altered: one line with its address, the file, expected and found."""


def rebuild_advice(address: str) -> str:
    """The words that say how to get a damaged result back."""
    return f"rebuild it with: rlgen run WF --rebuild {address}"
