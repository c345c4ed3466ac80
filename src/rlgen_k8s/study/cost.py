"""What the cost model assumes of the hardware and of the data. No part of any key: no result depends on it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rlgen_k8s.stages.settings import setting

ASSUMED = "assumed: no run measured it"
MEASURED = "measured: tests/bench/core_rates.py, AMD EPYC"
TINY = "measured: the tiny study, AMD EPYC"


class CoreSettings(BaseModel):
    """What one core of a processor reaches with models that are pre-trained here, which no GPU makes much faster."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    flops: float = setting(
        3.8e10, doc="Of passes, forward and backward, of 2048 tokens.", unit="FLOP/s", source=MEASURED, gt=0
    )
    crosscoder_flops: float = setting(6.1e10, doc="Of a crosscoder's step.", unit="FLOP/s", source=MEASURED, gt=0)
    bandwidth: float = setting(
        1.8e9,
        doc="Weights and cache of a step of Hugging Face's generate, over the time that is not Python's.",
        unit="bytes/s",
        source=MEASURED,
        gt=0,
    )
    layer: float = setting(7e-4, doc="Python's time for one layer of one pass.", unit="s", source=MEASURED, ge=0)
    start: float = setting(
        6.0,
        doc="Imports of PyTorch and Transformers; what a stage with other libraries starts with is a multiple of it.",
        unit="s",
        source=TINY,
        ge=0,
    )
    verl_step: float = setting(
        2.5,
        doc="What verl does in a step of GRPO beside passes and sampling: messages of its processes, rewards, metrics.",
        unit="s",
        source=TINY,
        ge=0,
    )
    world_rate: float = setting(1.3e4, doc="Rows of the made-up sets.", unit="rows/s", source=TINY, gt=0)


class CostSettings(BaseModel):
    """See each field."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    gpu: Literal["H200", "H100", "A100"] = setting("H200", doc="GPU of the nodes.", source="paper A.3: H200 and H100")
    prices: dict[str, Annotated[float, Field(ge=0)]] = setting(
        {}, doc="Price of a GPU-hour, by name of the GPU; yours.", unit="money / GPU-hour", source="your provider"
    )
    memory_share: float = setting(
        0.95,
        doc="Share of a GPU's memory that a stage may fill; the rest is CUDA's own and what fragments.",
        source=ASSUMED,
        gt=0,
        le=1,
    )
    training_utilization: float = setting(
        0.35, doc="Share of the GPU's peak that training and long forwards reach.", source=ASSUMED, gt=0, le=1
    )
    crosscoder_utilization: float = setting(
        0.3,
        doc="The same of a crosscoder's step in bf16.",
        source="assumed; Adam's traffic alone bounds batch 1024 at 0.44 on an H200",
        gt=0,
        le=1,
    )
    decoding_utilization: float = setting(
        0.5, doc="Share of the memory's bandwidth that a decoding step reaches.", source=ASSUMED, gt=0, le=1
    )
    decoding_overhead: float = setting(
        0.03,
        doc="Least time of a step of Hugging Face's generate: one token of each sequence.",
        unit="s",
        source=ASSUMED,
        gt=0,
    )
    response_tokens: float = setting(
        4000,
        doc="Mean length of a maths response, thought included; longest responses are the stages' own limits.",
        unit="tokens",
        source=ASSUMED,
        gt=0,
    )
    acceptance: float = setting(0.7, doc="Share of the teacher's responses that are right.", source=ASSUMED, gt=0, le=1)
    prompt_tokens: float = setting(
        200, doc="Mean length of a prompt.", unit="tokens", source="assumed: problems of MATH are shorter", gt=0
    )
    startup: float = setting(
        0.1, doc="Start of a pod: image, imports, fetching inputs.", unit="h", source=ASSUMED, ge=0
    )
    tokenizing_rate: float = setting(3e5, doc="Of the corpus, in one process.", unit="tokens/s", source=ASSUMED, gt=0)
    download_rate: float = setting(1e8, doc="From the hub.", unit="bytes/s", source=ASSUMED, gt=0)
    store_rate: float = setting(1e9, doc="Between the store and a node.", unit="bytes/s", source=ASSUMED, gt=0)
    disk_rate: float = setting(2e9, doc="Of a node's disk.", unit="bytes/s", source="assumed: one NVMe disk", gt=0)
    core: CoreSettings = CoreSettings()
