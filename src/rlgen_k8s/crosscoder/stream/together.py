"""Training any number of crosscoders on one stream."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import TokenSet
from rlgen_k8s.crosscoder.step import StepResult
from rlgen_k8s.crosscoder.stream.shared import SharedStep
from rlgen_k8s.crosscoder.stream.stream import Stream
from rlgen_k8s.crosscoder.training import Trainer, TrainingPlan
from rlgen_k8s.errors import UserError

RECORD = "stream.json"


@dataclass(frozen=True)
class Member:
    """One crosscoder of several: which of the stream's models it reads, and how it is trained."""

    models: tuple[str, ...]
    plan: TrainingPlan
    names: tuple[str, ...] = ()
    """What the crosscoder calls these models; as the stream does if empty."""


class JointTraining:
    """Several trainers that take every step on the same tokens."""

    def __init__(
        self,
        stream: Stream,
        members: Mapping[str, Member],
        device: torch.device | str = "cpu",
        own: Collection[str] | None = None,
    ) -> None:
        """`own`: the members that this process trains (None: all); other processes train the others.

        Raises `UserError` for a member whose batch or epochs are not the stream's, or with an unknown model.
        """
        recipe = stream.recipe
        for name, member in members.items():
            if (member.plan.batch, member.plan.epochs) != (recipe.batch, recipe.epochs):
                raise UserError(
                    f"crosscoder {name}: batch {member.plan.batch} and epochs {member.plan.epochs} are not the "
                    f"stream's ({recipe.batch} and {recipe.epochs}); crosscoders of one stream share both"
                )
            if stream.ranks.shares > 1 and member.plan.activation == "batch_topk":
                raise UserError(
                    f"crosscoder {name}: activation batch_topk compares all tokens of a batch and does not train over "
                    f"{stream.ranks.shares} processes; train it in one, or use relu or jumprelu"
                )
        self.stream, self.members = stream, members
        self.trainers = {
            name: Trainer(_tokens(stream, member), member.plan, device)
            for name, member in members.items()
            if own is None or name in own
        }
        if stream.ranks.shares > 1:
            for trainer in self.trainers.values():
                trainer.gradient_step = SharedStep(trainer.gradient_step)
        self.step, self.total_steps = 0, stream.order.total_steps
        self._indices = {
            models: torch.tensor([stream.models.index(model) for model in models], device=device)
            for models in (members[name].models for name in self.trainers)
        }

    def run(self) -> Iterator[dict[str, StepResult]]:
        """Step by step to the end, from where it stands; what each crosscoder's batch showed, by name."""
        for x in self.stream.batches(self.step):
            inputs = {models: self._select(x, models) for models in self._indices}
            results = {
                name: trainer.advance(inputs[self.members[name].models]) for name, trainer in self.trainers.items()
            }
            self.step += 1
            yield results

    def _select(self, x: Tensor, models: tuple[str, ...]) -> Tensor:
        """The columns of `models` side by side, [tokens, M * d]; `x` itself if they are the stream's."""
        if models == self.stream.models:
            return x
        by_model = x.view(len(x), len(self.stream.models), self.stream.source.width)
        return by_model.index_select(1, self._indices[models]).flatten(1)

    def save(self, folder: Path) -> None:
        """Write the whole training state: each crosscoder's in a folder of its name, and the stream's recipe.

        What processes with crosscoders of their own write makes, in one folder, the state of all.
        """
        for name, trainer in self.trainers.items():
            (folder / name).mkdir()
            trainer.save(folder / name)
        (folder / RECORD).write_text(json.dumps({"step": self.step, **self._record()}, indent=1) + "\n")

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote. Raises `UserError` if that was another stream."""
        saved = json.loads((folder / RECORD).read_text())
        for key, value in self._record().items():
            if saved[key] != value:
                raise UserError(
                    f"resume point {folder}: its {key} {saved[key]} is not this stream's {value}; "
                    "go on with the stream that it was made with, or start anew"
                )
        for name, trainer in self.trainers.items():
            trainer.restore(folder / name)
        self.step = saved["step"]

    def _record(self) -> dict[str, Any]:
        """What must be equal where a training goes on, as JSON gives it back."""
        source = self.stream.source
        record = {
            "recipe": asdict(self.stream.recipe),
            "units": hashlib.sha256(source.kept.tobytes()).hexdigest(),
            "models": source.models,
            "dtype": str(source.dtype),
            "scales": self.stream.scales,
            "crosscoders": {name: asdict(member) for name, member in self.members.items()},
        }
        back: dict[str, Any] = json.loads(json.dumps(record))
        return back


def _tokens(stream: Stream, member: Member) -> TokenSet:
    """What the trainer of `member` has to know, with the names that its crosscoder has for the models."""
    tokens = stream.token_set(member.models)
    return replace(tokens, models=member.names or tokens.models)


def saved_scales(folder: Path) -> tuple[float, ...]:
    """The scales of a resume point's stream: one that goes on does not estimate them again."""
    return tuple(json.loads((folder / RECORD).read_text())["scales"])
