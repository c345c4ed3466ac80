"""What answers prompts: Hugging Face's `generate`, or vLLM."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from rlgen_k8s.lm.generate import Response, Sampling, generate
from rlgen_k8s.lm.load import load_model, load_tokenizer

EngineName = Literal["vllm", "hf"]


class Respond(Protocol):
    """One response to each user message, in the order of `messages`; `on_batch(done, total)` counts messages."""

    def __call__(
        self,
        messages: Sequence[str],
        sampling: Sampling,
        *,
        seed: int,
        on_batch: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Response]: ...


def load_engine(engine: EngineName, folder: Path, *, batch_size: int) -> Respond:
    """The model in `folder`, on the GPU where there is one, answering at most `batch_size` prompts at a time."""
    if engine == "vllm":
        from rlgen_k8s.lm import vllm_engine

        return partial(vllm_engine.generate, vllm_engine.load(folder, sequences=batch_size))
    import torch

    tokenizer, model = load_tokenizer(folder), load_model(folder)
    if torch.cuda.is_available():
        model.cuda()  # type: ignore[call-arg]
    return partial(generate, model, tokenizer, batch_size=batch_size)
