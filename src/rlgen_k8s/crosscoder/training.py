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

from rlgen_k8s.crosscoder.data import JointActivations, epoch_order
from rlgen_k8s.crosscoder.model import Crosscoder, new_crosscoder
from rlgen_k8s.crosscoder.step import GradientStep, StepResult


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. The stage's settings document each."""

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

    def total_steps(self, n_tokens: int) -> int:
        """Steps of the whole training; the last batch of an epoch may be smaller, no token is left out."""
        return self.epochs * math.ceil(n_tokens / self.batch)


class Schedule(NamedTuple):
    """Learning rate and λ at a step."""

    learning_rate: float
    sparsity_weight: float


def schedule(plan: TrainingPlan, step: int, total: int) -> Schedule:
    """λ rises linearly over the first `sparsity_warmup` of the steps; the learning rate falls linearly to 0 over the
    last `learning_rate_decay` of them. `step` counts from 0.
    """
    warmup, decay = plan.sparsity_warmup * total, plan.learning_rate_decay * total
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = min(1.0, (total - step) / decay) if decay else 1.0
    return Schedule(plan.learning_rate * fall, plan.sparsity_weight * rise)


class Trainer:
    """Holds the training state; `advance()` does one step."""

    def __init__(self, data: JointActivations, plan: TrainingPlan, device: torch.device | str = "cpu") -> None:
        self.data, self.plan, self.step = data, plan, 0
        self.total_steps = plan.total_steps(data.n_tokens)
        self.crosscoder: Crosscoder = new_crosscoder(
            data.models,
            data.scales,
            width=data.width,
            n_features=plan.n_features,
            decoder_norm=plan.decoder_norm,
            seed=plan.seed,
            device=device,
        )
        batch = min(plan.batch, data.n_tokens)
        self.gradient_step = GradientStep(self.crosscoder, batch)
        parameters = self.crosscoder.parameters
        for name, parameter in parameters.items():
            parameter.grad = self.gradient_step.gradients[name]
        self.optimizer = torch.optim.Adam(parameters.values(), lr=plan.learning_rate, fused=True)
        self.idle_tokens = torch.zeros(plan.n_features, dtype=torch.int64, device=device)
        """[D] tokens since a feature last fired."""
        self._batch = torch.empty(batch, len(data.models) * data.width, device=device)
        self._order: tuple[int, Tensor] | None = None

    def advance(self) -> StepResult:
        """Train on the next batch."""
        now = schedule(self.plan, self.step, self.total_steps)
        x = self.data.fill(self._next_rows(), self._batch)
        result = self.gradient_step(x, now.sparsity_weight)
        gradients = list(self.gradient_step.gradients.values())
        torch.nn.utils.clip_grads_with_norm_(
            self.crosscoder.parameters.values(), self.plan.max_gradient_norm, torch.nn.utils.get_total_norm(gradients)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = now.learning_rate
        self.optimizer.step()
        self.idle_tokens.add_(len(x)).mul_(~result.fired)
        self.step += 1
        return result

    def _next_rows(self) -> Tensor:
        """The rows of the next batch: each epoch is a fresh permutation of all tokens."""
        epoch, within = divmod(self.step, math.ceil(self.data.n_tokens / self.plan.batch))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(self.data.n_tokens, self.plan.seed, epoch))
        return self._order[1][within * self.plan.batch : (within + 1) * self.plan.batch]

    def save(self, folder: Path) -> None:
        """Write the whole training state into `folder`."""
        tensors = {"idle_tokens": self.idle_tokens}
        for name, parameter in self.crosscoder.parameters.items():
            tensors[name] = parameter
            tensors |= {f"{name}.{key}": value for key, value in self.optimizer.state[parameter].items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "training.safetensors")
        (folder / "training.json").write_text(json.dumps({"step": self.step}))

    def restore(self, folder: Path) -> None:
        """Take up the state that `save` wrote, with the same data and plan."""
        tensors = load_file(folder / "training.safetensors", device=str(self.idle_tokens.device))
        self.step = json.loads((folder / "training.json").read_text())["step"]
        self.idle_tokens.copy_(tensors["idle_tokens"])
        for name, parameter in self.crosscoder.parameters.items():
            parameter.copy_(tensors[name])
            self.optimizer.state[parameter] = {
                key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}.{key}" in tensors
            }
