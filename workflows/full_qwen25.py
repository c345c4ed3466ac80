"""The study of the paper on Qwen2.5-7B, on nodes of eight GPUs.

Numbers stand beside their source: a section of the paper, or docs/study.md where the paper is silent. What is not named
has the stages' own value; `rlgen settings full-qwen25` lists all, `rlgen plan full-qwen25` says what it costs.
"""

from rlgen_k8s.stages.analyse.settings import AnalyseSettings
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.evaluate.settings import EvaluateSettings
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.intervene.settings import InterveneSettings
from rlgen_k8s.stages.mirror.settings import MirrorSettings
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.stages.report.settings import ReportSettings
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.stages.traces.settings import TracesSettings
from rlgen_k8s.study.full import DATASETS, PODS, QWEN3_32B, QWEN25_7B
from rlgen_k8s.study.settings import Study

STUDY = Study(
    name="full-qwen25",
    mirror=MirrorSettings(kind="hub", revisions=DATASETS),
    base=QWEN25_7B,  # paper 4
    teacher=QWEN3_32B,  # paper A.2
    problems=ProblemsSettings(size=47_000),  # paper A.2, of MATH and DeepScaleR
    traces=TracesSettings(
        batch_size=128,  # ours: more than fit beside 66 GB of weights on one H200; vLLM takes what fits
        resume_problems=2048,  # ours: each chunk waits for its longest response
        shards=8,  # ours: one GPU each
    ),
    sft=SftSettings(
        batch=128,  # paper A.3
        epochs=1,  # paper A.3
        learning_rate=5e-5,  # docs/study.md
        template="qwen3_nothink",  # ours: plain ChatML, thoughts as text
    ),
    grpo=GrpoSettings(
        prompts_per_step=128,  # paper A.3
        rollouts=8,  # paper A.3
        response_tokens=16_384,  # paper A.3, "up to 16k"
        mini_batch_prompts=64,  # paper A.3
        clip_low=0.22,  # paper A.3
        clip_high=0.28,  # paper A.3
        kl_coefficient=0.0,  # paper A.3
        entropy_coefficient=0.0,  # paper A.3
        learning_rate=1e-6,  # docs/study.md
        epochs=1,  # paper A.3
    ),
    evaluate=EvaluateSettings(
        repeats_math500=3,  # paper A.4
        repeats_aime=10,  # paper A.4
        sequences_per_generation=256,  # ours: vLLM takes what fits
        shards=2,  # ours: one GPU each
    ),
    corpus=CorpusSettings(conversation_tokens=200_000_000, text_tokens=200_000_000),  # paper A.1
    activations="streamed",  # ours: stored, they are tens of TB
    crosscoder_seeds=(1,),  # ours: the yardstick of overlaps, and intervals over seeds; docs/study.md, weaknesses
    noise_floor=True,  # ours: the tails of NRN and MAS where nothing differs; docs/study.md, weaknesses
    crosscoder=CrosscoderSettings(
        n_features=32_768,  # docs/study.md
        sparsity_weight=2.0,  # paper A.1
        batch=1024,  # paper A.1
        learning_rate=1e-4,  # docs/study.md
        precision="bf16",  # ours: weights, gradients and optimizer stay fp32
    ),
    analyse=AnalyseSettings(
        top=50,  # paper 5.2
        threshold=0.2,  # paper 7
    ),
    intervene=InterveneSettings(value=3.0),  # paper 7.1
    report=ReportSettings(paper_model="Qwen2.5-7B"),  # paper, tables 1 to 5
    pods=PODS,
)
