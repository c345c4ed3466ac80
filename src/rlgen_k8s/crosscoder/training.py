"""Training a crosscoder: Adam on the hand-made gradients, one step at a time, resumable at any step.

The state after step `t` is a function of the settings, the data and `t` alone, so a run that was killed and went on
from a saved state ends in the same bits as one that was not (same machine, same number of threads).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlgen_k8s.crosscoder.data import JointActivations, TokenSet, epoch_order
from rlgen_k8s.crosscoder.loss import Objective, decoder_norms
from rlgen_k8s.crosscoder.model import Crosscoder, new_crosscoder
from rlgen_k8s.crosscoder.noise import start_apart
from rlgen_k8s.crosscoder.step import GradientStep, Precision, Step, StepResult

THRESHOLD_STEPS = 100
"""About so many of the last steps count in `batch_topk`'s running mean; no more than a tenth of those taken."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Objective):
    """An objective and how to reach it. The stage's settings document each."""

    n_features: int
    sparsity_weight: float
    batch: int
    learning_rate: float
    epochs: int
    sparsity_warmup: float
    learning_rate_decay: float
    max_gradient_norm: float
    decoder_norm: float
    seed: int
    precision: Precision = "fp32"
    dead_tokens: int = 10_000_000
    jump_threshold: float = 3.0
    start_apart: bool = False
    """Whether every model but the first starts in directions of its own (`noise`)."""

    @property
    def first_threshold(self) -> float | None:
        """Every feature's threshold at the start; `batch_topk` measures its own from the first step on."""
        return {"relu": None, "batch_topk": 0.0, "jumprelu": self.jump_threshold}[self.activation]

    def total_steps(self, n_tokens: int) -> int:
        """Steps of the whole training; the last batch of an epoch may be smaller, no token is left out."""
        return self.epochs * math.ceil(n_tokens / self.batch)


class Schedule(NamedTuple):
    """Learning rate and λ at a step."""

    learning_rate: float
    sparsity_weight: float


def schedule(plan: TrainingPlan, step: int, total: int) -> Schedule:
    """λ rises linearly over the first `sparsity_warmup` of the steps; the learning rate falls linearly to 0 over the
    last `learning_rate_decay` of them. `step` counts from 0. With `batch_topk` λ is 0.
    """
    warmup, decay = plan.sparsity_warmup * total, plan.learning_rate_decay * total
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = min(1.0, (total - step) / decay) if decay else 1.0
    weight = 0.0 if plan.activation == "batch_topk" else plan.sparsity_weight
    return Schedule(plan.learning_rate * fall, weight * rise)


class Trainer:
    """Holds the training state; `advance()` does one step."""

    def __init__(
        self, data: JointActivations | TokenSet, plan: TrainingPlan, device: torch.device | str = "cpu"
    ) -> None:
        self.data, self.plan, self.step = data, plan, 0
        self.total_steps = plan.total_steps(data.n_tokens)
        self.crosscoder: Crosscoder = new_crosscoder(
            data.models,
            data.scales,
            width=data.width,
            n_features=plan.n_features,
            decoder_norm=plan.decoder_norm,
            seed=plan.seed,
            threshold=plan.first_threshold,
            device=device,
        )
        if plan.start_apart:  # with another seed: from the plan's own come the rows of the first model
            start_apart(self.crosscoder, plan.seed + 1)
        batch = min(plan.batch, data.n_tokens)
        self.gradient_step: Step = GradientStep(self.crosscoder, batch, plan, plan.precision)
        parameters = self.crosscoder.parameters
        self._trained = [parameters[name] for name in self.gradient_step.gradients]
        for parameter, gradient in zip(self._trained, self.gradient_step.gradients.values(), strict=True):
            parameter.grad = gradient
        self.optimizer = torch.optim.Adam(self._trained, lr=plan.learning_rate, fused=True)
        self.idle_tokens = torch.zeros(plan.n_features, dtype=torch.int64, device=device)
        """[D] tokens since a feature last fired."""
        self.kept_above = torch.zeros((), device=device)
        """Scalar, running mean of the smallest `f_i c_i` that a batch kept; of `batch_topk` only."""
        self._batch: Tensor | None = None
        self._order: tuple[int, Tensor] | None = None

    def advance(self, x: Tensor | None = None) -> StepResult:
        """Train on the next batch of the stored activations, or on `x: [tokens, M * d]` (scaled), a stream's."""
        now = schedule(self.plan, self.step, self.total_steps)
        if x is None:
            x = self._next_batch()
        result = self.gradient_step(x, now.sparsity_weight, self._dead())
        gradients = list(self.gradient_step.gradients.values())
        torch.nn.utils.clip_grads_with_norm_(
            self._trained, self.plan.max_gradient_norm, torch.nn.utils.get_total_norm(gradients)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = now.learning_rate
        self.optimizer.step()
        self.idle_tokens.add_(result.tokens).mul_(~result.fired)
        self._set_thresholds(result)
        self.step += 1
        return result

    def _dead(self) -> Tensor | None:
        """The features that an auxiliary loss is about: [dead], none fired for `dead_tokens` tokens."""
        if self.plan.activation != "batch_topk":
            return None
        return (self.idle_tokens >= self.plan.dead_tokens).nonzero()[:, 0]

    def _set_thresholds(self, result: StepResult) -> None:
        """What decides without a batch: `batch_topk`'s running mean, and no threshold of `jumprelu` below 0."""
        thresholds = self.crosscoder.thresholds
        if thresholds is None:
            return
        if result.smallest_kept is None:
            thresholds.clamp_min_(0)
            return
        counted = min(THRESHOLD_STEPS, max(1.0, (self.step + 1) / 10))
        self.kept_above.lerp_(result.smallest_kept, 1 / counted)
        norm_sums = decoder_norms(self.crosscoder, self.plan.norm_penalty).sum(dim=1)
        torch.div(self.kept_above, norm_sums.clamp_min_(torch.finfo(norm_sums.dtype).tiny), out=thresholds)

    def _next_batch(self) -> Tensor:
        """The next batch of the stored activations: each epoch is a fresh permutation of all tokens."""
        data, batch = self.data, self.plan.batch
        assert isinstance(data, JointActivations), "a stream's trainer is given its batches"
        epoch, within = divmod(self.step, math.ceil(data.n_tokens / batch))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(data.n_tokens, self.plan.seed, epoch))
        if self._batch is None:
            columns = len(data.models) * data.width
            self._batch = torch.empty(min(batch, data.n_tokens), columns, device=self.idle_tokens.device)
        return data.fill(self._order[1][within * batch : (within + 1) * batch], self._batch)

    def _state(self) -> dict[str, Tensor]:
        """What training changes, by name; the optimizer's apart."""
        return {"idle_tokens": self.idle_tokens, "kept_above": self.kept_above, **self.crosscoder.parameters}

    def save(self, folder: Path) -> None:
        """Write the training state into `folder`. After the last step the optimizer's, two thirds, is left out."""
        tensors = self._state()
        if self.step < self.total_steps:
            for name, parameter in zip(self.gradient_step.gradients, self._trained, strict=True):
                tensors |= {f"{name}.{key}": value for key, value in self.optimizer.state[parameter].items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "training.safetensors")
        (folder / "training.json").write_text(json.dumps({"step": self.step}))

    def restore(self, folder: Path) -> None:
        """Take up the state that `save` wrote, with the same data and plan."""
        tensors = load_file(folder / "training.safetensors", device=str(self.idle_tokens.device))
        self.step = json.loads((folder / "training.json").read_text())["step"]
        for name, tensor in self._state().items():
            tensor.copy_(tensors[name])
        for name, parameter in zip(self.gradient_step.gradients, self._trained, strict=True):
            self.optimizer.state[parameter] = {
                key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}.{key}" in tensors
            }
