"""A model in memory as the harness's language model: its own one, with fewer forward passes for log-likelihoods."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlgen_k8s.lm.generate import refuse_longer_than
from rlgen_k8s.lm.load import load_model, load_tokenizer

Request = tuple[tuple[str, str], list[int], list[int]]
"""(context, continuation) as text, then each as tokens: the harness's own form."""


class HarnessModel(HFLM):  # type: ignore[misc]
    """What differs from `HFLM`, none of it in a result but for rounding:

    - texts are tokenized in one batch, each once in the life of this object, however often it is asked;
    - batches hold a number of tokens instead of sequences, and logits are kept at the scored positions only;
    - log-probabilities are computed in float32, whatever the model's precision;
    - `on_progress(share)` hears of each batch, share 0..1 of the requests at hand.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokens_per_batch: int,
        sequences_per_generation: int = 1,
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=sequences_per_generation)
        self.tokens_per_batch = tokens_per_batch
        self.on_progress = on_progress
        self._tokens: dict[str, list[int]] = {}
        self._generated, self._to_generate = 0, 0

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Tokens of `string`, from memory where it was tokenized as a request."""
        if add_special_tokens is None and not kwargs and string in self._tokens:
            return self._tokens[string]
        tokens: list[int] = super().tok_encode(string, add_special_tokens=add_special_tokens, **kwargs)
        return tokens

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-likelihood of each request's continuation, and whether it is the greedy one."""
        # The two texts the harness tokenizes for a pair: all of it, and the context without spaces at its end.
        texts = {text for context, rest in (r.args for r in requests) for text in (context + rest, context.rstrip())}
        bos = self.tokenizer.bos_token
        new = sorted(text for text in texts - self._tokens.keys() if text and not (bos and text.startswith(bos)))
        if new:
            self._tokens |= zip(new, self.tokenizer(new)["input_ids"], strict=True)
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """As in `HFLM`; requests with the same input (options of one token each) share its forward pass."""
        by_input: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, (_, context, continuation) in enumerate(requests):
            by_input[tuple((context + continuation)[-(self.max_length + 1) : -1])].append(i)
        inputs = sorted(by_input, key=lambda tokens: (-len(tokens), tokens))
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        done = 0
        for batch in batches_of_tokens(inputs, self.tokens_per_batch):
            scored = [(row, i) for row, tokens in enumerate(batch) for i in by_input[tokens]]
            continuations = [requests[i][2] for _, i in scored]
            for (_, i), answer in zip(scored, self._score(batch, [r for r, _ in scored], continuations), strict=True):
                answers[i] = answer
            done += len(scored)
            self.on_progress(done / len(requests))
        return answers

    def _score(
        self, inputs: Sequence[tuple[int, ...]], rows: Sequence[int], continuations: Sequence[list[int]]
    ) -> list[tuple[float, bool]]:
        """Score `continuations[j]`, which ends one token after `inputs[rows[j]]` does."""
        longest = len(inputs[0])
        # Padding stands on the right, where causal attention cannot see it.
        padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in inputs], device=self.device)
        starts = [len(inputs[row]) - len(cont) for row, cont in zip(rows, continuations, strict=True)]
        kept = longest - min(starts)
        with torch.inference_mode():
            logits: Tensor = self.model(
                padded, logits_to_keep=kept, use_cache=False
            ).logits  # [batch, kept, vocabulary]
            lengths = [len(continuation) for continuation in continuations]
            at_row = torch.tensor(rows, device=self.device).repeat_interleave(torch.tensor(lengths, device=self.device))
            at = [start + i - (longest - kept) for start, n in zip(starts, lengths, strict=True) for i in range(n)]
            targets = torch.tensor([token for cont in continuations for token in cont], device=self.device)
            chosen = logits[at_row, torch.tensor(at, device=self.device)].float()  # [tokens scored, vocabulary]
            log_probabilities = chosen.log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
            greedy = chosen.argmax(dim=-1) == targets
            return [
                (float(part.sum()), bool(same.all()))
                for part, same in zip(log_probabilities.cpu().split(lengths), greedy.cpu().split(lengths), strict=True)
            ]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """A response to each request. Raises `UserError` where the responses asked for do not fit the model."""
        refuse_longer_than(self.max_length, max(int(request.args[1]["max_gen_toks"]) for request in requests))
        self._generated, self._to_generate = 0, len(requests)
        responses: list[str] = super().generate_until(requests, disable_tqdm=True)
        return responses

    def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        with torch.inference_mode():
            output: Tensor = super()._model_generate(context=context, max_length=max_length, stop=stop, **options)
        self._generated += context.shape[0]
        self.on_progress(self._generated / self._to_generate)
        return output


def batches_of_tokens(inputs: Sequence[tuple[int, ...]], tokens: int) -> Iterator[list[tuple[int, ...]]]:
    """`inputs`, longest first, in batches of at most `tokens` tokens with padding (one input at least)."""
    batch: list[tuple[int, ...]] = []
    for item in inputs:
        if batch and len(batch[0]) * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def load_harness_model(folder: Path, *, tokens_per_batch: int, sequences_per_generation: int = 1) -> HarnessModel:
    """The model in `folder`, on the GPU where there is one."""
    model = load_model(folder)
    model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[arg-type]  # transformers' own wrapper
    return HarnessModel(
        model,
        load_tokenizer(folder),
        tokens_per_batch=tokens_per_batch,
        sequences_per_generation=sequences_per_generation,
    )
