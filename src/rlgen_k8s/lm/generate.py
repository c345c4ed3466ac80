"""Sample responses of a causal language model to chat prompts: by Hugging Face's `generate`, in batches."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlgen_k8s.errors import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens: `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 leave the distribution as it is."""

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int


@dataclass(frozen=True)
class Response:
    """What the model wrote, without special tokens; how many tokens that took, the end token included."""

    text: str
    tokens: int
    finished: bool
    """Whether the model ended it, rather than the limit of tokens."""


def chat_prompt(tokenizer: "PreTrainedTokenizerBase", message: str) -> str:
    """The text given to the model: one user message, and the start of the assistant's turn."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
    )
    assert isinstance(prompt, str)
    return prompt


def tokens_of(tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str]) -> list[list[int]]:
    """The tokens of each prompt: its template wrote whatever begins a text."""
    return [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[str],
    sampling: Sampling,
    *,
    batch_size: int,
    seed: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Response]:
    """One response to each user message, in the order of `messages`.

    Prompts of like length share a batch (little padding). The same arguments give the same responses; the global
    random state is left as it was. `on_batch(done, total)` counts messages.
    """
    import torch

    prompts = tokens_of(tokenizer, [chat_prompt(tokenizer, message) for message in messages])
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))  # the largest batch first: it fits or not
    responses: dict[int, Response] = {}
    options = _options(model, tokenizer, sampling)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            rows = _sample(model, tokenizer, [prompts[i] for i in batch], options)
            ends = set(options["eos_token_id"])
            responses |= {i: as_response(tokenizer, row, ends) for i, row in zip(batch, rows, strict=True)}
            on_batch(len(responses), len(messages))
    return [responses[i] for i in range(len(messages))]


def refuse_longer_than(context: int, longest: int) -> None:
    """Raise `UserError` where responses of `longest` tokens leave no room for a prompt in `context` tokens."""
    if longest >= context:
        raise UserError(
            f"max_new_tokens {longest}: the model's context has {context} tokens, for prompt and response; "
            "give a smaller number"
        )


def end_tokens(configured: "GenerationConfig | None", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens that end a response: those of the model's configuration, and the tokenizer's."""
    named = configured.eos_token_id if configured is not None else None
    ends = named if isinstance(named, list) else [named]
    return sorted({end for end in [*ends, tokenizer.eos_token_id] if end is not None})


def as_response(tokenizer: "PreTrainedTokenizerBase", row: Sequence[int], ends: Collection[int]) -> Response:
    """New tokens as a response; whatever stands after the first of `ends` is padding."""
    length = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
    text = tokenizer.decode(list(row[:length]), skip_special_tokens=True)
    assert isinstance(text, str)
    return Response(text, length, row[length - 1] in ends)


def _options(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_new_tokens": sampling.max_new_tokens,
        "eos_token_id": end_tokens(model.generation_config, tokenizer),
        "pad_token_id": _pad(tokenizer),
        "do_sample": sampling.temperature > 0,
    }
    if sampling.temperature > 0:
        options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    return options


def _pad(tokenizer: "PreTrainedTokenizerBase") -> int:
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    assert isinstance(pad, int)
    return pad


def _sample(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: list[list[int]], options: dict[str, Any]
) -> list[list[int]]:
    """New tokens of each prompt, with whatever padding `generate` put after the end token."""
    import torch

    longest = max(map(len, prompts))
    padded = [[_pad(tokenizer)] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    output = model.generate(  # type: ignore[operator]
        input_ids=torch.tensor(padded, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        **options,
    )
    rows: list[list[int]] = output[:, longest:].tolist()
    return rows
