"""What LLaMA-Factory and DeepSpeed are told, and how the training processes are started."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlgen_k8s.stages.gang import ALONE, Gang
from rlgen_k8s.stages.sft.settings import SftSettings


def training_config(
    settings: SftSettings, *, model: Path, traces: Path, output: Path, resume_from: Path | None, on_gpu: bool
) -> dict[str, Any]:
    """LLaMA-Factory's arguments (its YAML), for full-parameter SFT of `model` on a result of the stage `traces`.

    The process goes on from the trainer's checkpoint `resume_from`, if there is one.

    Saving is left to the callback of `train.py`: LLaMA-Factory's `save_steps` knows a fixed interval only. Curves are
    written by that callback too: the trainer's own MLflow reporting would end the training when MLflow is down.
    """
    config: dict[str, Any] = {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": str(model),
        "trust_remote_code": False,
        "dataset_dir": str(traces),
        "dataset": "traces",
        "template": settings.template,
        "cutoff_len": settings.cutoff_len,
        "overwrite_cache": True,
        # A GPU node has cores to tokenize with; starting workers costs more than it brings for a small study.
        "preprocessing_num_workers": 16 if on_gpu else None,
        "dataloader_num_workers": 0,
        "output_dir": str(output),
        "logging_steps": 1,
        "save_strategy": "no",
        "plot_loss": False,
        "report_to": "none",
        "per_device_train_batch_size": settings.per_device_batch,
        "gradient_accumulation_steps": settings.batch // (settings.per_device_batch * settings.processes),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": float(settings.epochs),
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_ratio,  # below 1 it is read as a part of all steps
        "seed": settings.seed,
        "bf16": settings.precision == "bfloat16",
        "disable_gradient_checkpointing": not settings.gradient_checkpointing,
        # Without it LLaMA-Factory guesses, and on a GPU reads float32 weights as float16.
        "infer_dtype": settings.precision,
    }
    if resume_from is not None:
        config["resume_from_checkpoint"] = str(resume_from)
    if settings.deepspeed_stage is not None:
        config["deepspeed"] = deepspeed_config(settings.deepspeed_stage)
    elif not on_gpu:
        config["use_cpu"] = True
    return config


def deepspeed_config(stage: int) -> dict[str, Any]:
    """DeepSpeed's configuration for ZeRO `stage` 2 or 3; "auto" is filled by the trainer from its own arguments."""
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": False, "contiguous_gradients": True}
    if stage == 2:
        zero |= {"allgather_partitions": True, "reduce_scatter": True, "round_robin_gradients": True}
    else:
        zero |= {
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,  # whole safetensors in every checkpoint, fp32 too
        }
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True,
        "fp16": {"enabled": False},
        "bf16": {"enabled": "auto"},
        "zero_optimization": zero,
    }


def command(settings: SftSettings, config: Path, gang: Gang = ALONE) -> list[str]:
    """The command that trains: one process, or torchrun's where DeepSpeed shares the work; a gang's pods take equal
    parts of the processes."""
    program = ["-m", "rlgen_k8s.stages.sft.train", str(config)]
    if settings.deepspeed_stage is None:
        return [sys.executable, *program]
    meeting = ["--standalone"]
    if gang.nodes > 1:
        meeting = [
            *("--nnodes", str(gang.nodes), "--node-rank", str(gang.rank)),
            *("--master-addr", gang.address, "--master-port", str(gang.port)),
        ]
    launcher = ["-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(settings.processes // gang.nodes)]
    return [sys.executable, *launcher, *program]


def environment(settings: SftSettings, cache: Path, *, on_gpu: bool) -> Mapping[str, str]:
    """The environment of the training processes: ours, offline, with a data-sets cache of their own."""
    extra = {
        "HF_DATASETS_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    if settings.deepspeed_stage is not None and not on_gpu:
        extra["DS_ACCELERATOR"] = "cpu"
    return {**os.environ, **extra}
