"""What the tests here share: activations with planted features, and a small world of text, models and corpus."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, Trainer, TrainingPlan
from rlgen_k8s.stages.corpus.run import run as run_corpus
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.frame.context import local_context

CONVERSATIONS = "open-thoughts/OpenThoughts-114k"
TEXT = "togethercomputer/RedPajama-Data-1T-Sample"


@dataclass(frozen=True)
class Planted:
    """Activations that are sparse sums of orthonormal `directions: [K, d]`, which only some of the models have."""

    data: JointActivations
    directions: Tensor


@pytest.fixture(scope="session")
def plant() -> Callable[..., Planted]:
    """`plant(present)`, `present[m][k]`: whether model m has direction k."""

    def build(present: list[list[int]], n_tokens: int = 12_000, width: int = 32) -> Planted:
        generator = torch.Generator().manual_seed(0)
        n_directions = len(present[0])
        directions = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q[:n_directions]
        active = torch.rand(n_tokens, n_directions, generator=generator) < 0.12
        strength = active * (1 + torch.rand(n_tokens, n_directions, generator=generator))
        raw = tuple((strength * torch.tensor(row)) @ directions for row in present)
        scales = tuple(float(width**0.5 / tensor.norm(dim=1).mean()) for tensor in raw)
        return Planted(JointActivations(tuple(f"m{index}" for index in range(len(raw))), raw, scales), directions)

    return build


@pytest.fixture(scope="session")
def plan() -> Callable[..., TrainingPlan]:
    """A plan that fits planted features in a fraction of a second; keywords change it."""

    def build(**changes: Any) -> TrainingPlan:
        settings = {
            "n_features": 48,
            "sparsity_weight": 1.0,
            "batch": 256,
            "learning_rate": 3e-3,
            "epochs": 12,
            "sparsity_warmup": 0.05,
            "learning_rate_decay": 0.2,
            "max_gradient_norm": 10.0,
            "decoder_norm": 0.08,
            "seed": 0,
        }
        return TrainingPlan(**{**settings, **changes})

    return build


@pytest.fixture(scope="session")
def train(plan: Callable[..., TrainingPlan]) -> Callable[..., Crosscoder]:
    """`train(data, **changes)`: the crosscoder at the end of the plan."""

    def run(data: JointActivations, **changes: Any) -> Crosscoder:
        trainer = Trainer(data, plan(**changes))
        while trainer.step < trainer.total_steps:
            trainer.advance()
        return trainer.crosscoder

    return run


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two sets of the corpus in the hub's layout; every document is different."""
    root = tmp_path_factory.mktemp("mirror")
    chats = [
        {
            "system": "Think.",
            "conversations": [
                {"from": "user", "value": f"What is {n} plus {n}?"},
                {"from": "assistant", "value": f"It is {2 * n}."},
            ],
        }
        for n in range(400)
    ]
    texts = [{"text": f"Story {n} of {n % 7} birds. " * (1 + n % 5), "meta": "{}"} for n in range(400)]
    for name, rows in ((CONVERSATIONS, chats), (TEXT, texts)):
        write_set(root, name, rows)
    return root


def write_set(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.parquet\n---\n"
    (folder / "README.md").write_text(card)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with a chat template in Qwen's form."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["What is 12 plus 12? It is 24. Story 3 of 5 birds."] * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = (
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
    )
    return fast


@pytest.fixture(scope="session")
def model_folders(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three small Qwen3 models, "base" and two that differ from it, with one tokenizer."""
    root = tmp_path_factory.mktemp("models")
    folders = {}
    for seed, name in enumerate(("base", "sft", "rl")):
        torch.manual_seed(seed)
        config = Qwen3Config(
            vocab_size=320,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            tie_word_embeddings=True,
        )
        folders[name] = root / name
        Qwen3ForCausalLM(config).save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def corpus(mirror: Path, model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of the stage corpus."""
    settings = CorpusSettings(conversation_tokens=4096, text_tokens=2048, evaluation_tokens=1024, length=32)
    out = tmp_path_factory.mktemp("corpus") / "out"
    run_corpus(local_context(settings, {"mirror": mirror, "base": model_folders["base"]}, out))
    return out
