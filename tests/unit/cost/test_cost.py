"""The cost model against figures that were published or measured elsewhere, and what a plan refuses."""

from itertools import pairwise

import pytest

from rlgen_k8s.cost import memory, rates
from rlgen_k8s.cost.architectures import ARCHITECTURES
from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.cost.fits import refuse_what_cannot_fit
from rlgen_k8s.cost.hardware import GPUS, gpu
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.against import pair
from rlgen_k8s.runners.costs import critical_hours, gpu_hours
from rlgen_k8s.stages.grpo.schedule import checkpoint_steps
from rlgen_k8s.stages.points import save_steps
from rlgen_k8s.stages.sft.plan import save_points, total_steps
from rlgen_k8s.stages.sft.settings import SftSettings
from rlgen_k8s.study.cost import CostSettings
from rlgen_k8s.study.load import load_study

STORED = "activations=stored"
ALONE = "pods.stream.gpus=1"
ELEVEN = ("noise_floor=false", "crosscoder_seeds=[]")
"""The paper's crosscoders alone."""
FULL = ("full-qwen25", "full-qwen3", "full-llama31")
IDEAL = [f"cost.{name}=1" for name in ("training_utilization", "crosscoder_utilization")] + [
    f"cost.{name}={value}" for name, value in (("startup", 0), ("store_rate", 1e30), ("disk_rate", 1e30))
]


def estimated(name, *assignments):
    study = load_study(name, list(assignments))
    nodes = plan(study)
    return study, nodes, estimates(study, nodes)


@pytest.mark.parametrize(
    ("name", "billions"),
    # Model cards; Qwen3-4B-Base: total_size of its model.safetensors.index.json, 8 045 591 552 bytes of bf16.
    [
        ("Qwen/Qwen2.5-7B", 7.61),
        ("Qwen/Qwen3-4B-Base", 4.02),
        ("Qwen/Qwen3-32B", 32.8),
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03),
    ],
)
def test_a_shape_has_the_published_number_of_weights(name, billions):
    assert ARCHITECTURES[name].parameters / 1e9 == pytest.approx(billions, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "shape", "gflop", "terabytes", "harvest_hours", "crosscoder_hours"),
    # By hand: 2 FLOP a weight of the lower half; 2 models of 400 M tokens in bf16; 10·M·d·D FLOP a token; 989 TFLOP/s.
    [
        ("full-qwen3", "Qwen/Qwen3-4B-Base", 3.8, 4.1, 0.43, 0.19),
        ("full-qwen25", "Qwen/Qwen2.5-7B", 6.6, 5.7, 0.74, 0.26),
    ],
)
def test_at_the_hardware_s_limit_it_gives_the_figures_worked_out_by_hand(
    name, shape, gflop, terabytes, harvest_hours, crosscoder_hours
):
    _, _, found = estimated(name, *IDEAL, STORED)
    model = ARCHITECTURES[shape]
    assert model.forward_flops(512, model.layers // 2) / 1e9 == pytest.approx(gflop, rel=0.03)
    assert 2 * found["harvest-base"].store / 1e12 == pytest.approx(terabytes, rel=0.02)
    assert found["harvest-base"].hours == pytest.approx(harvest_hours, rel=0.03)
    assert found["crosscoder-sft-1"].hours == pytest.approx(crosscoder_hours, rel=0.03)
    assert found["crosscoder-joint"].hours == pytest.approx(1.5 * crosscoder_hours, rel=0.03)


def test_zero_divides_what_its_paper_says_it_divides():
    """Rajbhandari et al. 2020, figure 1: 7.5 B weights on 64 GPUs take 16.6 GB with stage 2 and 1.9 GB with stage 3."""
    model = ARCHITECTURES["Qwen/Qwen2.5-7B"]
    scale = 7.5e9 / model.parameters
    for stage, gigabytes in ((2, 16.6), (3, 1.9)):
        parts = memory.sft(model, SftSettings(processes=64, deepspeed_stage=stage))
        held = scale * sum(parts[name] for name in ("weights", "gradients", "optimizer"))
        assert held / 1e9 == pytest.approx(gigabytes, rel=0.02)


@pytest.mark.parametrize("name", FULL)
def test_the_full_studies_fit_and_every_task_on_gpus_has_an_estimate(name):
    study, nodes, found = estimated(name)
    refuse_what_cannot_fit(study, nodes, found)
    on_gpus = {node.name for node in nodes if node.shape.gpus}
    assert {node.name for node in nodes} - set(found) == {"report"}
    assert {name for name, made in found.items() if made.memory} == on_gpus
    for node in nodes:
        if node.stage in ("sft", "grpo"):
            assert sum(found[node.name].memory.values()) < GPUS["H200"].memory


def test_a_stream_takes_the_forwards_and_the_steps_of_the_tasks_it_stands_for():
    _, _, apart = estimated("full-qwen3", *IDEAL, *ELEVEN, STORED)
    study, nodes, found = estimated("full-qwen3", *IDEAL, *ELEVEN, ALONE)
    hours = sum(made.hours for name, made in apart.items() if name.startswith(("harvest", "crosscoder")))
    assert found["stream"].hours == pytest.approx(hours, rel=0.01)  # harvests run the evaluation shard too
    assert found["stream"].store == pytest.approx(
        sum(made.store for name, made in apart.items() if name.startswith("crosscoder"))
    )
    refuse_what_cannot_fit(study, nodes, found)
    study, nodes, found = estimated("full-qwen3", *IDEAL, *ELEVEN, ALONE, "crosscoder.buffer_sequences=2048")
    with pytest.raises(UserError, match=r"^stream: needs .* buffer; .*; lower crosscoder\.buffer_sequences$"):
        refuse_what_cannot_fit(study, nodes, found)


def test_a_stream_on_eight_gpus_or_more_shares_forwards_evenly_and_waits_for_the_gpu_with_most_crosscoders():
    """Of thirteen crosscoders of two models and three of three, one of 8 GPUs has one of each: 5 of 35 models; one of
    16 one of three."""
    hours = {}
    for nodes, gpus in ((1, 1), (1, 8), (2, 8)):
        _, _, whole = estimated("full-qwen25", *IDEAL, f"pods.stream.gpus={gpus}", f"pods.stream.nodes={nodes}")
        hours[nodes * gpus] = whole["stream"].hours
    steps = 35 * ARCHITECTURES["Qwen/Qwen2.5-7B"].width * 32768 * 10 * 4e8 / 989e12 / 3600
    assert hours[8] == pytest.approx((hours[1] - steps) / 8 + steps * 5 / 35, rel=1e-6)
    assert hours[16] == pytest.approx((hours[1] - steps) / 16 + steps * 3 / 35, rel=1e-6)


def test_sixteen_crosscoders_of_a_7b_model_do_not_fit_one_gpu_but_eight():
    study, nodes, found = estimated("full-qwen25", ALONE)
    with pytest.raises(
        UserError,
        match=r"^stream: needs .* optimizer; .*; raise pods\.stream\.gpus or pods\.stream\.nodes, or lower .*$",
    ):
        refuse_what_cannot_fit(study, nodes, found)
    study, nodes, found = estimated("full-qwen25")
    refuse_what_cannot_fit(study, nodes, found)
    parts = found["stream"].memory
    two = 4 * 2 * (2 + 3) * 3584 * 32768  # bytes of the weights of one with two models and one with three
    assert parts["weights"] == parts["gradients"] == parts["optimizer"] / 2 == 2 * parts["bf16 copies"] == two


def steps_of_a_queue(responses, length, at_once):
    steps, waiting, writing = 0, responses, []
    while waiting or writing:
        joining = min(waiting, at_once - len(writing))
        waiting, writing = waiting - joining, writing + [length] * joining
        writing = [left - 1 for left in writing if left > 1]
        steps += 1
    return steps


def test_fewer_responses_at_once_read_the_weights_as_often_as_a_queue_steps():
    model, cost = ARCHITECTURES["Qwen/Qwen3-32B"], CostSettings(response_tokens=100, decoding_utilization=1)
    few, all_at_once = (rates.vllm_generation(model, 96, 100, cost, gpu(cost), n) for n in (8, 96))
    steps = steps_of_a_queue(96, 100, 8) - steps_of_a_queue(96, 100, 96)
    assert few - all_at_once == pytest.approx(steps * 2 * model.parameters / GPUS["H200"].bandwidth)


def test_what_costs_more_is_estimated_to_cost_more():
    _, nodes, before = estimated("full-qwen25", STORED)
    for change, tasks in {
        "problems.size=94000": ("traces-1", "traces", "sft", "grpo"),
        "cost.gpu=A100": ("traces-1", "sft", "grpo", "harvest-sft", "crosscoder-rl-1", "evaluate-base-1"),
        "cost.response_tokens=8000": ("traces-8", "sft", "grpo", "evaluate-sft-2"),
        "traces.max_tries=8": ("traces-1",),
        "traces.batch_size=16": ("traces-1",),
        "traces.shards=4": ("traces-1",),
        "crosscoder.epochs=2": ("crosscoder-joint",),
        "evaluate.repeats_aime=20": ("evaluate-rl-1",),
        "evaluate.shards=1": ("evaluate-rl",),
        "pods.grpo.resume_steps=1": ("grpo",),
        "pods.sft.resume_steps=1": ("sft",),
    }.items():
        _, _, after = estimated("full-qwen25", STORED, change)
        for task in tasks:
            assert after[task].hours > before[task].hours, (change, task)
    assert {node.name for node in nodes} > set(before)


@pytest.mark.parametrize("name", FULL)
def test_a_preempted_training_of_a_full_study_loses_about_half_an_hour_at_most(name):
    study, nodes, found = estimated(name)
    rl = checkpoint_steps(study.problems.size, study.grpo.prompts_per_step, study.grpo.epochs)
    steps = {"grpo": rl, "sft": save_points(total_steps(study.problems.size, study.sft.batch, study.sft.epochs))}
    for node in nodes:
        if node.stage in steps:
            saves = save_steps(steps[node.stage], node.shape.resume_steps)
            longest = max(after - before for before, after in pairwise([0, *saves]))
            assert found[node.name].hours * longest / saves[-1] < 0.6


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        ("traces.engine=hf", r"^traces-1: needs .* KV cache; .*H200 gives 134 GB; lower traces\.batch_size$"),
        ("traces.max_new_tokens=300_000", r"^traces-1: needs .* vLLM's cache; .*lower traces\.max_new_tokens$"),
        ("evaluate.engine=hf", r"^evaluate-base-1: .*lower evaluate\.sequences_per_generation$"),
        ("cost.gpu=H100 evaluate.tokens_per_batch=65_536", r"^evaluate-base-1: .*cost\.gpu=H100 gives 76 GB"),
        ("sft.per_device_batch=8", r"^sft: .*logits; .*lower sft\.cutoff_len or sft\.per_device_batch$"),
        ("analyse.drift_batch=256", r"^analyse: .*logits; .*lower analyse\.drift_batch$"),
        ("analyse.batch=4096", r"^analyse: .*activations; .*lower analyse\.batch$"),
        ("harvest.batch=1024", r"^harvest-.*: .*lower harvest\.batch$"),
        ("sft.processes=16", r"^sft: sft\.processes=16 and the pod has 8 GPUs; set pods\.sft\.gpus=16$"),
        ("pods.grpo.gpus=4", r"^grpo: grpo\.n_gpus=8 and the pod has 4 GPUs"),
        ("pods.grpo.nodes=2", r"^grpo: grpo\.n_gpus=8 of 16 GPUs asked for, .*; set grpo\.n_gpus=16, or fewer"),
        (
            "pods.grpo.disk=100",
            r"^grpo: needs \d+ GiB on the node's disk and pods\.grpo\.disk=100; set pods\.grpo\.disk",
        ),
        ("corpus.text_tokens=900_000_000", r"set pods\.harvest\.disk to at least \d+$"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_setting_to_change(assignments, words):
    study, nodes, found = estimated("full-qwen25", STORED, *assignments.split())
    with pytest.raises(UserError, match=words) as raised:
        refuse_what_cannot_fit(study, nodes, found)
    assert "\n" not in str(raised.value)


def test_the_gpus_of_all_pods_of_a_gang_count():
    wide = ("sft.processes=16", "pods.sft.nodes=2")
    study, nodes, found = estimated("full-qwen25", *wide)
    refuse_what_cannot_fit(study, nodes, found)
    sft = next(node for node in nodes if node.name == "sft")
    assert gpu_hours(sft, found) == pytest.approx(16 * found["sft"].hours)
    with pytest.raises(UserError, match=r"its 2 pods have 4 GPUs each; set pods\.sft\.gpus=8$"):
        refuse_what_cannot_fit(*estimated("full-qwen25", *wide, "pods.sft.gpus=4"))


def test_a_study_whose_models_have_no_known_shape_keeps_its_own_minutes(tmp_path):
    _, nodes, found = estimated("tiny", "base.source=folder", f"base.path={tmp_path}", "pods.grpo.gpus=2")
    assert found == {}
    grpo = next(node for node in nodes if node.name == "grpo")
    assert gpu_hours(grpo, found) == pytest.approx(2 * 2.4 / 60)


def test_the_longest_chain_goes_through_rl():
    _, nodes, found = estimated("full-qwen25")
    named = {node.name: node for node in nodes}
    chain = ["mirror", "base", "grpo", "stream", "analyse", "intervene-rl", "report"]
    known = sum(found[name].hours if name in found else named[name].shape.minutes / 60 for name in chain)
    assert critical_hours(nodes, found) == pytest.approx(known)


def test_prices_and_assumptions_are_no_part_of_an_address():
    _, before, _ = estimated("full-qwen25")
    _, after, _ = estimated("full-qwen25", "cost.prices={H200: 3}", "cost.acceptance=0.5")
    assert [node.address for node in before] == [node.address for node in after]


def test_what_was_taken_stands_beside_what_was_expected():
    _, nodes, found = estimated("tiny", "pods.report.gpus=2", "pods.report.minutes=3", "pods.sft.gpus=2")
    taken = {
        "report": {"duration_seconds": 90.0, "gpu_seconds": 180.0, "loss": 1.0},
        "sft": {"duration_seconds": 50.0},
        "traces": {"rate": 0.5},
    }
    sft, report = pair(nodes, found, taken)
    assert (report.task, report.expected, report.took) == ("report", 180.0, 90.0)
    assert (report.expected_on_gpus, report.took_on_gpus) == (360.0, 180.0)
    assert sft.expected == 3600 * found["sft"].hours == sft.expected_on_gpus / 2
