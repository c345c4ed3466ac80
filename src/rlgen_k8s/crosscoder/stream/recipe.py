"""What decides which token is in which batch. Two streams of one recipe and one text give the same batches."""

from dataclasses import dataclass

from rlgen_k8s.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """Recorded with every resume point; a training goes on with no other."""

    batch: int
    """Tokens of a training step."""
    epochs: int
    """Passes over the text, each in an order of its own."""
    seed: int
    block: int
    """Units (sequences of one forward pass) that the buffer holds."""
    scale_units: int
    """Units, the first of the text, from which each model's scale is estimated."""
    corpus: str
    """Digest of the text."""

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "block", "scale_units"):
            if getattr(self, name) < 1:
                raise UserError(f"recipe {name}: {getattr(self, name)}: expected at least 1")
