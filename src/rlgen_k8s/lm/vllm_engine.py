"""Sample responses by vLLM: a prompt joins as soon as another has its response, so the longest holds up nobody."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.generate import (
    Response,
    Sampling,
    as_response,
    chat_prompt,
    end_tokens,
    refuse_longer_than,
    tokens_of,
)
from rlgen_k8s.lm.load import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm import LLM


@dataclass(frozen=True)
class Loaded:
    """A model in vLLM, its tokenizer, and the tokens that end a response."""

    llm: "LLM"
    tokenizer: "PreTrainedTokenizerBase"
    ends: list[int]


def load(folder: Path, *, sequences: int) -> Loaded:
    """The model in `folder`, for at most `sequences` prompts at a time.

    On a GPU it computes in bf16, which vLLM's kernels are made for; on CPUs in the precision that it was saved in.
    Raises `UserError` where vLLM is not installed.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process: no child that could outlive the stage
    os.environ["VLLM_NO_USAGE_STATS"] = "1"  # a stage talks to nobody but the store and MLflow
    try:
        from vllm import LLM
    except ImportError as error:
        raise UserError(
            f"engine=vllm: vLLM is not installed here ({error}); run in the image stages-vllm or set engine=hf"
        ) from error
    import torch
    from transformers import AutoConfig, GenerationConfig

    tokenizer, config = load_tokenizer(folder), AutoConfig.from_pretrained(folder)
    if (folder / "generation_config.json").is_file():
        configured = GenerationConfig.from_pretrained(folder)
    else:
        configured = GenerationConfig.from_model_config(config)
    on_gpu = torch.cuda.is_available()
    llm = LLM(
        model=str(folder),
        dtype="bfloat16" if on_gpu else str(config.dtype).removeprefix("torch."),
        max_num_seqs=sequences,
        max_model_len=-1,  # of the model's context, what the cache has room for
        generation_config="vllm",  # sampling is what each request says, whatever the model's own defaults
        enforce_eager=not on_gpu,  # compiling for CPUs takes longer than a small model does
    )
    return Loaded(llm, tokenizer, end_tokens(configured, tokenizer))


def generate(
    model: Loaded,
    messages: Sequence[str],
    sampling: Sampling,
    *,
    seed: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Response]:
    """One response to each user message, in the order of `messages`: `complete` for chat prompts."""
    prompts = [chat_prompt(model.tokenizer, message) for message in messages]
    return complete(model, prompts, sampling, seed=seed, on_batch=on_batch)


def complete(
    model: Loaded,
    prompts: Sequence[str],
    sampling: Sampling,
    *,
    seed: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Response]:
    """One response to each prompt, in the order of `prompts`.

    Its tokens are drawn by `seed`, the prompt and how many equal prompts stand before it, whatever the other prompts
    are; those do decide how vLLM's products are rounded. `on_batch(done, total)` counts prompts. Raises `UserError`
    where the responses do not fit the model.
    """
    from vllm import SamplingParams, TokensPrompt

    refuse_longer_than(model.llm.model_config.max_model_len, sampling.max_new_tokens)
    asked = [
        SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_new_tokens,
            stop_token_ids=model.ends,
            seed=own,
            detokenize=False,
        )
        for own in seeds(prompts, seed)
    ]
    rows = [TokensPrompt(prompt_token_ids=row) for row in tokens_of(model.tokenizer, prompts)]
    model.llm.enqueue(rows, asked, use_tqdm=False)
    responses: dict[int, Response] = {}
    while model.llm.llm_engine.has_unfinished_requests():
        for output in model.llm.llm_engine.step():
            if output.finished:
                responses[int(output.request_id)] = as_response(
                    model.tokenizer, output.outputs[0].token_ids, model.ends
                )
                on_batch(len(responses), len(prompts))
    return [responses[request] for request in sorted(responses)]  # vLLM counts requests as they come


def seeds(prompts: Sequence[str], seed: int) -> list[int]:
    """A seed of 32 bits for each prompt: the same wherever the prompt stands, another each time that it is asked."""
    asked: Counter[str] = Counter()
    found = []
    for prompt in prompts:
        found.append(int(hashlib.sha256(f"{seed} {asked[prompt]} {prompt}".encode()).hexdigest()[:8], 16))
        asked[prompt] += 1
    return found
