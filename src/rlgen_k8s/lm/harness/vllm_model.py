"""A model in vLLM as the harness's language model, for maths tasks: it answers, and gives no log-likelihoods."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Never

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from rlgen_k8s.lm import vllm_engine
from rlgen_k8s.lm.generate import Sampling


class VllmModel(LM):  # type: ignore[misc]
    """What the harness asks of a model that generates; `on_progress(share)` hears of each response."""

    def __init__(self, folder: Path, *, sequences: int, seed: int) -> None:
        super().__init__()
        self.model = vllm_engine.load(folder, sequences=sequences)
        self.seed = seed
        self.on_progress: Callable[[float], None] = lambda share: None
        self.tokens_per_second = 0.0
        """Written in the last call, over all responses."""

    @property
    def tokenizer_name(self) -> str:
        """What the harness tells caches of requests apart by."""
        return str(self.model.tokenizer.name_or_path)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt of a chat."""
        prompt = self.model.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        assert isinstance(prompt, str)
        return prompt

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """A response to each request. Raises `UserError` where the responses asked for do not fit the model."""
        began = time.perf_counter()
        responses = vllm_engine.complete(
            self.model,
            [request.args[0] for request in requests],
            sampling_of(requests[0].args[1]),  # all maths problems are asked in one way
            seed=self.seed,
            on_batch=lambda done, total: self.on_progress(done / total),
        )
        written = sum(response.tokens for response in responses)
        self.tokens_per_second = written / (time.perf_counter() - began)
        return [response.text for response in responses]

    def loglikelihood(self, requests: list[Instance]) -> Never:
        """Multiple choice is asked of the model in PyTorch."""
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> Never:
        """Never asked."""
        raise NotImplementedError


def sampling_of(asked: Mapping[str, Any]) -> Sampling:
    """A task's `generation_kwargs` as the engine's."""
    return Sampling(asked["temperature"], asked["top_p"], asked["top_k"], asked["max_gen_toks"])
