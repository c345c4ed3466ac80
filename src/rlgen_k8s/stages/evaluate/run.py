"""The stage: one model on all tasks, every sample kept."""

import gc
from functools import partial
from pathlib import Path

import torch

from rlgen_k8s.lm.engines import EngineName
from rlgen_k8s.lm.generate import Sampling
from rlgen_k8s.lm.harness.model import HarnessModel, load_harness_model
from rlgen_k8s.lm.harness.names import is_maths
from rlgen_k8s.lm.harness.samples import Sample, read_samples, write_samples
from rlgen_k8s.lm.harness.score import score
from rlgen_k8s.lm.harness.tasks import Maths, load_tasks
from rlgen_k8s.lm.harness.vllm_model import VllmModel
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.evaluate.blocks import Block, blocks
from rlgen_k8s.stages.evaluate.files import SAMPLES, write
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings


def run(context: Context[EvaluateSettings]) -> None:
    """Score `model` on the tasks in `mirror`: writes `results.json` and `samples.parquet`.

    Blocks that an earlier attempt has scored are taken as they are.
    """
    settings = context.settings
    names = (*settings.multiple_choice, *settings.maths)
    tasks = load_tasks(names, context.inputs["mirror"], context.scratch, asked(settings))
    work = blocks({name: len(tasks[name].eval_docs) for name in names}, settings)
    total, done = sum(block.answers for block in work), 0
    samples: list[Sample] = []
    model: HarnessModel | VllmModel | None = None
    engine: EngineName | None = None
    for number, block in enumerate(work):
        found = restore(context, block)
        if found is None:
            needed = settings.engine if is_maths(block.task) else "hf"
            if model is None or engine != needed:
                model = None  # two need not fit the GPU
                model, engine = load(needed, context.inputs["model"], settings), needed
            model.on_progress = partial(_progress, context, done, block.answers, total)
            found = score(model, {block.task: tasks[block.task]}, docs={block.task: block.docs}, seed=block.seed)
            save(context, block, found)
            if isinstance(model, VllmModel):
                context.metrics({"tokens_per_second": model.tokens_per_second}, number)
        samples += found
        done += block.answers
        context.progress(done, total)
    context.metrics(write(context.out, samples), None)


def restore(context: Context[EvaluateSettings], block: Block) -> list[Sample] | None:
    """The block's samples, where an earlier attempt has scored them."""
    point = context.resume.part(block.name).newest()
    return read_samples(point.path / SAMPLES) if point else None


def save(context: Context[EvaluateSettings], block: Block, samples: list[Sample]) -> None:
    """Keep the block's samples for a later attempt."""
    folder = context.scratch / "block"
    folder.mkdir(exist_ok=True)
    write_samples(folder / SAMPLES, samples)
    context.resume.part(block.name).save(len(samples), folder)


def load(engine: EngineName, folder: Path, settings: EvaluateSettings) -> HarnessModel | VllmModel:
    """The model in `folder` for the harness, once the GPU is free of the one before."""
    gc.collect()
    torch.cuda.empty_cache()
    if engine == "vllm":
        return VllmModel(folder, sequences=settings.sequences_per_generation, seed=settings.seed)
    return load_harness_model(
        folder,
        tokens_per_batch=settings.tokens_per_batch,
        sequences_per_generation=settings.sequences_per_generation,
    )


def asked(settings: EvaluateSettings) -> Maths:
    """How the settings ask maths problems."""
    return Maths(
        repeats={task: settings.repeats(task) for task in settings.maths},
        sampling=Sampling(settings.temperature, settings.top_p, settings.top_k, settings.max_new_tokens),
        instruction=settings.instruction,
    )


def _progress(context: Context[EvaluateSettings], done: int, size: int, total: int, share: float) -> None:
    context.progress(round(done + share * size), total)
