"""Follow verl's training from outside: its curves, its checkpoints, and the points to resume from."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.grpo.checkpoint import in_precision_of_passes
from rlgen_k8s.stages.grpo.settings import GrpoSettings

CURVES = {
    "reward": "critic/rewards/mean",
    "response_length": "response_length/mean",
    "response_cut_off": "response_length/clip_ratio",
    "entropy": "actor/entropy",
    "loss": "actor/pg_loss",
    "kl_step": "actor/ppo_kl",
    "gradient_norm": "actor/grad_norm",
    "clip_fraction": "actor/pg_clipfrac",
    "seconds": "timing_s/step",
    "seconds_sampling": "timing_s/gen",
    "seconds_update": "timing_s/update_actor",
}
"""What `training.jsonl` says of a step, and verl's name for it."""
MODEL = "actor/huggingface"
"""The policy in Hugging Face format, in what verl saves of a step."""


@dataclass
class Follower:
    """`tick` takes over what verl has written since the last call.

    A resume point holds `global_step_<n>` (verl's state; none after the last step), the `checkpoints` so far and
    `training.jsonl` up to that step.
    """

    context: Context[GrpoSettings]
    steps: list[int]
    """After which steps the checkpoints 1 … 5 are taken."""
    saves: list[int]
    """After which steps verl saves: these, and more to resume from."""
    done: int = 0
    """Steps in `training.jsonl`."""
    _saved: int = field(default=0, init=False)
    """The newest step that there is a resume point of."""
    _read: int = field(default=0, init=False)

    @property
    def checkpoints(self) -> Path:
        """Where verl saves `global_step_<n>`."""
        return self.context.scratch / "verl"

    @property
    def log(self) -> Path:
        """verl's metrics: a JSON object a line."""
        return self.context.scratch / "verl.jsonl"

    @property
    def _curves(self) -> Path:
        return self.context.out / "training.jsonl"

    def restore(self) -> Path | None:
        """Take over the newest resume point; the folder that verl goes on from, or None to start from the base."""
        point = self.context.resume.newest()
        if point is None:
            return None
        print(f"resuming after step {point.step} of {self.steps[-1]}", flush=True)
        shutil.copytree(point.path / "checkpoints", self.context.out / "checkpoints")
        shutil.copy(point.path / "training.jsonl", self._curves)
        self.done = self._saved = point.step
        self.context.progress(self.done, self.steps[-1])
        state = point.path / f"global_step_{point.step}"
        return state if state.is_dir() else None

    def tick(self) -> None:
        """Take over new steps and what verl has saved whole."""
        self._take_steps()
        latest = self.checkpoints / "latest_checkpointed_iteration.txt"
        whole = int(latest.read_text() or 0) if latest.exists() else 0
        # verl writes a step's checkpoint before its metrics; a resume point has both.
        new = [step for step in self.saves if self._saved < step <= min(whole, self.done)]
        for step in new:
            if step in self.steps:
                self._take_checkpoint(step)
        for step in new[:-1]:  # verl was faster than the store
            shutil.rmtree(self._state(step))
        if new:
            self._save_point(new[-1])

    def check_complete(self) -> None:
        """Raise `RuntimeError` unless verl left all that it was asked for."""
        missing = [fifth for fifth in range(1, len(self.steps) + 1) if not self._checkpoint(fifth).exists()]
        if missing or self.done != self.steps[-1]:
            raise RuntimeError(
                f"verl ended without an error after step {self.done} of {self.steps[-1]}; checkpoints {missing} missing"
            )

    def _state(self, step: int) -> Path:
        return self.checkpoints / f"global_step_{step}"

    def _checkpoint(self, fifth: int) -> Path:
        return self.context.out / "checkpoints" / str(fifth)

    def _take_steps(self) -> None:
        if not self.log.exists():
            return
        with self.log.open("rb") as log:
            log.seek(self._read)
            lines = log.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):  # still being written
                break
            self._read += len(line)
            self._take_step(json.loads(line))

    def _take_step(self, record: dict[str, Any]) -> None:
        step, values = record["step"], record["data"]
        row = {name: values[key] for name, key in CURVES.items()}
        with self._curves.open("a") as curves:
            curves.write(json.dumps({"step": step, **row}) + "\n")
        self.context.metrics({key: float(value) for key, value in values.items()}, step)
        self.done = step
        self.context.progress(step, self.steps[-1])

    def _take_checkpoint(self, step: int) -> None:
        model, target = self._state(step) / MODEL, self._checkpoint(self.steps.index(step) + 1)
        in_precision_of_passes(model, self.context.settings)
        target.parent.mkdir(exist_ok=True)
        shutil.move(model, target)

    def _save_point(self, step: int) -> None:
        point, state = self.context.scratch / "point", self._state(step)
        point.mkdir()
        if step not in self.steps:
            shutil.rmtree(state / MODEL)  # verl goes on from its own files
        if step < self.steps[-1]:
            state.rename(point / state.name)
        else:
            shutil.rmtree(state)
        for fifth, taken in enumerate(self.steps, 1):
            if taken <= step:
                target = point / "checkpoints" / str(fifth)
                shutil.copytree(self._checkpoint(fifth), target, copy_function=_link)
        rows = [line for line in self._curves.read_text().splitlines(True) if json.loads(line)["step"] <= step]
        (point / "training.jsonl").write_text("".join(rows))
        self.context.resume.save(step, point)
        self._saved = step
        shutil.rmtree(point)


def _link(source: str, target: str) -> None:
    """Share the bytes where both are on one disk, else copy them."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
