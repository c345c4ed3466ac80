"""Checkpoints of RL load as the policy that ran, in its precision."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.stages.grpo.checkpoint import in_precision_of_passes
from rlgen_k8s.stages.grpo.settings import GrpoSettings


@pytest.fixture
def trained():
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, head_dim=16
    )
    return Qwen3ForCausalLM(config)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
@pytest.mark.parametrize("shard", ["5GB", "20KB"])
def test_weights_are_cast_and_the_configuration_says_so(trained, tmp_path, precision, dtype, shard):
    trained.save_pretrained(tmp_path, max_shard_size=shard)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | {"dtype": "float16", "torch_dtype": "float16"}))

    in_precision_of_passes(tmp_path, GrpoSettings(precision=precision))

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    expected = trained.to(dtype).state_dict()
    for name, weight in loaded.state_dict().items():
        assert weight.dtype == dtype, name
        assert torch.equal(weight, expected[name]), name
    files = list(tmp_path.glob("*.safetensors"))
    assert len(files) > 1 if shard == "20KB" else len(files) == 1
    for index in tmp_path.glob("*.index.json"):
        weights = [weight.nbytes for weight in loaded.state_dict().values()]
        assert json.loads(index.read_text())["metadata"]["total_size"] == sum(weights)
