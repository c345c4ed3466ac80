"""A study's settings in the words of verl's configuration (verl 0.9.1, `verl/trainer/config/ppo_trainer.yaml`)."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rlgen_k8s.stages.grpo.settings import GrpoSettings

LOCAL_CPUS = 16
"""Logical CPUs that Ray is told of where there are no GPUs: verl waits without end if it has fewer to reserve."""

WORKER = Path(__file__).parents[2] / "ray_fork" / "worker.py"
"""Not imported: the package is a plug-in that imports verl."""


@dataclass(frozen=True)
class Paths:
    """What verl reads and writes."""

    model: Path
    prompts: Path
    checkpoints: Path
    ray: Path
    """Ray's own files; short, since sockets lie below it."""
    resume: Path | None = None
    """A folder `global_step_<n>` to go on from."""


def overrides(settings: GrpoSettings, paths: Paths, save_steps: list[int], nodes: int = 1) -> list[str]:
    """Arguments of `python -m verl.trainer.main_ppo`, which saves after each of `save_steps`.

    On several nodes Ray runs already (`cluster`), and has been told of CPUs and GPUs.
    """
    hardware = _on_cpus(paths) if settings.engine == "hf" else _on_gpus()
    ray = _own_ray(settings, paths) if nodes == 1 else []
    training = _run(settings, paths, save_steps, nodes)
    return _algorithm(settings) + _model(settings, paths) + training + hardware + ray


def _algorithm(settings: GrpoSettings) -> list[str]:
    actor = "actor_rollout_ref.actor"
    return [
        "algorithm.adv_estimator=grpo",
        f"algorithm.norm_adv_by_std_in_grpo={settings.advantage_by_std}",
        "algorithm.use_kl_in_reward=False",
        f"actor_rollout_ref.rollout.n={settings.rollouts}",
        f"actor_rollout_ref.rollout.temperature={settings.temperature}",
        "actor_rollout_ref.rollout.top_p=1.0",
        "actor_rollout_ref.rollout.top_k=-1",
        f"actor_rollout_ref.rollout.seed={settings.seed}",
        f"{actor}.ppo_mini_batch_size={settings.mini_batch_prompts}",
        f"{actor}.ppo_epochs=1",
        f"{actor}.clip_ratio_low={settings.clip_low}",
        f"{actor}.clip_ratio_high={settings.clip_high}",
        f"{actor}.clip_ratio_c={settings.clip_negative}",
        f"{actor}.loss_agg_mode={settings.loss_mean}",
        f"{actor}.use_kl_loss={settings.kl_coefficient > 0}",
        f"{actor}.kl_loss_coef={settings.kl_coefficient}",
        f"{actor}.entropy_coeff={settings.entropy_coefficient}",
        f"{actor}.calculate_entropy=True",
        f"{actor}.grad_clip={settings.gradient_norm}",
        f"{actor}.optim.lr={settings.learning_rate}",
        f"{actor}.optim.weight_decay={settings.weight_decay}",
        f"{actor}.optim.lr_scheduler_type=constant",
        f"{actor}.optim.lr_warmup_steps=0",
        f"{actor}.data_loader_seed={settings.seed}",
        f"{actor}.fsdp_config.seed={settings.seed}",
        "reward.custom_reward_function.path=pkg://rlgen_k8s.stages.grpo.reward",
        "reward.custom_reward_function.name=compute_score",
    ]


def _model(settings: GrpoSettings, paths: Paths) -> list[str]:
    fsdp = "actor_rollout_ref.actor.fsdp_config"
    name = {"bf16": "bfloat16", "fp32": "float32"}[settings.precision]
    return [
        f"actor_rollout_ref.model.path={paths.model}",
        "actor_rollout_ref.actor.strategy=fsdp2",
        f"{fsdp}.model_dtype=fp32",
        f"+{fsdp}.mixed_precision={{param_dtype:{settings.precision},reduce_dtype:fp32,buffer_dtype:fp32}}",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        "actor_rollout_ref.actor.checkpoint.load_contents=[model,optimizer,extra]",
        f"actor_rollout_ref.rollout.name={settings.engine}",
        f"actor_rollout_ref.rollout.dtype={name}",
        f"actor_rollout_ref.rollout.tensor_model_parallel_size={settings.tensor_parallel}",
        f"actor_rollout_ref.rollout.max_model_len={settings.prompt_tokens + settings.response_tokens}",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        f"actor_rollout_ref.actor.ppo_max_token_len_per_gpu={settings.tokens_per_pass}",
    ]


def _run(settings: GrpoSettings, paths: Paths, save_steps: list[int], nodes: int) -> list[str]:
    resume = (
        ["trainer.resume_mode=disable"]
        if paths.resume is None
        else ["trainer.resume_mode=resume_path", f"trainer.resume_from_path={paths.resume}"]
    )
    done = 0 if paths.resume is None else int(paths.resume.name.removeprefix("global_step_"))
    return [
        f"data.train_files={paths.prompts}",
        f"data.val_files={paths.prompts}",
        "data.val_max_samples=1",
        f"data.train_batch_size={settings.prompts_per_step}",
        f"data.max_prompt_length={settings.prompt_tokens}",
        f"data.max_response_length={settings.response_tokens}",
        "data.filter_overlong_prompts=False",
        "data.dataloader_num_workers=0",
        f"data.seed={settings.seed}",
        f"trainer.total_epochs={settings.epochs}",
        f"trainer.save_freq={next(step for step in save_steps if step > done)}",
        "trainer.checkpoint_callback_class=rlgen_k8s.stages.grpo.callback.NextSave",
        f"+trainer.save_steps=[{','.join(map(str, save_steps))}]",
        "trainer.test_freq=-1",
        "trainer.val_before_train=False",
        "trainer.logger=[console,file]",
        "trainer.project_name=rlgen",
        "trainer.experiment_name=grpo",
        f"trainer.default_local_dir={paths.checkpoints}",
        f"trainer.nnodes={nodes}",
        f"trainer.n_gpus_per_node={settings.n_gpus // nodes}",
        f"hydra.run.dir={paths.ray}/hydra",
        *resume,
    ]


def _own_ray(settings: GrpoSettings, paths: Paths) -> list[str]:
    """Of a Ray that verl starts for itself."""
    own = ["+ray_kwargs.ray_init.include_dashboard=False", f"+ray_kwargs.ray_init._temp_dir={paths.ray}"]
    if settings.engine == "hf":
        own += [
            f"ray_kwargs.ray_init.num_cpus={LOCAL_CPUS}",
            f"+ray_kwargs.ray_init.num_gpus={settings.n_gpus}",  # logical: what verl counts training processes by
        ]
    return own


def _on_gpus() -> list[str]:
    return [
        "actor_rollout_ref.model.use_remove_padding=True",
        "actor_rollout_ref.model.enable_gradient_checkpointing=True",
    ]


def _on_cpus(paths: Paths) -> list[str]:
    """The plug-in's engines, and as few processes as verl runs with: each costs seconds of imports."""
    return [
        "trainer.device=cpu",
        "actor_rollout_ref.model.use_remove_padding=False",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.actor.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
        "actor_rollout_ref.rollout.free_cache_engine=False",
        "actor_rollout_ref.rollout.agent.num_workers=1",
        "reward.num_workers=1",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        "trainer.v1.sampler.custom_sampler.path=pkg://rlgen_k8s.verl_cpu.replay_buffer",
        "trainer.v1.sampler.custom_sampler.name=PromptReplayBuffer",
        f"ray_kwargs.ray_init.runtime_env.py_executable='{sys.executable} -I -S {WORKER} {paths.ray}.socket'",
    ]
