"""What one core reaches with models as small as the tiny study's: the settings `cost.core.…`, each on a line.

Run by `python -m tests.bench.core_rates`; half a minute. CPU seconds on one thread, least of several rounds, so that a
busy machine changes them little. `cost.core.start` and `cost.core.world_rate` come from a finished study
(`rlgen plan tiny --against tiny`).
"""

from collections.abc import Callable

import torch
from tests.bench import bench_crosscoder
from tests.bench.shapes import qwen3
from tests.bench.timing import seconds
from transformers import Qwen3ForCausalLM

from rlgen_k8s.cost.architectures import architecture
from rlgen_k8s.cost.rates import crosscoder_flops
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.model.settings import ModelSettings

ROUNDS = 5
FEW, SEQUENCES, LENGTH = 16, 16, 128
RESPONSES, PROMPT, NEW = 256, 36, 96
FEATURES = 512


def least(work: Callable[[], object]) -> float:
    """CPU seconds of one call, after one that does not count."""
    work()
    return min(seconds(work) for _ in range(ROUNDS))


def main() -> None:
    """Print the rates."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = architecture(ModelSettings())
    assert shape is not None
    model = Qwen3ForCausalLM(qwen3(shape))

    def ids(rows: int, length: int) -> torch.Tensor:
        return torch.randint(shape.vocabulary, (rows, length))

    @torch.inference_mode()
    def forward() -> None:
        model(input_ids=few, use_cache=False)

    def train() -> None:
        logits = model(input_ids=many, use_cache=False).logits
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits.flatten(0, 1), many.flatten()))

    def generate() -> None:
        model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=NEW, do_sample=True)

    few, many, prompts = ids(1, FEW), ids(SEQUENCES, LENGTH), ids(RESPONSES, PROMPT)
    # Next to nothing of a pass over so few tokens is arithmetic.
    layer = least(forward) / shape.layers
    work = 3 * SEQUENCES * LENGTH * shape.forward_flops(LENGTH / 2)
    flops = work / (least(train) - 3 * shape.layers * layer)
    read = 4 * shape.parameters + RESPONSES * shape.cache_bytes(4) * (PROMPT + NEW / 2)
    bandwidth = read / (least(generate) / NEW - shape.layers * layer)
    step = least(bench_crosscoder.trainer(shape.width, FEATURES, "fp32").advance)
    settings = CrosscoderSettings(n_features=FEATURES)
    steps = bench_crosscoder.BATCH * crosscoder_flops(shape.width, settings, bench_crosscoder.N_MODELS) / step
    for name, value in (
        ("flops", flops),
        ("crosscoder_flops", steps),
        ("bandwidth", bandwidth),
        ("layer", layer),
    ):
        print(f"cost.core.{name}={value:.2g}")


if __name__ == "__main__":
    main()
