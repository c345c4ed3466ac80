"""Models of the cost model's shapes."""

from transformers import Qwen3Config

from rlgen_k8s.cost.architectures import Architecture


def qwen3(shape: Architecture) -> Qwen3Config:
    """A Qwen3 of this shape; no token ends what it writes."""
    return Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        tie_word_embeddings=shape.tied,
        eos_token_id=None,
    )
