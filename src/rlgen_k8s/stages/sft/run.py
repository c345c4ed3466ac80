"""Full-parameter SFT on the traces with LLaMA-Factory; five checkpoints, one each fifth of the training."""

import json
import os
from contextlib import suppress
from pathlib import Path

import torch

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.processes.child import ChildError, run_child
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.gang import gang_of
from rlgen_k8s.stages.points import resume_steps, save_steps
from rlgen_k8s.stages.sft import files
from rlgen_k8s.stages.sft.config import command, environment, training_config
from rlgen_k8s.stages.sft.plan import save_points, total_steps
from rlgen_k8s.stages.sft.settings import SftSettings


def run(context: Context[SftSettings]) -> None:
    """Write `checkpoints/1` … `checkpoints/5` (Hugging Face folders) and `training.jsonl`."""
    settings, base, traces = context.settings, context.inputs["base"], context.inputs["traces"]
    load_tokenizer(base)  # names what is wrong with the folder before a trainer starts
    with (traces / "traces.jsonl").open() as lines:
        points = save_points(total_steps(sum(1 for _ in lines), settings.batch, settings.epochs))
    on_gpu, gang = torch.cuda.is_available(), gang_of(os.environ)
    output = context.scratch / "training"
    resume_from = files.restore(context.resume, output)
    config = context.scratch / "config.json"
    arguments = training_config(
        settings, model=base, traces=traces, output=output, resume_from=resume_from, on_gpu=on_gpu
    )
    config.write_text(json.dumps(arguments, indent=1))
    print(config.read_text(), flush=True)

    follow = Follow(context, output, points, save_steps(points, resume_steps(os.environ)))
    try:
        run_child(
            command(settings, config, gang),
            name="LLaMA-Factory",
            env=environment(settings, context.scratch / "datasets-cache", on_gpu=on_gpu),
            cwd=context.scratch,
            on_line=follow.on_line,
            on_tick=follow.on_tick,
        )
    except ChildError as error:
        if follow.user_error:
            raise UserError(follow.user_error) from error
        raise
    if not gang.helps:
        files.publish(output, points, base, context.out)


class Follow:
    """Watches a training from outside: its curve, its progress, its checkpoints, and what it says of bad input."""

    def __init__(self, context: Context[SftSettings], output: Path, points: list[int], saves: list[int]) -> None:
        self.context, self.output, self.points = context, output, points
        self.unsaved = [step for step in saves[:-1] if not files.checkpoint(output, step).exists()]
        self.lines_seen = 0
        self.user_error = ""

    def on_line(self, line: str) -> None:
        """Keep the line in which the process names bad input."""
        if line.startswith(files.USER_ERROR):
            self.user_error = line.removeprefix(files.USER_ERROR)

    def on_tick(self) -> None:
        """Pass new points of the curve on; make the newest whole checkpoint a resume point."""
        with suppress(FileNotFoundError):  # nothing is logged before the first step
            text = (self.output / files.CURVE).read_text()
            lines = text[: text.rfind("\n") + 1].splitlines()
            for line in map(json.loads, lines[self.lines_seen :]):
                step, steps = line.pop("step"), line.pop("steps")
                self.context.progress(step, steps)
                self.context.metrics(line, step)
            self.lines_seen = len(lines)
        for step in reversed(self.unsaved):
            if (files.checkpoint(self.output, step) / files.WHOLE).exists():
                files.save(self.context.resume, self.output, self.points, step, self.context.scratch)
                self.unsaved = [later for later in self.unsaved if later > step]
                break
