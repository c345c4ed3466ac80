"""GPUs by name, with the figures of NVIDIA's data sheets; and what a device reaches of such figures in a study."""

from dataclasses import dataclass

from rlgen_k8s.study.cost import CostSettings


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


@dataclass(frozen=True)
class Device:
    """What one GPU, or one core of a processor, reaches in a study's work."""

    flops: float
    """Of passes of models whose weights have two bytes, FLOP/s."""
    flops32: float
    """The same with four bytes."""
    crosscoder_flops: float
    """Of a crosscoder's step in bf16, FLOP/s."""
    crosscoder_flops32: float
    bandwidth: float
    """Of a step of decoding, bytes/s."""
    layer: float = 0.0
    """Python's time for one layer of one pass, s. A GPU works meanwhile; a core does one after the other."""
    token: float = 0.0
    """Least time of a step of Hugging Face's generate, s."""

    def passes(self, element: int) -> float:
        """FLOP/s of models whose weights have so many bytes."""
        return self.flops if element == 2 else self.flops32

    def crosscoder(self, element: int) -> float:
        """FLOP/s of a crosscoder's step whose products have elements of so many bytes."""
        return self.crosscoder_flops if element == 2 else self.crosscoder_flops32


def gpu(cost: CostSettings) -> Device:
    """The study's GPU: its data sheet, and the shares of it that are reached."""
    sheet, share = GPUS[cost.gpu], cost.crosscoder_utilization
    return Device(
        flops=sheet.flops * cost.training_utilization,
        flops32=sheet.flops32 * cost.training_utilization,
        crosscoder_flops=sheet.flops * share,
        crosscoder_flops32=sheet.flops32 * share,
        bandwidth=sheet.bandwidth * cost.decoding_utilization,
        token=cost.decoding_overhead,
    )


def core(cost: CostSettings) -> Device:
    """One core, whose rates were measured whole, with models and crosscoders as small as it runs."""
    rates = cost.core
    return Device(
        flops=rates.flops,
        flops32=rates.flops,
        crosscoder_flops=rates.crosscoder_flops,
        crosscoder_flops32=rates.crosscoder_flops,
        bandwidth=rates.bandwidth,
        layer=rates.layer,
    )
