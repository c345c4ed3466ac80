from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rlgen_k8s.stages.grpo.overrides import Paths, overrides
from rlgen_k8s.stages.grpo.settings import GrpoSettings

PATHS = Paths(model=Path("/m"), prompts=Path("/p.parquet"), checkpoints=Path("/c"), ray=Path("/r"))

STUDY = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.use_kl_in_reward": False,
    "algorithm.norm_adv_by_std_in_grpo": True,
    "data.train_batch_size": 128,
    "data.max_response_length": 16384,
    "actor_rollout_ref.rollout.n": 8,
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.response_length": 16384,
    "actor_rollout_ref.rollout.max_model_len": 18432,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 64,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.actor.clip_ratio_low": 0.22,
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,
    "actor_rollout_ref.actor.clip_ratio_c": 3.0,
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.kl_loss_coef": 0.0,
    "actor_rollout_ref.actor.entropy_coeff": 0.0,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.fsdp_config.model_dtype": "fp32",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype": "bf16",
    "actor_rollout_ref.actor.checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
    "trainer.total_epochs": 1,
    "trainer.n_gpus_per_node": 8,
    "trainer.save_freq": 74,
    "trainer.resume_mode": "disable",
}


def _compose(arguments: list[str]) -> Any:
    """verl's configuration as its `main_ppo` composes it from these arguments."""
    import verl.trainer
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    config_dir = Path(verl.trainer.__file__).parent / "config"
    with initialize_config_dir(str(config_dir), version_base=None):
        # `hydra.run.dir` steers hydra's own main function, which `compose` does not have.
        config = compose("ppo_trainer", [argument for argument in arguments if not argument.startswith("hydra.")])
    OmegaConf.resolve(config)
    return config


def test_every_number_of_the_study_reaches_verl() -> None:
    from omegaconf import OmegaConf

    config = _compose(overrides(GrpoSettings(), PATHS, [74, 147, 221, 294, 367]))
    assert {key: OmegaConf.select(config, key) for key in STUDY} == STUDY


def test_a_tiny_run_on_cpus_is_composed_too() -> None:
    settings = GrpoSettings(
        engine="hf", precision="fp32", n_gpus=1, prompts_per_step=16, mini_batch_prompts=16, kl_coefficient=0.1, seed=7
    )
    resume = Path("/points/global_step_8")
    config = _compose(overrides(settings, Paths(Path("/m"), Path("/p"), Path("/c"), Path("/r"), resume), [4, 8, 12]))
    assert config.trainer.device == "cpu"
    assert config.actor_rollout_ref.rollout.name == "hf"
    assert config.actor_rollout_ref.rollout.dtype == "float32"
    assert config.actor_rollout_ref.actor.use_kl_loss is True
    assert config.data.seed == config.actor_rollout_ref.rollout.seed == 7
    assert config.trainer.resume_from_path == str(resume)
    assert (config.trainer.save_freq, list(config.trainer.save_steps)) == (12, [4, 8, 12])
    assert config.ray_kwargs.ray_init.num_gpus == 1


def test_pods_that_share_the_work_have_equal_parts_of_it_in_a_ray_that_runs_already() -> None:
    config = _compose(overrides(GrpoSettings(n_gpus=16), PATHS, [74, 147, 221, 294, 367], nodes=2))
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node) == (2, 8)
    assert config.ray_kwargs.ray_init.num_cpus is None  # Ray refuses counts where it is joined
    assert "num_gpus" not in config.ray_kwargs.ray_init


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("mini_batch_prompts", {"mini_batch_prompts": 48}),
        ("n_gpus", {"n_gpus": 3}),
        ("tensor_parallel", {"tensor_parallel": 3}),
        ("engine hf", {"engine": "hf", "tensor_parallel": 2}),
        ("tokens_per_pass", {"tokens_per_pass": 100}),
        ("rollouts", {"rollouts": 1}),
        ("learning_rate", {"learning_rate": 0}),
        ("clip", {"clip": 0.2}),
    ],
)
def test_contradictory_or_unknown_settings_are_refused_by_name(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=field):
        GrpoSettings(**values)


def test_every_setting_says_what_it_is_and_where_it_comes_from() -> None:
    for name, field in GrpoSettings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        assert field.description, name
        assert extra["source"], name
