"""The rehearsal of a study: its DAG, templates, GPU requests and methods, with models and data of the tiny study.

What it takes from the tiny study is listed here; every other setting is the study's own.
"""

from typing import Any

from rlgen_k8s.study.explain import settings_table
from rlgen_k8s.study.settings import Study

SUFFIX = "-rehearsal"
"""`full-qwen25-rehearsal` rehearses `full-qwen25`."""

MADE_HERE = ("instruction", "mirror", "base", "teacher")
"""Taken whole: the models, the data, and how that data ask a question."""
SIZES = {
    "problems": ("size",),
    "traces": ("engine", "max_new_tokens", "batch_size"),
    "sft": ("template", "cutoff_len", "precision", "learning_rate"),
    "grpo": (
        "engine",
        "precision",
        "prompts_per_step",
        "prompt_tokens",
        "response_tokens",
        "tokens_per_pass",
        "learning_rate",
        "weight_decay",
        "n_gpus",
        "tensor_parallel",
    ),
    "evaluate": ("engine", "max_new_tokens", "tokens_per_batch", "sequences_per_generation"),
    "corpus": ("conversation_tokens", "text_tokens", "evaluation_tokens", "length"),
    "crosscoder": ("n_features", "learning_rate", "buffer_sequences", "resume_interval"),
    "analyse": ("reference_prompts", "random_sets", "sign_flips", "drift_sequences"),
    "intervene": ("doses", "random_features", "random_directions", "tokens_per_batch"),
}
"""By stage. With the sizes: the chat format of the tiny models, the rates at which models of that size learn in so few
steps, and what stands in for a GPU's arithmetic and vLLM."""
ENOUGH = {"evaluate": {"limit": 300}, "grpo": {"max_problems": 160}}
"""By stage. Fewer samples than the tiny study takes to see an effect: enough for every branch to have some."""
PROCESSES = 2
"""Of SFT, at least: the fewest that ZeRO divides anything among."""


def rehearsal(study: Study, tiny: Study) -> Study:
    """`study` with what is listed above taken from `tiny`. Its pods keep their number, GPUs, patience and
    resume points."""
    values, small = study.model_dump(), tiny.model_dump()
    values |= {name: small[name] for name in MADE_HERE}
    for stage, fields in SIZES.items():
        values[stage] |= {field: small[stage][field] for field in fields} | ENOUGH.get(stage, {})
    # In each pod of a gang at least one.
    processes = max(PROCESSES, study.pods["sft"].nodes)
    values["sft"] |= {"processes": processes, "per_device_batch": study.sft.batch // processes}
    values["grpo"]["n_gpus"] = max(values["grpo"]["n_gpus"], study.pods["grpo"].nodes)
    # As many chunks of problems for the shards of the traces.
    values["traces"]["resume_problems"] = tiny.problems.size * study.traces.resume_problems // study.problems.size
    # As many optimizer steps on a batch of rollouts as the study takes.
    prompts: int = values["grpo"]["prompts_per_step"]
    values["grpo"]["mini_batch_prompts"] = max(
        1, prompts * study.grpo.mini_batch_prompts // study.grpo.prompts_per_step
    )
    values["pods"] = {
        stage: small["pods"][stage] | {name: shape[name] for name in ("gpus", "nodes", "patience", "resume_steps")}
        for stage, shape in values["pods"].items()
    }
    return Study.model_validate(values | {"name": f"{study.name}{SUFFIX}"})


def replaced(study: Study, rehearsed: Study) -> dict[str, Any]:
    """What `study` itself has where its rehearsal differs, by the setting's path."""
    other = {row.path: row.value for row in settings_table(rehearsed)}
    return {row.path: row.value for row in settings_table(study) if other.get(row.path, row.value) != row.value}
