"""Stage `grpo`: train the base model on the problems by reinforcement learning, with verl.

Inputs: `base` (a model folder) and `problems` (`problems.parquet`). Result: `checkpoints/1` … `checkpoints/5`, one each
fifth of the training, in Hugging Face format with the tokenizer, weights in the precision of the forward passes; and
`training.jsonl`.
"""

import os
import sys
from pathlib import Path

from rlgen_k8s.lm.load import check_model_folder
from rlgen_k8s.processes.child import run_child
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.gang import Gang, gang_of, shared_token
from rlgen_k8s.stages.grpo.follow import Follower
from rlgen_k8s.stages.grpo.overrides import LOCAL_CPUS, Paths, overrides
from rlgen_k8s.stages.grpo.prompts import write_prompts
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.points import resume_steps, save_steps


def run(context: Context[GrpoSettings]) -> None:
    """Train, or go on from the newest resume point. Raises `UserError` for bad inputs, `ChildFailed` if verl fails."""
    settings, gang = context.settings, gang_of(os.environ)
    check_model_folder(context.inputs["base"])
    base = context.scratch / "base"  # at the same place in all pods of a gang
    base.symlink_to(context.inputs["base"])
    prompts = context.scratch / "prompts.parquet"
    n_prompts = write_prompts(context.inputs["problems"], base, settings, prompts)
    steps = checkpoint_steps(n_prompts, settings.prompts_per_step, settings.epochs)
    saves = save_steps(steps, resume_steps(os.environ))
    follower = Follower(context, steps, saves)
    resume = follower.restore()
    if follower.done == steps[-1]:
        return
    paths = Paths(
        model=base, prompts=prompts, checkpoints=follower.checkpoints, ray=context.scratch / "ray", resume=resume
    )
    run_child(
        _command(settings, paths, saves, gang),
        name="verl",
        env=_environment(settings, context.scratch, follower.log),
        cwd=context.scratch,
        on_tick=follower.tick,
    )
    if not gang.helps:
        follower.check_complete()


def _command(settings: GrpoSettings, paths: Paths, saves: list[int], gang: Gang) -> list[str]:
    if gang.nodes == 1:
        return [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(settings, paths, saves)]
    counts = f"--num-gpus={settings.n_gpus // gang.nodes}"
    if settings.engine == "hf":
        counts += f" --num-cpus={LOCAL_CPUS}"
    program = [sys.executable, "-m", "rlgen_k8s.stages.grpo.cluster"]
    if gang.helps:
        return [*program, "join", gang.address, str(gang.port), counts]
    asked = overrides(settings, paths, saves, gang.nodes)
    return [*program, "lead", str(gang.nodes), str(gang.port), counts, *asked]


def _environment(settings: GrpoSettings, scratch: Path, log: Path) -> dict[str, str]:
    """The trainer's environment: nothing is downloaded, and nothing written outside `scratch`."""
    token = scratch / "ray-token"
    token.touch(mode=0o600)
    token.write_text(shared_token(os.environ))
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(scratch / "datasets"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(scratch / "ray"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "TRANSFORMERS_OFFLINE": "1",
        "VERL_FILE_LOGGER_PATH": str(log),
    }
    if settings.engine == "hf":
        environment |= {
            "OMP_NUM_THREADS": "1",
            "TQ_NUM_THREADS": "1",
            "VERL_ENGINE_DEVICE": "cuda",  # as the plug-in says, to those too whose Ray starts before verl
            "VERL_USE_EXTERNAL_MODULES": "rlgen_k8s.verl_cpu",
        }
    return environment
