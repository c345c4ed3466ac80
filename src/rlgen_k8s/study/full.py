"""What the full studies have in common: models and data sets of the Hugging Face hub, each at a revision, and pods."""

from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.study.settings import PodShape

DATASETS = {
    # Problems (paper A.2).
    "DigitalLearningGmbH/MATH-lighteval": "0530c78699ea5e8eb5530600900e1f328b48acad",
    "agentica-org/DeepScaleR-Preview-Dataset": "b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29",
    # Text for the crosscoders (paper A.1).
    "open-thoughts/OpenThoughts-114k": "main",
    "togethercomputer/RedPajama-Data-1T-Sample": "98f93b765c118b999b1af570c3e399c207d08da7",
    # Evaluation (paper A.4, B.4), by the names that lm-evaluation-harness 0.4.13 has.
    "allenai/openbookqa": "388097ea7776314e93a529163e0fea805b8a6454",
    "tau/commonsense_qa": "94630fe30dad47192a8546eb75f094926d47e155",
    "EleutherAI/headqa": "main",
    "allenai/sciq": "2c94ad3e1aafab77146f384e23536f97a4849815",
    "allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
    "EleutherAI/logiqa": "refs/convert/parquet",  # its own branch has a script that `datasets` no longer runs
    "baber/piqa": "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
    "HuggingFaceH4/MATH-500": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    "Maxwell-Jia/AIME_2024": "8d88b2876a82a080e2f172cc9b25d0d9d2cb4792",
    "math-ai/aime25": "563bb8404243c5f09de6ec262f2db674fe5bce9b",
}
"""Revision of each set. Where it is a branch, `mirror.json` of the mirror's result has the commit: put it here."""

QWEN25_7B = ModelSettings(
    source="hub",
    repository="Qwen/Qwen2.5-7B",
    revision="d149729398750b98c0af14eb82c78cfe92750796",
    chat_template="chatml",
)
QWEN3_4B_BASE = ModelSettings(
    source="hub",
    repository="Qwen/Qwen3-4B-Base",
    revision="906bfd4b4dc7f14ee4320094d8b41684abff8539",
    chat_template="chatml",
)
LLAMA31_8B_INSTRUCT = ModelSettings(
    source="hub",
    repository="meta-llama/Llama-3.1-8B-Instruct",
    revision="0e9e39f249a16976918f6564b8830bc894c89659",
    chat_template="llama3",
)
QWEN3_32B = ModelSettings(
    source="hub",
    repository="Qwen/Qwen3-32B",
    revision="9216db5781bf21249d130ec9da846c4624c16137",
)
"""The teacher, thinking: its own chat template opens the thought."""

PODS = {
    "mirror": PodShape(cpu=4, memory=16, disk=40, minutes=20, patience=60),
    "model": PodShape(cpu=2, memory=8, disk=160, minutes=20, patience=60),
    "problems": PodShape(cpu=2, memory=8, disk=20, minutes=2),
    "traces": PodShape(cpu=8, memory=128, gpus=1, disk=160, minutes=500, patience=120),
    "merge": PodShape(cpu=2, memory=8, disk=20, minutes=2),
    "sft": PodShape(cpu=64, memory=512, gpus=8, disk=500, minutes=600, patience=60),
    "grpo": PodShape(cpu=64, memory=512, gpus=8, disk=600, minutes=1800, patience=120, resume_steps=6),
    "evaluate": PodShape(cpu=8, memory=64, gpus=1, disk=120, minutes=600, patience=60),
    "corpus": PodShape(cpu=8, memory=32, disk=60, minutes=60),
    "harvest": PodShape(cpu=8, memory=64, gpus=1, disk=18_500, minutes=600),
    "crosscoder": PodShape(cpu=8, memory=64, gpus=1, disk=11_000, minutes=120),
    "stream": PodShape(cpu=64, memory=512, gpus=8, disk=600, minutes=300),
    "analyse": PodShape(cpu=8, memory=64, gpus=1, disk=300, minutes=60),
    "intervene": PodShape(cpu=8, memory=64, gpus=1, disk=120, minutes=120, patience=60),
    "report": PodShape(cpu=2, memory=8, disk=40, minutes=5),
}
"""GPUs of one node of eight; disks by `rlgen plan`. By it six steps of GRPO are 22 to 33 minutes, and a fifth of SFT is
11 to 18, which needs no points between."""
