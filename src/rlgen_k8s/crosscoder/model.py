"""The crosscoder: one set of features that reads and writes the residual streams of M models.

Shapes: `M` models, `d` width of the stream, `D` features. The M streams stand side by side, `x: [..., M * d]`, so that
every step of training is a plain matrix product:

    f = ReLU(x W_enc + b_enc)        W_enc [M * d, D]     (= sum_m x_m W_enc[m])
    x̂ = f W_dec + b_dec              W_dec [D, M * d]

A crosscoder with thresholds (BatchTopK, JumpReLU) keeps of `P = x W_enc + b_enc` what is above its feature's threshold:
`f = P [P > θ]`.

`x` is in scaled units, `x_m = scales[m] * raw_m` with `E‖x_m‖ = √d`, unless the scales are folded in (`folded`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.errors import UserError


@dataclass
class Crosscoder:
    """Weights with the names of their models (order = order along M) and one scale per model."""

    models: tuple[str, ...]
    scales: tuple[float, ...]
    encoder: Tensor
    """[M * d, D]"""
    encoder_bias: Tensor
    """[D]"""
    decoder: Tensor
    """[D, M * d]"""
    decoder_bias: Tensor
    """[M * d]"""
    thresholds: Tensor | None = None
    """[D], none below 0; without them the activation is ReLU."""

    @property
    def n_models(self) -> int:
        """M."""
        return len(self.models)

    @property
    def n_features(self) -> int:
        """D."""
        return self.decoder.shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.decoder.shape[1] // self.n_models

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The tensors by name; the tensors themselves, not copies."""
        names = ("encoder", "encoder_bias", "decoder", "decoder_bias", "thresholds")
        return {name: tensor for name in names if (tensor := getattr(self, name)) is not None}

    @property
    def decoder_by_model(self) -> Tensor:
        """`W_dec` as [M, D, d] (a view)."""
        return self.decoder.view(self.n_features, self.n_models, self.width).transpose(0, 1)

    @property
    def encoder_by_model(self) -> Tensor:
        """`W_enc` as [M, d, D] (a view)."""
        return self.encoder.view(self.n_models, self.width, self.n_features)

    def position(self, model: str) -> int:
        """The index of `model` along M. Raises `UserError` if the crosscoder does not know it."""
        if model not in self.models:
            raise UserError(f"crosscoder model {model}: not one of {', '.join(self.models)}; name one of these")
        return self.models.index(model)

    def columns(self, model: str) -> slice:
        """Where `model` stands in the last axis of `x`."""
        start = self.position(model) * self.width
        return slice(start, start + self.width)

    def preactivations(self, x: Tensor) -> Tensor:
        """`x W_enc + b_enc` [..., D] of `x: [..., M * d]`."""
        return x @ self.encoder + self.encoder_bias

    def activate(self, preactivations: Tensor) -> Tensor:
        """Features of preactivations, both [..., D]."""
        if self.thresholds is None:
            return torch.relu(preactivations)
        return torch.where(preactivations > self.thresholds, preactivations, 0.0)

    def encode(self, x: Tensor) -> Tensor:
        """Features [..., D] of all streams of a token, `x: [..., M * d]`."""
        return self.activate(self.preactivations(x))

    def decode(self, features: Tensor) -> Tensor:
        """Reconstructions [..., M * d] from features [..., D]."""
        return features @ self.decoder + self.decoder_bias

    def encode_branch(self, x_model: Tensor, model: str) -> Tensor:
        """One model's branch, `P^(m) = x_m W_enc[m] + b_enc` activated as `encode` does: [..., d] to [..., D]."""
        return self.activate(x_model @ self.encoder[self.columns(model)] + self.encoder_bias)

    def branch(self, model: str, features: Tensor) -> "Crosscoder":
        """One model's branch and decoder rows for some features, `features: [k]` int64: a crosscoder of it alone."""
        columns = self.columns(model)
        return Crosscoder(
            models=(model,),
            scales=(self.scales[self.position(model)],),
            encoder=self.encoder[columns][:, features].contiguous(),
            encoder_bias=self.encoder_bias[features],
            decoder=self.decoder[features][:, columns].contiguous(),
            decoder_bias=self.decoder_bias[columns],
            thresholds=None if self.thresholds is None else self.thresholds[features],
        )

    def to(self, device: torch.device | str) -> "Crosscoder":
        """The same crosscoder on `device`."""
        moved = {name: tensor.to(device) for name, tensor in self.parameters.items()}
        return Crosscoder(self.models, self.scales, **moved)

    def folded(self) -> "Crosscoder":
        """The equal crosscoder for raw activations (scales 1): same features, reconstructions in raw units."""
        column_scale = column_scales(self.scales, self.width, self.decoder)
        return Crosscoder(
            models=self.models,
            scales=(1.0,) * self.n_models,
            encoder=self.encoder * column_scale[:, None],
            encoder_bias=self.encoder_bias.clone(),
            decoder=self.decoder / column_scale,
            decoder_bias=self.decoder_bias / column_scale,
            thresholds=self.thresholds,
        )


def column_scales(scales: tuple[float, ...], width: int, like: Tensor) -> Tensor:
    """[M * d]: each model's scale repeated over its columns of `x`, with the type and device of `like`."""
    return torch.tensor(scales, dtype=like.dtype, device=like.device).repeat_interleave(width)


def new_crosscoder(
    models: tuple[str, ...],
    scales: tuple[float, ...],
    *,
    width: int,
    n_features: int,
    decoder_norm: float,
    seed: int,
    threshold: float | None = None,
    device: torch.device | str = "cpu",
) -> Crosscoder:
    """An untrained crosscoder: decoder rows of norm `decoder_norm` in random directions, equal for every model,
    `W_enc[m] = W_dec[m]ᵀ`, biases 0, every feature's threshold `threshold` if there is one.

    The start depends on `seed`, `width` and `n_features` only, so crosscoders of different models have a common one.
    """
    directions = torch.randn(n_features, width, generator=torch.Generator().manual_seed(seed))
    directions = decoder_norm * directions / directions.norm(dim=1, keepdim=True)
    decoder = directions.repeat(1, len(models))
    return Crosscoder(
        models=models,
        scales=scales,
        encoder=decoder.T.contiguous().to(device),
        encoder_bias=torch.zeros(n_features, device=device),
        decoder=decoder.to(device),
        decoder_bias=torch.zeros(len(models) * width, device=device),
        thresholds=None if threshold is None else torch.full((n_features,), threshold, device=device),
    )
