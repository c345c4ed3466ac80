import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.stages.model.attention import use_float32_attention

CONFIG = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "head_dim": 32}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2}


def attended(model, hidden):
    """What the model's attention makes of [batch, length, width], in bfloat16."""
    positions = model.model.rotary_emb(hidden, torch.arange(hidden.shape[1])[None])
    with torch.autocast("cpu", torch.bfloat16):
        return model.model.layers[0].self_attn(hidden, position_embeddings=positions, attention_mask=None)[0]


def test_attention_is_the_models_own_in_float32():
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**CONFIG, **HEADS))
    hidden = torch.randn(2, 16, 64)
    plain, seen = attended(model, hidden), []

    use_float32_attention(model)
    model.model.layers[0].self_attn.o_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    torch.testing.assert_close(attended(model, hidden), plain, rtol=0.02, atol=0.02)
    assert seen == [torch.float32]


def test_a_token_sees_nothing_to_its_right():
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**CONFIG, **HEADS))
    use_float32_attention(model)
    tokens = torch.randint(0, 64, (1, 12))
    torch.testing.assert_close(model(tokens[:, :8]).logits, model(tokens).logits[:, :8])


def test_the_saved_model_is_any_other(tmp_path):
    model = Qwen3ForCausalLM(Qwen3Config(**CONFIG, **HEADS))
    use_float32_attention(model)
    model.save_pretrained(tmp_path)
    assert Qwen3ForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
