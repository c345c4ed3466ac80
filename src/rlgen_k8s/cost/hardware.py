"""GPUs by name, with the figures of NVIDIA's data sheets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    memory: float
    """Bytes."""
    flops: float
    """Peak of dense bf16 matrix products, FLOP/s."""
    flops32: float
    """Peak of fp32 without tensor cores, which is what PyTorch uses unless told otherwise, FLOP/s."""
    bandwidth: float
    """Of its memory, bytes/s."""


GPUS = {
    "H200": Gpu(141e9, 989e12, 67e12, 4.8e12),
    "H100": Gpu(80e9, 989e12, 67e12, 3.35e12),
    "A100": Gpu(80e9, 312e12, 19.5e12, 2.0e12),
}
"""H200 SXM, H100 SXM, A100 80 GB SXM."""
