"""The training's files: the trainer's checkpoints, what of them is kept for a restart, and what is published."""

import json
import os
import shutil
from pathlib import Path

from rlgen_k8s.stages.contract import Resume

CURVE = "curve.jsonl"
"""The points logged so far, in the trainer's output folder."""
WHOLE = "whole"
"""Marks a checkpoint folder that every process has finished writing."""
USER_ERROR = "UserError: "
"""Starts the line in which the training process names bad input."""
TRAINER_STATE = "trainer_state.json"
PUBLISHED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""A model and its tokenizer in Hugging Face format, in any of its layouts."""


def checkpoint(output: Path, step: int) -> Path:
    """The trainer's folder for the checkpoint of `step`."""
    return output / f"checkpoint-{step}"


def model_files(folder: Path) -> list[Path]:
    """The files of a trainer's checkpoint that make a Hugging Face model."""
    found = {path for pattern in PUBLISHED for path in folder.glob(pattern)}
    return sorted(found - {folder / TRAINER_STATE})


def restore(resume: Resume, output: Path) -> Path | None:
    """Put the newest resume point into `output`; the trainer's checkpoint to go on from, or None."""
    output.mkdir()
    point = resume.newest()
    if point is None:
        return None
    for source in point.path.rglob("*"):
        if source.is_file():
            target = output / source.relative_to(point.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return checkpoint(output, point.step)


def save(resume: Resume, output: Path, points: list[int], step: int, scratch: Path) -> None:
    """Save a resume point: the whole checkpoint of `step`, and of the earlier ones of `points` the models.

    Nothing else of the earlier ones stays in `output`: they lose their optimizer states, those of other steps go.
    """
    folder = scratch / f"resume-{step}"
    for other in output.glob("checkpoint-*"):
        number = int(other.name.removeprefix("checkpoint-"))
        if number < step and number in points:
            strip(other)
        elif number < step:
            shutil.rmtree(other)
        if number <= step and other.exists():
            shutil.copytree(other, folder / other.name, copy_function=os.link)
    resume.save(step, folder)
    shutil.rmtree(folder)


def strip(folder: Path) -> None:
    """Leave only the model in a trainer's checkpoint."""
    keep = set(model_files(folder))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in keep:
            path.unlink()


def publish(output: Path, points: list[int], base: Path, out: Path) -> None:
    """Write `checkpoints/1` … and `training.jsonl` (a line a step: step, epoch, loss, learning_rate, grad_norm).

    LLaMA-Factory turns the configuration's `use_cache` off for the training; it is published as `base` has it.
    """
    use_cache = json.loads((base / "config.json").read_text()).get("use_cache", True)
    history = json.loads((checkpoint(output, points[-1]) / TRAINER_STATE).read_text())["log_history"]
    with (out / "training.jsonl").open("w") as file:
        for line in history:
            if "loss" in line:
                file.write(json.dumps(line) + "\n")
    for number, step in enumerate(points, start=1):
        target = out / "checkpoints" / str(number)
        target.mkdir(parents=True)
        for path in model_files(checkpoint(output, step)):
            shutil.move(path, target)
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | {"use_cache": use_cache}, indent=2) + "\n")
