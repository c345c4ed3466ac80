"""The study at tiny scale: the same DAG as the full studies, on two cores without a GPU.

Data, base model and teacher are made here; everything after them is what the full studies run. What is not named has
the full studies' value; `rlgen settings tiny` lists all.
"""

from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.intervene.settings import InterveneSettings
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.traces.settings import TracesSettings
from rlgen_k8s.study.cost import CostSettings
from rlgen_k8s.study.settings import PodShape, Study

PROMPT_TOKENS, RESPONSE_TOKENS = 64, 96
CORES = 0.9
"""A little less than one, so that two pods fit on two cores beside what a cluster needs itself."""

STUDY = Study(
    name="tiny",
    instruction="",
    mirror=MirrorSettings(),
    base=ModelSettings(),
    teacher=ModelSettings(steps=1500, text=("rlgen/tiny-teaching",)),
    problems=ProblemsSettings(size=2560),
    traces=TracesSettings(
        engine="hf",
        temperature=1.0,
        max_tries=2,
        top_p=1.0,
        top_k=0,
        max_new_tokens=RESPONSE_TOKENS,
        batch_size=256,
    ),
    sft=SftSettings(
        per_device_batch=128,
        gradient_checkpointing=False,
        processes=1,
        deepspeed_stage=None,
        learning_rate=3e-4,
        cutoff_len=PROMPT_TOKENS + RESPONSE_TOKENS,
        template="qwen3_nothink",
        precision="float32",
    ),
    grpo=GrpoSettings(
        engine="hf",
        precision="fp32",
        max_problems=320,
        prompts_per_step=16,
        mini_batch_prompts=16,
        prompt_tokens=PROMPT_TOKENS,
        response_tokens=RESPONSE_TOKENS,
        tokens_per_pass=128 * (PROMPT_TOKENS + RESPONSE_TOKENS),
        learning_rate=5e-4,
        weight_decay=0.0,
        n_gpus=1,
    ),
    evaluate=EvaluateSettings(
        engine="hf", max_new_tokens=RESPONSE_TOKENS, tokens_per_batch=4096, sequences_per_generation=256
    ),
    corpus=CorpusSettings(conversation_tokens=200_000, text_tokens=200_000, evaluation_tokens=32_768, length=128),
    crosscoder=CrosscoderSettings(
        n_features=512, sparsity_weight=0.5, learning_rate=1e-3, epochs=2, resume_interval=200
    ),
    analyse=AnalyseSettings(random_sets=3, sign_flips=2000, reference_prompts=1000, drift_sequences=64),
    intervene=InterveneSettings(doses=(0.5,), random_features=3, random_directions=3, tokens_per_batch=4096),
    # As its stages measured it; a task is a process here, and starts at once.
    cost=CostSettings(prompt_tokens=36, response_tokens=44, acceptance=0.85, startup=0),
    # Minutes as `make bench` printed them on two cores.
    pods={
        "mirror": PodShape(cpu=CORES, minutes=0.1, memory=1),
        "model": PodShape(cpu=CORES, minutes=2.3),
        "problems": PodShape(cpu=CORES, minutes=0.1, memory=1),
        "traces": PodShape(cpu=CORES, minutes=0.5),
        "merge": PodShape(cpu=CORES, minutes=0.1, memory=1),
        "sft": PodShape(cpu=CORES, minutes=0.7, memory=5),
        "grpo": PodShape(cpu=CORES, minutes=2.4, memory=8),
        "evaluate": PodShape(cpu=CORES, minutes=0.5, memory=3),
        "corpus": PodShape(cpu=CORES, minutes=0.2, memory=1),
        "harvest": PodShape(cpu=CORES, minutes=0.3),
        "crosscoder": PodShape(cpu=CORES, minutes=0.25),
        "stream": PodShape(cpu=CORES, minutes=4),
        "analyse": PodShape(cpu=CORES, minutes=0.2),
        "intervene": PodShape(cpu=CORES, minutes=0.6, memory=3),
        "report": PodShape(cpu=CORES, minutes=0.2),
    },
)
