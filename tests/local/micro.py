"""Inputs of the trainers at micro size: random models, with traces or problems that they can learn."""

import random
from pathlib import Path

import pandas as pd
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.stages.model.pretrain import create_model
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.model.tokenizer import train_tokenizer
from rlgen_k8s.stages.traces.rejection import Problem, Sampled
from rlgen_k8s.stages.traces.run import write_kept

SPECIAL = ("<pad>", "<end>", "<|im_start|>", "<|im_end|>")
WORDS = (*SPECIAL, "\n", "user", "assistant", "1", "2")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_sums(base: Path, traces: Path, n_traces: int, shape: ModelSettings) -> None:
    """For `sft`: a model with random weights, and traces of sums."""
    chance = random.Random(0)
    problems, done = [], Sampled(samples=n_traces)
    for i in range(n_traces):
        a, b = chance.randrange(50), chance.randrange(50)
        problems.append(Problem(f"p{i}", f"What is {a}+{b}?", str(a + b)))
        done.kept[f"p{i}"] = f"{a}+{b}={a + b}.\nThe answer is \\boxed{{{a + b}}}."
        done.tries[f"p{i}"] = 1
    write_kept(traces, problems, done)
    tokenizer = train_tokenizer([problem.text + done.kept[problem.id] for problem in problems], vocabulary=320)
    torch.manual_seed(0)
    create_model(shape, tokenizer).save_pretrained(base)
    tokenizer.save_pretrained(base)


def write_words(folder: Path, n_problems: int, *, width: int, heads: int, length: int) -> None:
    """For `grpo`: `base`, a random model over nine words that says the right one now and then, and the problems."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="1"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed")]
    )
    words.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", pad_token="<pad>", chat_template=TEMPLATE
    ).save_pretrained(folder / "base")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=1,
        head_dim=width // heads,
        pad_token_id=0,
        eos_token_id=1,
        max_position_embeddings=length,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder / "base")
    rows = [("user " * (1 + number % 5), str(1 + number % 2)) for number in range(n_problems)]
    pd.DataFrame(rows, columns=["problem", "answer"]).to_parquet(folder / "problems.parquet")
