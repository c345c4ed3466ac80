"""What each task of a study will take, where the models that it reads have a known shape."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rlgen_k8s.cost import memory, rates
from rlgen_k8s.cost.architectures import Architecture, architecture
from rlgen_k8s.cost.data import choice_tokens, mirror_bytes, pretraining_tokens, samples_bytes, world_rows
from rlgen_k8s.cost.hardware import GPUS, Device, core, gpu
from rlgen_k8s.cost.memory import Parts
from rlgen_k8s.cost.placement import place
from rlgen_k8s.dag.nodes import Input, Node
from rlgen_k8s.lm.harness.names import TaskName
from rlgen_k8s.stages.contract import CHECKPOINTS
from rlgen_k8s.stages.evaluate.blocks import blocks
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.merge.settings import MergeSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.points import save_steps
from rlgen_k8s.stages.sft.plan import save_points, total_steps
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.study.cost import CostSettings
from rlgen_k8s.study.settings import Study

MATHS: dict[TaskName, int] = {"math500": 500, "aime24": 30, "aime25": 30}
PROBLEM_BYTES = 1000
TRACE_BYTES_PER_TOKEN = 4
ANALYSIS_BYTES = 700
"""For each feature; of the tiny study."""
CHOICE_LENGTH = 100
"""Tokens before the one that is scored, in the middle of a multiple-choice task."""
STARTS = {"mirror": 0.4, "problems": 0.4, "merge": 0.4, "sft": 4.0, "grpo": 6.5, "analyse": 0.0}
"""What a stage starts with in units of `cost.core.start`, where not 1: without PyTorch; LLaMA-Factory; verl and Ray;
none beside the study's own figure."""


@dataclass(frozen=True)
class Estimate:
    """What one task will take."""

    hours: float
    store: float
    """Bytes of its result."""
    scratch: float
    """Bytes of inputs, result and work on the node's disk."""
    memory: Parts = field(default_factory=dict)
    """Bytes of one GPU, by what fills them."""
    parts: int = 1
    """Folders of the result, of which another task reads one."""


@dataclass(frozen=True)
class Asked:
    """What an estimate is made of."""

    study: Study
    node: Node
    model: Architecture
    """Of the base model; of the teacher for what makes or reads only that."""
    cost: CostSettings
    element: int
    """Bytes of a weight of the model that the task reads."""
    device: Device
    """One of those that run it: a GPU, or a core where models are made here."""

    @property
    def kept(self) -> float:
        """Problems with a right trace."""
        tries, share = self.study.traces.max_tries, self.cost.acceptance
        return self.study.problems.size * (1 - (1 - share) ** tries)

    def devices(self, processes: int) -> int:
        """How many devices so many processes have: a GPU each, or the cores of the pods."""
        shape = self.node.shape
        return min(processes, shape.nodes * max(1, int(shape.cpu))) if on_cores(self.study) else processes

    @property
    def corpus_tokens(self) -> int:
        """Training tokens of the corpus."""
        return self.study.corpus.conversation_tokens + self.study.corpus.text_tokens


def estimates(study: Study, nodes: Sequence[Node]) -> dict[str, Estimate]:
    """An estimate by task, of `nodes` in the DAG's order and of what they read. Empty unless the shapes of base and
    teacher are known. Raises `UserError` for settings of which no such task can be made."""
    base, teacher = architecture(study.base), architecture(study.teacher)
    if base is None or teacher is None:
        return {}
    small = on_cores(study)
    device = core(study.cost) if small else gpu(study.cost)
    found: dict[str, Estimate] = {}
    wanted = {each.name: each for node in nodes for each in (*node.dependencies, node)}
    for node in wanted.values():
        if node.stage not in _BY_STAGE:
            continue
        model = teacher if node.name.startswith("teacher") or node.stage == "traces" else base
        asked = Asked(study, node, model, study.cost, _element(node), device)
        made = _BY_STAGE[node.stage](asked)
        fetched = sum(
            found[item.node.name].store / (found[item.node.name].parts if item.path else 1)
            for item in node.inputs.values()
            if item.node.name in found
        )
        moved = (fetched + made.store) / study.cost.store_rate / 3600
        start = study.cost.core.start * STARTS.get(node.stage, 1.0) / 3600 if small else 0.0
        found[node.name] = Estimate(
            hours=study.cost.startup + start + moved + made.hours,
            store=made.store,
            scratch=fetched + made.scratch,
            memory=made.memory if node.shape.gpus else {},
            parts=made.parts,
        )
    return found


def on_cores(study: Study) -> bool:
    """Whether models are so small that they are made here: Python bounds them, on a core as beside a GPU."""
    return study.base.source == study.teacher.source == "pretrain"


def _element(node: Node) -> int:
    """Bytes of a weight of the models that a task reads, the most of any."""
    return max(map(_element_of, node.inputs.values()), default=2)


def _element_of(item: Input) -> int:
    """Bytes of a weight: checkpoints as their training's precision says, models made here are fp32, all others bf16."""
    settings = item.node.settings
    if isinstance(settings, ModelSettings):
        return 4 if settings.source == "pretrain" else 2
    trained_in = settings.precision if isinstance(settings, SftSettings | GrpoSettings) else "bf16"
    return 4 if trained_in in ("fp32", "float32") else 2


def _mirror(asked: Asked) -> Estimate:
    size, settings = mirror_bytes(asked.study.mirror), asked.study.mirror
    made = world_rows(settings) / asked.cost.core.world_rate
    return Estimate((made if settings.kind == "world" else size / asked.cost.download_rate) / 3600, size, 3 * size)


def _model(asked: Asked) -> Estimate:
    """Pre-training is tokenizing all texts; then each step is three forwards, and the optimizer's Python a fourth."""
    settings = asked.node.settings
    assert isinstance(settings, ModelSettings)
    if settings.source != "pretrain":
        size = 2.0 * asked.model.parameters
        return Estimate(size / asked.cost.download_rate / 3600, size, size)
    model, tokens = asked.model, settings.batch * settings.length
    step = 3 * rates.forwards(model, tokens, settings.length / 2, 4, asked.device, tokens)
    step += rates.python(model, 1, asked.device)
    seconds = pretraining_tokens(settings, asked.study.mirror) / asked.cost.tokenizing_rate + settings.steps * step
    size = 4.0 * model.parameters
    return Estimate(seconds / 3600, size, 8 * size)  # resume points of weights and optimizer


def _problems(asked: Asked) -> Estimate:
    return Estimate(0.0, asked.study.problems.size * PROBLEM_BYTES, mirror_bytes(asked.study.mirror))


def _traces(asked: Asked) -> Estimate:
    """Of one shard, the one with the most chunks. Each chunk of each round ends with its longest response."""
    settings, cost = asked.study.traces, asked.cost
    chunks = math.ceil(asked.study.problems.size / settings.resume_problems / settings.shards)
    pending = [settings.resume_problems * (1 - cost.acceptance) ** tries for tries in range(settings.max_tries)]
    made = [_maths(asked, settings.engine, n, settings.batch_size, settings.max_new_tokens) for n in pending]
    size = _traces_bytes(asked) / settings.shards
    return Estimate(chunks * sum(seconds for seconds, _ in made) / 3600, size, 2 * size, made[0][1])


def _maths(asked: Asked, engine: str, responses: float, at_once: int, longest: int) -> tuple[float, Parts]:
    """Seconds for `responses` of at most `longest` tokens, and the memory that they take."""
    model, cost, tokens = asked.model, asked.cost, int(asked.cost.prompt_tokens) + longest
    if engine == "hf":
        seconds = rates.hf_generation(model, asked.element, responses, at_once, longest, cost, asked.device)
        return seconds, memory.generation(model, asked.element, at_once, tokens)
    mean = cost.prompt_tokens + min(cost.response_tokens, longest) / 2
    fit = memory.in_vllm_at_once(model, mean, GPUS[cost.gpu].memory)
    seconds = rates.vllm_generation(model, responses, longest, cost, asked.device, min(at_once, max(1.0, fit)))
    return seconds, memory.vllm(model, tokens)


def _traces_bytes(asked: Asked) -> float:
    return asked.kept * min(asked.cost.response_tokens, asked.study.traces.max_new_tokens) * TRACE_BYTES_PER_TOKEN


def _merge(asked: Asked) -> Estimate:
    settings = asked.node.settings
    assert isinstance(settings, MergeSettings)
    size = _traces_bytes(asked) if settings.of == "traces" else samples_bytes(asked.study)
    return Estimate(0.0, size, size)


def _sft(asked: Asked) -> Estimate:
    """Traces that share a pass are padded to the longest of them, taken to be at the limit."""
    settings, model = asked.study.sft, asked.model
    length = min(asked.cost.prompt_tokens + asked.cost.response_tokens, settings.cutoff_len)
    if settings.per_device_batch > 1:
        length = settings.cutoff_len
    passes = 4 if settings.gradient_checkpointing else 3  # backward takes two forwards, and one to recompute
    element = 2 if settings.precision == "bfloat16" else 4
    tokens, per_pass = asked.kept * settings.epochs * length, settings.per_device_batch * length
    seconds = passes * rates.forwards(model, tokens, length / 2, element, asked.device, per_pass)
    seconds /= asked.devices(settings.processes)
    points = save_points(max(CHECKPOINTS, total_steps(round(asked.kept), settings.batch, settings.epochs)))
    whole = 14 * model.parameters  # a checkpoint with its optimizer
    used = memory.sft(model, settings)
    return _training(asked, seconds, points, whole, CHECKPOINTS * element * model.parameters, used)


def _training(asked: Asked, seconds: float, points: list[int], whole: float, size: float, used: Parts) -> Estimate:
    """Of `seconds` and, after the steps `points` and the node's `resume_steps`, saves of `whole` bytes each.

    On the disk are the point that it went on from, with the checkpoints so far, one on its way to the store, and the
    next, which is being written.
    """
    saves = len(save_steps(points, asked.node.shape.resume_steps)) * whole / asked.cost.disk_rate
    return Estimate((seconds + saves) / 3600, size, 2 * size + 3 * whole, used, CHECKPOINTS)


def _grpo(asked: Asked) -> Estimate:
    """With engine hf passes are padded to the limits, and nothing is computed twice."""
    settings, model, cost = asked.study.grpo, asked.model, asked.cost
    workers = asked.devices(settings.n_gpus)
    problems = min(asked.study.problems.size, settings.max_problems or asked.study.problems.size)
    points = checkpoint_steps(problems, settings.prompts_per_step, settings.epochs)
    responses = settings.prompts_per_step * settings.rollouts
    length = min(cost.response_tokens, settings.response_tokens)
    tokens, passes = responses * (cost.prompt_tokens + length), 5
    element = 2 if settings.precision == "bf16" else 4
    each = responses / workers * settings.tensor_parallel
    if settings.engine == "hf":
        length, passes = settings.response_tokens, 4
        tokens = responses * (settings.prompt_tokens + length)
        at_once = max(1, round(each))
        rollout = rates.hf_generation(model, element, each, at_once, settings.response_tokens, cost, asked.device)
    else:
        rollout = rates.vllm_generation(model, each, settings.response_tokens, cost, asked.device)
    # Old log probabilities, forward, its recomputation, and a backward of two.
    training = (
        passes * rates.forwards(model, tokens, length / 2, element, asked.device, settings.tokens_per_pass) / workers
    )
    size = CHECKPOINTS * element * model.parameters
    whole = 16 * model.parameters  # weights, Adam's two means, and the weights in Hugging Face's format
    own = cost.core.verl_step if on_cores(asked.study) else 0.0
    used = memory.grpo(model, settings, GPUS[cost.gpu].memory)
    return _training(asked, points[-1] * (rollout + training + own), points, whole, size, used)


def _evaluate(asked: Asked) -> Estimate:
    """Of one shard. Each block of maths problems ends with its longest response."""
    settings, model, element = asked.node.settings, asked.model, asked.element
    assert isinstance(settings, EvaluateSettings)
    batch, longest = settings.sequences_per_generation, settings.max_new_tokens
    work = blocks({task: MATHS[task] for task in settings.maths}, settings)
    made = [_maths(asked, settings.engine, block.answers, batch, longest) for block in work]
    seconds = sum(took for took, _ in made)
    tokens = choice_tokens(asked.study.mirror, settings.multiple_choice, settings.limit)
    seconds += _choices(asked, tokens / settings.shards, settings.tokens_per_batch)
    stored = samples_bytes(asked.study)
    parts = [memory.forwards(model, element, settings.tokens_per_batch, output=True), *(used for _, used in made)]
    return Estimate(seconds / 3600, stored, stored, max(parts, key=lambda used: sum(used.values())))


def _choices(asked: Asked, tokens: float, per_pass: float) -> float:
    """Seconds for `tokens` of multiple-choice options."""
    return rates.forwards(asked.model, tokens, CHOICE_LENGTH, asked.element, asked.device, per_pass)


def _corpus(asked: Asked) -> Estimate:
    size = 4.0 * (asked.corpus_tokens + asked.study.corpus.evaluation_tokens)
    return Estimate(asked.corpus_tokens / asked.cost.tokenizing_rate / 3600, size, 2 * size)


def _harvest(asked: Asked) -> Estimate:
    settings, model, length = asked.study.harvest, asked.model, asked.study.corpus.length
    models = sum(item.node.stage != "corpus" for item in asked.node.inputs.values())
    tokens = asked.corpus_tokens + asked.study.corpus.evaluation_tokens
    seconds = rates.forwards(
        model, models * tokens, length / 2, asked.element, asked.device, settings.batch * length, model.layers // 2
    )
    stored = models * tokens * model.width * (2 if settings.dtype == "bfloat16" else 4)
    used = memory.forwards(model, asked.element, settings.batch * length, output=False)
    return Estimate(max(seconds, stored / asked.cost.disk_rate) / 3600, stored, stored, used, models)


def _crosscoder(asked: Asked) -> Estimate:
    settings, model = asked.study.crosscoder, asked.model
    models = sum(name.startswith("model-") for name in asked.node.inputs)
    tokens = asked.corpus_tokens * settings.epochs
    seconds = rates.crosscoder_steps(model, settings, models, tokens, asked.device)
    read = tokens * models * model.width * 2 / asked.cost.disk_rate
    weights = memory.crosscoder_weights(model.width, settings, models)
    used = memory.crosscoder(model, settings, models, asked.element, asked.study.corpus.length)
    return Estimate(max(seconds, read) / 3600, weights, 5 * weights, used)


def _stream(asked: Asked) -> Estimate:
    """As a harvest for each epoch and all crosscoders in one, without their bytes; each GPU runs its share of the
    forwards and trains crosscoders of its own."""
    settings, model, length = asked.study.crosscoder, asked.model, asked.study.corpus.length
    asking = asked.node.settings
    assert isinstance(asking, StreamSettings)
    each = {name: (asking.of(name), one.reads) for name, one in asking.crosscoders.items()}
    loads = {name: memory.crosscoder_load(model.width, *one) for name, one in each.items()}
    shape = asked.node.shape
    devices = asked.devices(shape.nodes * (shape.gpus or shape.processes))
    # Without a limit: what does not fit is then refused by what fills the memory.
    placed = place(loads, [math.inf] * devices, per_model=0)
    elements = [_element_of(item) for name, item in asked.node.inputs.items() if name.startswith("model-")]
    tokens = asked.corpus_tokens * settings.epochs
    half = model.layers // 2
    per_pass, on = asked.study.harvest.batch * length, asked.device
    seconds = sum(rates.forwards(model, tokens, length / 2, size, on, per_pass, half) for size in elements) / devices
    steps = {name: rates.crosscoder_steps(model, one, len(reads), tokens, on) for name, (one, reads) in each.items()}
    seconds += max(sum(steps[name] for name in names) for names in placed)
    weights = sum(memory.crosscoder_weights(model.width, one, len(reads)) for one, reads in each.values())
    shard = 2 * asked.study.corpus.evaluation_tokens * len(elements) * model.width
    filled = [
        memory.stream(model, settings, [each[name] for name in names], max(elements), length, asked.study.harvest.batch)
        for names in placed
    ]
    used = max(filled, key=lambda parts: sum(parts.values()))
    return Estimate(seconds / 3600, weights, 5 * weights + shard, used, len(each))


def _conditions(asked: Asked) -> Estimate:
    """Multiple-choice tasks over and over: as they are, changed, at each dose, and with each control."""
    settings = asked.study.intervene
    runs = 2 + len(settings.doses) + settings.random_features + settings.random_directions
    tokens = choice_tokens(asked.study.mirror, (*settings.tasks, *settings.unseen_tasks), asked.study.evaluate.limit)
    seconds = runs * _choices(asked, tokens, settings.tokens_per_batch)
    used = memory.forwards(asked.model, asked.element, settings.tokens_per_batch, output=True)
    size = samples_bytes(asked.study)
    return Estimate(seconds / 3600, size, size, used)


def _analyse(asked: Asked) -> Estimate:
    """Its time is the study's own figure, since most of it is spent in what has no formula here: statistics."""
    settings = asked.study.analyse
    used = memory.analyse(asked.model, asked.study.crosscoder, settings, asked.element, asked.study.corpus.length)
    size = ANALYSIS_BYTES * asked.study.crosscoder.n_features
    return Estimate(asked.node.shape.minutes / 60, size, size, used)


_BY_STAGE: Mapping[str, Callable[[Asked], Estimate]] = {
    "mirror": _mirror,
    "model": _model,
    "problems": _problems,
    "traces": _traces,
    "merge": _merge,
    "sft": _sft,
    "grpo": _grpo,
    "evaluate": _evaluate,
    "corpus": _corpus,
    "harvest": _harvest,
    "crosscoder": _crosscoder,
    "stream": _stream,
    "intervene": _conditions,
    "analyse": _analyse,
}
"""`report` takes minutes: the study's own figure stands."""
