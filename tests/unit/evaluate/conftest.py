"""A mirror of ten evaluation sets with a few rows each, and random models that read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

N = 12
OPTIONS = ["red", "dark blue", "green as grass", "white", "old gold"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _options(i: int, k: int) -> list[str]:
    return [OPTIONS[(i + j) % 5] for j in range(k)]


def _labelled(i: int, k: int) -> dict[str, Any]:
    return {"text": _options(i, k), "label": list("ABCDE"[:k])}


ROWS: dict[tuple[str, str, str], Callable[[int], dict[str, Any]]] = {
    ("allenai/openbookqa", "main", "test"): lambda i: {
        "question_stem": f"Thing {i} is",
        "choices": _labelled(i, 4),
        "answerKey": "ABCD"[i % 4],
    },
    ("tau/commonsense_qa", "default", "validation"): lambda i: {
        "question": f"Which colour has thing {i}?",
        "choices": _labelled(i, 5),
        "answerKey": "ABCDE"[i % 5],
    },
    ("EleutherAI/headqa", "en", "test"): lambda i: {
        "qtext": f"Colour of herb {i}?",
        "ra": i % 4 + 1,
        "answers": [{"aid": j + 1, "atext": text} for j, text in enumerate(_options(i, 4))],
    },
    ("allenai/sciq", "default", "test"): lambda i: {
        "question": f"Colour of tool {i}?",
        "support": f"Tool {i} is painted.",
        **dict(zip(("distractor1", "distractor2", "distractor3", "correct_answer"), _options(i, 4), strict=True)),
    },
    ("allenai/ai2_arc", "ARC-Challenge", "test"): lambda i: {
        "question": f"What is thing {i}?",
        "choices": _labelled(i, 4),
        "answerKey": "ABCD"[(i + 1) % 4],
    },
    ("EleutherAI/logiqa", "logiqa", "test"): lambda i: {
        "label": "abcd"[i % 4],
        "context": f"Thing {i} is here.",
        "question": f"What of thing {i}?",
        "options": _options(i, 4),
    },
    ("baber/piqa", "default", "validation"): lambda i: {
        "goal": f"To paint wall {i},",
        "sol1": OPTIONS[i % 5],
        "sol2": OPTIONS[(i + 2) % 5],
        "label": i % 2,
    },
    ("HuggingFaceH4/MATH-500", "default", "test"): lambda i: {"problem": f"What is {i} + 1?", "answer": str(i + 1)},
    ("Maxwell-Jia/AIME_2024", "default", "train"): lambda i: {"Problem": f"What is {i} + 2?", "Answer": i + 2},
    ("math-ai/aime25", "default", "test"): lambda i: {"problem": f"What is {i} + 3?", "answer": str(i + 3)},
}


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mirror")
    for (name, config, evaluated), row in ROWS.items():
        folder = root / name / config
        folder.mkdir(parents=True)
        splits = ("train", "validation", "test") if evaluated != "train" else ("train",)
        for split in splits:
            rows = [row(i) for i in range(N if split == evaluated else 2)]
            pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
        files = "".join(f"  - split: {split}\n    path: {config}/{split}.parquet\n" for split in splits)
        (root / name / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n")
    return root


def _tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}|\s+|[^\s\p{L}\p{N}]"), "isolated")
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    words.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([f"Question: thing is {option}\nAnswer: {option}" for option in OPTIONS * 4], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="session")
def new_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A folder with a random four-layer model, by seed."""

    def make(seed: int) -> Path:
        folder = tmp_path_factory.mktemp(f"model-{seed}")
        tokenizer = _tokenizer()
        config = Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=256,
            initializer_range=0.2,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        torch.manual_seed(seed)
        Qwen3ForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def model_folder(new_model: Callable[[int], Path]) -> Path:
    return new_model(0)
