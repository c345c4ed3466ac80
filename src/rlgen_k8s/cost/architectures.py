"""The shapes of the models that the studies name, and what follows from a shape: parameters, FLOPs, cache."""

from dataclasses import dataclass

from rlgen_k8s.stages.model.settings import HEAD, ModelSettings


@dataclass(frozen=True)
class Architecture:
    """A decoder with grouped-query attention and a gated MLP (Qwen2.5, Qwen3, Llama 3)."""

    layers: int
    width: int
    """d, of the residual stream."""
    mlp: int
    heads: int
    kv_heads: int
    head: int
    """Width of one head."""
    vocabulary: int
    tied: bool
    """Whether the output embedding is the input embedding."""

    @property
    def layer_parameters(self) -> int:
        """Weights of the matrices of one layer; its norms and biases are less than 0.1 % of them."""
        attention = self.width * self.head * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.width * self.mlp

    @property
    def parameters(self) -> int:
        """Weights of the whole model."""
        return self.layers * self.layer_parameters + (1 if self.tied else 2) * self.vocabulary * self.width

    def forward_flops(self, context: float, layers: int | None = None) -> float:
        """FLOP of one token's forward with `context` tokens before it, through `layers` (None: all, and the output).

        Two for each weight, and 4 · layers · heads · head · context for scores and their use (Kaplan et al. 2020, 2.1).
        """
        n = self.layers if layers is None else layers
        output = self.vocabulary * self.width if layers is None else 0
        return 2 * (n * self.layer_parameters + output) + 4 * n * self.heads * self.head * context

    def cache_bytes(self, element: int = 2) -> int:
        """Bytes of one token's keys and values in all layers."""
        return 2 * self.layers * self.kv_heads * self.head * element


ARCHITECTURES = {
    # config.json of each repository: num_hidden_layers, hidden_size, intermediate_size, num_attention_heads,
    # num_key_value_heads, head_dim, vocab_size, tie_word_embeddings.
    "Qwen/Qwen2.5-7B": Architecture(28, 3584, 18944, 28, 4, 128, 152064, tied=False),
    "Qwen/Qwen3-4B-Base": Architecture(36, 2560, 9728, 32, 8, 128, 151936, tied=True),
    "Qwen/Qwen3-32B": Architecture(64, 5120, 25600, 64, 8, 128, 151936, tied=False),
    "meta-llama/Llama-3.1-8B-Instruct": Architecture(32, 4096, 14336, 32, 8, 128, 128256, tied=False),
}
"""By name on the hub."""


def architecture(model: ModelSettings) -> Architecture | None:
    """Of a model of the hub by its name, of one that is pre-trained here by its settings; None: not known."""
    if model.source != "pretrain":
        return ARCHITECTURES.get(model.repository or "")
    heads, vocabulary = model.width // HEAD, -(-model.vocabulary // 64) * 64
    return Architecture(model.layers, model.width, 3 * model.width, heads, heads, HEAD, vocabulary, tied=True)
