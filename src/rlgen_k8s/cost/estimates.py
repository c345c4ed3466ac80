"""What each task of a study will take, where the models that it reads have a known shape."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rlgen_k8s.cost import memory, rates
from rlgen_k8s.cost.architectures import ARCHITECTURES, Architecture
from rlgen_k8s.cost.hardware import GPUS
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
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.stream.settings import StreamSettings
from rlgen_k8s.study.cost import CostSettings
from rlgen_k8s.study.settings import Study

MIRROR_BYTES = 5e9
"""All sets as parquet: 1.1 GB of OpenThoughts (its card), 2 to 4 GB of RedPajama's 1 B tokens, the others are small."""
CHOICE_TOKENS = 9124 * 4.2 * 100
"""Tokens of all options of the seven multiple-choice tasks: items (their cards), options, tokens with the question."""
MATHS: dict[TaskName, int] = {"math500": 500, "aime24": 30, "aime25": 30}
PROBLEM_BYTES = 1000
TRACE_BYTES_PER_TOKEN = 4
SAMPLES_BYTES = 1e8
"""Of an evaluation, prompts and responses."""


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

    @property
    def kept(self) -> float:
        """Problems with a right trace."""
        tries, share = self.study.traces.max_tries, self.cost.acceptance
        return self.study.problems.size * (1 - (1 - share) ** tries)

    @property
    def corpus_tokens(self) -> int:
        """Training tokens of the corpus."""
        return self.study.corpus.conversation_tokens + self.study.corpus.text_tokens


def estimates(study: Study, nodes: Sequence[Node]) -> dict[str, Estimate]:
    """An estimate by task. Empty unless base and teacher are models whose shapes `architectures` holds."""
    base, teacher = (ARCHITECTURES.get(model.repository or "") for model in (study.base, study.teacher))
    if base is None or teacher is None:
        return {}
    found: dict[str, Estimate] = {}
    for node in nodes:
        if node.stage not in _BY_STAGE:
            continue
        model = teacher if node.name.startswith("teacher") or node.stage == "traces" else base
        asked = Asked(study, node, model, study.cost, _element(node))
        made = _BY_STAGE[node.stage](asked)
        fetched = sum(
            found[item.node.name].store / (found[item.node.name].parts if item.path else 1)
            for item in node.inputs.values()
            if item.node.name in found
        )
        moved = (fetched + made.store) / study.cost.store_rate / 3600
        found[node.name] = Estimate(
            hours=study.cost.startup + moved + made.hours,
            store=made.store,
            scratch=fetched + made.scratch,
            memory=made.memory,
            parts=made.parts,
        )
    return found


def _element(node: Node) -> int:
    """Bytes of a weight of the models that a task reads, the most of any."""
    return max(map(_element_of, node.inputs.values()), default=2)


def _element_of(item: Input) -> int:
    """Bytes of a weight: checkpoints as their training's precision says, all other models are bf16."""
    settings = item.node.settings
    trained_in = settings.precision if isinstance(settings, SftSettings | GrpoSettings) else "bf16"
    return 4 if trained_in in ("fp32", "float32") else 2


def _mirror(asked: Asked) -> Estimate:
    return Estimate(MIRROR_BYTES / asked.cost.download_rate / 3600, MIRROR_BYTES, 3 * MIRROR_BYTES)


def _model(asked: Asked) -> Estimate:
    size = 2.0 * asked.model.parameters
    return Estimate(size / asked.cost.download_rate / 3600, size, size)


def _problems(asked: Asked) -> Estimate:
    return Estimate(0.0, asked.study.problems.size * PROBLEM_BYTES, MIRROR_BYTES)


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
        seconds = rates.hf_generation(model, asked.element, responses, at_once, longest, cost)
        return seconds, memory.generation(model, asked.element, at_once, tokens)
    mean = cost.prompt_tokens + min(cost.response_tokens, longest) / 2
    fit = memory.in_vllm_at_once(model, mean, GPUS[cost.gpu].memory)
    seconds = rates.vllm_generation(model, responses, longest, cost, min(at_once, max(1.0, fit)))
    return seconds, memory.vllm(model, tokens)


def _traces_bytes(asked: Asked) -> float:
    return asked.kept * asked.cost.response_tokens * TRACE_BYTES_PER_TOKEN


def _merge(asked: Asked) -> Estimate:
    settings = asked.node.settings
    assert isinstance(settings, MergeSettings)
    size = _traces_bytes(asked) if settings.of == "traces" else SAMPLES_BYTES
    return Estimate(0.0, size, size)


def _sft(asked: Asked) -> Estimate:
    settings, model = asked.study.sft, asked.model
    length = min(asked.cost.prompt_tokens + asked.cost.response_tokens, settings.cutoff_len)
    passes = 4 if settings.gradient_checkpointing else 3  # backward takes two forwards, and one to recompute
    element = 2 if settings.precision == "bfloat16" else 4
    seconds = passes * rates.forwards(model, asked.kept * settings.epochs * length, length / 2, element, asked.cost)
    size = CHECKPOINTS * element * model.parameters
    whole = 14 * model.parameters  # a checkpoint with its optimizer; the one before is still there
    return Estimate(
        seconds / settings.processes / 3600, size, size + 2 * whole, memory.sft(model, settings), CHECKPOINTS
    )


def _grpo(asked: Asked) -> Estimate:
    settings, model, cost = asked.study.grpo, asked.model, asked.cost
    workers = settings.n_gpus
    problems = min(asked.study.problems.size, settings.max_problems or asked.study.problems.size)
    steps = checkpoint_steps(problems, settings.prompts_per_step, settings.epochs)[-1]
    responses = settings.prompts_per_step * settings.rollouts
    length = min(cost.response_tokens, settings.response_tokens)
    tokens = responses * (cost.prompt_tokens + length)
    element = 2 if settings.precision == "bf16" else 4
    rollout = rates.vllm_generation(
        model, responses / workers * settings.tensor_parallel, settings.response_tokens, cost
    )
    # Old log probabilities, forward, its recomputation, and a backward of two.
    training = 5 * rates.forwards(model, tokens, length / 2, element, cost) / workers
    size = CHECKPOINTS * element * model.parameters
    whole = 16 * model.parameters  # weights, Adam's two means, and the weights in Hugging Face's format
    return Estimate(
        steps * (rollout + training) / 3600,
        size,
        size + 2 * whole,
        memory.grpo(model, settings, GPUS[cost.gpu].memory),
        CHECKPOINTS,
    )


def _evaluate(asked: Asked) -> Estimate:
    """Of one shard. Each block of maths problems ends with its longest response."""
    settings, model, element = asked.node.settings, asked.model, asked.element
    assert isinstance(settings, EvaluateSettings)
    batch, longest = settings.sequences_per_generation, settings.max_new_tokens
    work = blocks({task: MATHS[task] for task in settings.maths}, settings)
    made = [_maths(asked, settings.engine, block.answers, batch, longest) for block in work]
    seconds = sum(took for took, _ in made)
    seconds += rates.forwards(model, CHOICE_TOKENS, 100, element, asked.cost) / settings.shards
    parts = [memory.forwards(model, element, settings.tokens_per_batch, output=True), *(used for _, used in made)]
    return Estimate(seconds / 3600, SAMPLES_BYTES, SAMPLES_BYTES, max(parts, key=lambda used: sum(used.values())))


def _corpus(asked: Asked) -> Estimate:
    size = 4.0 * (asked.corpus_tokens + asked.study.corpus.evaluation_tokens)
    return Estimate(asked.corpus_tokens / asked.cost.tokenizing_rate / 3600, size, 2 * size)


def _harvest(asked: Asked) -> Estimate:
    settings, model, length = asked.study.harvest, asked.model, asked.study.corpus.length
    models = sum(item.node.stage != "corpus" for item in asked.node.inputs.values())
    tokens = asked.corpus_tokens + asked.study.corpus.evaluation_tokens
    seconds = rates.forwards(model, models * tokens, length / 2, asked.element, asked.cost, model.layers // 2)
    stored = models * tokens * model.width * (2 if settings.dtype == "bfloat16" else 4)
    used = memory.forwards(model, asked.element, settings.batch * length, output=False)
    return Estimate(max(seconds, stored / asked.cost.disk_rate) / 3600, stored, stored, used, models)


def _crosscoder(asked: Asked) -> Estimate:
    settings, model = asked.study.crosscoder, asked.model
    models = sum(name.startswith("model-") for name in asked.node.inputs)
    tokens = asked.corpus_tokens * settings.epochs
    seconds = rates.crosscoder_steps(model, settings, models, tokens, asked.cost)
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
    devices = asked.node.shape.nodes * max(1, asked.node.shape.gpus)
    # Without a limit: what does not fit is then refused by what fills the memory.
    placed = place(loads, [math.inf] * devices, per_model=0)
    elements = [_element_of(item) for name, item in asked.node.inputs.items() if name.startswith("model-")]
    tokens = asked.corpus_tokens * settings.epochs
    half = model.layers // 2
    seconds = sum(rates.forwards(model, tokens, length / 2, size, asked.cost, half) for size in elements) / devices
    steps = {
        name: rates.crosscoder_steps(model, one, len(reads), tokens, asked.cost) for name, (one, reads) in each.items()
    }
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
    seconds = runs * rates.forwards(asked.model, CHOICE_TOKENS, 100, asked.element, asked.cost)
    used = memory.forwards(asked.model, asked.element, settings.tokens_per_batch, output=True)
    return Estimate(seconds / 3600, 1e8, 1e8, used)


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
}
"""`analyse` and `report` take minutes: the study's own figures stand."""
