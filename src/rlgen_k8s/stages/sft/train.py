"""The training process: LLaMA-Factory's SFT with a callback that saves when the plan says and keeps the curve.

Started as `python -m rlgen_k8s.stages.sft.train CONFIG.json`, alone or by torchrun.
"""

import json
import os
import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch.distributed
from llamafactory.data.template import TEMPLATES
from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.processes.gather import gather
from rlgen_k8s.stages.points import resume_steps, save_steps
from rlgen_k8s.stages.sft.files import CURVE, USER_ERROR, WHOLE, checkpoint
from rlgen_k8s.stages.sft.plan import save_points


class SaveAndLog(TrainerCallback):
    """Saves after each fifth of the training, and between them at least every `every` steps; appends each logged point
    to `curve.jsonl` in the output folder."""

    def __init__(self, every: int | None) -> None:
        self.every = every
        self.began = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """From here on a step's time counts."""
        self.began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for a checkpoint where one is due."""
        control.should_save = state.global_step in save_steps(save_points(state.max_steps), self.every)
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark the checkpoint as whole once all processes have written their parts."""
        if torch.distributed.is_initialized():
            gather(checkpoint(_output(args), state.global_step), local_rank=args.local_process_index)
        if args.process_index == 0:
            (checkpoint(_output(args), state.global_step) / WHOLE).touch()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """One line a step: step, steps, loss, learning_rate, grad_norm; seconds, without saving."""
        if args.process_index == 0 and logs and "loss" in logs:
            seconds = time.monotonic() - self.began
            line = {"step": state.global_step, "steps": state.max_steps, **logs, "seconds": seconds}
            with (_output(args) / CURVE).open("a") as file:
                file.write(json.dumps(line) + "\n")


def _output(args: TrainingArguments) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir)


def check_template(name: str, model: Path) -> None:
    """Raise `UserError` unless LLaMA-Factory's template builds the prompt that the tokenizer's chat template builds.

    Evaluation and RL use the latter: with another prompt the study would compare formats.
    """
    if name not in TEMPLATES:
        near = ", ".join(get_close_matches(name, TEMPLATES)) or "see LLaMA-Factory's list"
        raise UserError(f"template {name}: LLaMA-Factory has no such template; near ones: {near}")
    tokenizer = load_tokenizer(model)
    question = [{"role": "user", "content": "What is 1+1?"}]
    expected = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    prompt, _ = TEMPLATES[name].encode_oneturn(tokenizer, [*question, {"role": "assistant", "content": "2"}])
    if (built := tokenizer.decode(prompt)) != expected:
        raise UserError(
            f"template {name}: builds the prompt {built!r}, but the tokenizer's chat template {expected!r}; "
            "expected the same; choose the LLaMA-Factory template that fits the model, or mend the chat template"
        )


def main(config_file: Path) -> None:
    """Train as `config_file` (JSON: LLaMA-Factory's arguments) says."""
    config = json.loads(config_file.read_text())
    check_template(config["template"], Path(config["model_name_or_path"]))
    run_exp(config, callbacks=[SaveAndLog(resume_steps(os.environ))])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"{USER_ERROR}{error}")
