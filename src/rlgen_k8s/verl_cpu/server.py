"""The rollout server on a CPU: requests come one by one, are answered in batches."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import ray
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import HFModelConfig
from verl.workers.rollout.replica import TokenOutput

from rlgen_k8s.verl_cpu.sampling import Response, sample

GATHER_SECONDS = 0.03
"""A batch is closed when no request came for so long."""


@dataclass(frozen=True)
class Request:
    """One prompt with what it is sampled by, and where the answer goes."""

    prompt: list[int]
    seed: int
    temperature: float
    max_tokens: int
    answer: "asyncio.Future[Response]"


class HFServer:
    """A Ray actor with verl's contract: token ids in; token ids and log-probabilities out; weights before each step."""

    def __init__(self, config: Any, model_config: Any, replica_rank: int) -> None:
        from transformers import AutoModelForCausalLM
        from verl.utils.torch_dtypes import PrecisionType

        self._config = config
        model: HFModelConfig = omega_conf_to_dataclass(model_config, dataclass_type=HFModelConfig)
        self._pad_id = model.tokenizer.pad_token_id
        ends = getattr(model.generation_config, "eos_token_id", None) or model.tokenizer.eos_token_id
        self._end_ids = ends if isinstance(ends, list) else [ends]
        dtype = PrecisionType.to_dtype(config.dtype)
        self._model = AutoModelForCausalLM.from_config(model.hf_config, dtype=dtype).eval()
        self._replica_rank = replica_rank
        self._global_steps: int | None = None
        self._asked: Counter[tuple[int, ...]] = Counter()
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._serving: asyncio.Task[None] | None = None

    def ready(self) -> str:
        """The node's address, once the server can be called."""
        return str(ray.util.get_node_ip_address())

    async def update_weights(self, state: dict[str, Any], global_steps: int | None) -> None:
        """Use the weights `state` from now on; raises if they are not exactly the model's."""
        missing, unexpected = self._model.load_state_dict(state, strict=False)
        tied = set(self._model.all_tied_weights_keys)
        if unexpected or set(missing) - tied:
            raise ValueError(f"weights do not fit the model: missing {missing}, unexpected {unexpected}")
        self._model.tie_weights()
        self._global_steps = global_steps
        self._asked.clear()

    async def generate(
        self, prompt_ids: list[int], sampling_params: dict[str, Any], request_id: str, **_: Any
    ) -> TokenOutput:
        """Sample one response; the n-th request for a prompt between two weight updates is always the same sample."""
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        if sampling_params.get("top_p", 1.0) != 1.0 or sampling_params.get("top_k", -1) != -1:
            raise ValueError(f"sampling parameters {sampling_params}: the engine hf has no top_p and no top_k")
        room = self._config.prompt_length + self._config.response_length - len(prompt_ids)
        request = Request(
            prompt=list(prompt_ids),
            seed=self._seed(tuple(prompt_ids)),
            temperature=float(sampling_params.get("temperature", 1.0)),
            max_tokens=sampling_params.get("max_tokens") or min(self._config.response_length, room),
            answer=asyncio.get_running_loop().create_future(),
        )
        await self._queue.put(request)
        response = await request.answer
        return TokenOutput(
            token_ids=response.token_ids,
            log_probs=response.log_probs if sampling_params.get("logprobs") else None,
            stop_reason="completed",
            extra_fields={"global_steps": self._global_steps},
        )

    def _seed(self, prompt: tuple[int, ...]) -> int:
        self._asked[prompt] += 1
        parts = (self._config.seed, self._replica_rank, self._global_steps, self._asked[prompt], prompt)
        return int.from_bytes(sha256(repr(parts).encode()).digest()[:8], "big") >> 1

    async def _serve(self) -> None:
        while True:
            batch = [await self._queue.get()]
            try:
                while len(batch) < self._config.max_num_seqs:
                    batch.append(await asyncio.wait_for(self._queue.get(), GATHER_SECONDS))
            except TimeoutError:
                pass
            for alike in _groups(batch):
                try:
                    responses = await asyncio.to_thread(self._sample, alike)
                except Exception as error:  # noqa: BLE001 (it is passed on to those who asked)
                    for request in alike:
                        request.answer.set_exception(error)
                else:
                    for request, response in zip(alike, responses, strict=True):
                        request.answer.set_result(response)

    def _sample(self, requests: list[Request]) -> list[Response]:
        return sample(
            self._model,
            [request.prompt for request in requests],
            [request.seed for request in requests],
            temperature=requests[0].temperature,
            max_tokens=requests[0].max_tokens,
            end_ids=self._end_ids,
            pad_id=self._pad_id,
        )

    async def sleep(self, *_: Any, **__: Any) -> None:
        """Nothing to do, here and in the calls below: a CPU server keeps its weights, has no cache and no profiler."""

    wake_up = clear_kv_cache = release_kv_cache = resume_kv_cache = sleep
    abort_all_requests = resume_generation = start_profile = stop_profile = sleep


def _groups(batch: list[Request]) -> list[list[Request]]:
    """Requests with the same sampling parameters, shortest prompts first, so that little is padded."""
    groups: dict[tuple[float, int], list[Request]] = {}
    for request in sorted(batch, key=lambda request: len(request.prompt)):
        groups.setdefault((request.temperature, request.max_tokens), []).append(request)
    return list(groups.values())
