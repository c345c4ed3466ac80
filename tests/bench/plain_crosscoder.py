"""A crosscoder training step in the style of public implementations: what the bench compares ours with."""

import torch
from torch import nn


class PlainTrainer:
    """fp32, einsum over the models, autograd, clipping, Adam; every batch is the same tensor [batch, M, d]."""

    def __init__(self, n_models: int, width: int, n_features: int, batch: int) -> None:
        decoder = torch.randn(n_features, n_models, width)
        decoder = 0.08 * decoder / decoder.norm(dim=-1, keepdim=True)
        self.decoder = nn.Parameter(decoder)
        self.encoder = nn.Parameter(decoder.permute(1, 2, 0).contiguous())
        self.encoder_bias = nn.Parameter(torch.zeros(n_features))
        self.decoder_bias = nn.Parameter(torch.zeros(n_models, width))
        self.parameters = [self.encoder, self.encoder_bias, self.decoder, self.decoder_bias]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-4)
        self.x = torch.randn(batch, n_models, width)

    def advance(self) -> None:
        """One step."""
        features = torch.relu(torch.einsum("bmd,mdf->bf", self.x, self.encoder) + self.encoder_bias)
        rebuilt = torch.einsum("bf,fmd->bmd", features, self.decoder) + self.decoder_bias
        squared_error = (rebuilt - self.x).pow(2).sum(dim=-1).sum(dim=-1).mean()
        norms = self.decoder.norm(dim=-1).sum(dim=-1)
        sparsity = (features * norms).sum(dim=-1).mean()
        loss = squared_error + 2.0 * sparsity
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, max_norm=1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
