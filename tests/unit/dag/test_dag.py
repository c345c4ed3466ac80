"""One definition: nodes with addresses known beforehand, verdicts, and the Argo workflow made of them."""

import json

import pytest
import yaml

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.place import Place
from rlgen_k8s.dag.verdicts import judge, reasons, up_to
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.local.tasks import read_tasks
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.store.keys import canonical_json
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.open import open_store
from rlgen_k8s.study.load import load_study


@pytest.fixture(scope="module")
def study():
    return load_study("tiny")


def publish(store, node, tmp_path):
    attempt = store.open_attempt(node.address, tmp_path)
    (attempt.out / "file").write_text(node.name)
    version = STAGES[node.stage].version
    store.publish(
        attempt, Identity(stage=node.stage, version=version, settings=node.settings_json, inputs=node.input_addresses)
    )


def test_the_dag_has_the_crosscoders_of_the_paper_and_every_stage(study):
    names = [node.name for node in plan(study)]
    wanted = [f"crosscoder-{method}-{k}" for method in ("sft", "rl") for k in range(1, 6)] + ["crosscoder-joint"]
    assert sorted(name for name in names if name.startswith("crosscoder")) == sorted(wanted)
    assert {node.stage for node in plan(study)} == set(STAGES) - {"stream", "merge"}


def test_streamed_one_node_makes_all_crosscoders_for_the_same_readers(study):
    stored = {node.name: node for node in plan(study)}
    streamed = {node.name: node for node in plan(load_study("tiny", ["activations=streamed"]))}
    gone = {name for name in stored if name.startswith(("harvest", "crosscoder"))}
    assert streamed.keys() == stored.keys() - gone | {"stream"}
    stream = streamed["stream"]
    models = ["base", *(f"{method}-{k}" for k in range(1, 6) for method in ("sft", "rl"))]
    assert list(stream.inputs) == ["corpus", *(f"model-{name}" for name in models)]
    for reader in ("analyse", "intervene-rl", "report"):
        assert streamed[reader].inputs.keys() == stored[reader].inputs.keys()
    # As a pod gets them: JSON with sorted keys.
    settings = type(stream.settings).model_validate_json(canonical_json(stream.settings_json))
    for name, asked in settings.crosscoders.items():
        node = stored[f"crosscoder-{name}"]
        assert settings.of(name) == node.settings
        assert streamed["analyse"].input_addresses[f"crosscoder-{name}"] == f"{stream.address}/{name}"
        for label, model in zip(asked.models, asked.reads, strict=True):
            assert stream.input_addresses[f"model-{model}"] == node.input_addresses[f"model-{label}"]


def test_shards_of_the_traces_are_tasks_of_their_own_and_what_reads_traces_reads_them_merged(study):
    one = {node.name: node for node in plan(study)}
    nodes = {node.name: node for node in plan(load_study("tiny", ["traces.shards=3"]))}
    shards = [f"traces-{i}" for i in (1, 2, 3)]
    assert nodes.keys() - one.keys() == set(shards)
    assert len({nodes[name].address for name in shards}) == 3
    assert [nodes[name].settings.shard for name in shards] == [0, 1, 2]
    for name in shards:
        assert nodes[name].input_addresses == one["traces"].input_addresses
    merged = nodes["traces"].input_addresses
    assert merged == {
        "problems": one["problems"].address,
        **{f"shard-{i}": nodes[name].address for i, name in enumerate(shards, 1)},
    }
    for reader in ("sft", "report"):
        assert nodes[reader].input_addresses["traces"] == nodes["traces"].address
    with pytest.raises(UserError, match=r"traces\.shards=4: 2560 problems are 3 times traces\.resume_problems; lower"):
        load_study("tiny", ["traces.shards=4"])


def test_shards_of_an_evaluation_are_merged_before_anything_reads_them(study):
    one = {node.name: node for node in plan(study)}
    nodes = {node.name: node for node in plan(load_study("tiny", ["evaluate.shards=2"]))}
    shards = {f"evaluate-{model}": [f"evaluate-{model}-{i}" for i in (1, 2)] for model in ("base", "sft", "rl")}
    assert nodes.keys() - one.keys() == {name for names in shards.values() for name in names}
    for whole, names in shards.items():
        assert [nodes[name].input_addresses for name in names] == [one[whole].input_addresses] * 2
        assert (nodes[whole].stage, nodes[whole].settings.of) == ("merge", "evaluate")
        assert nodes[whole].input_addresses == {f"shard-{i}": nodes[name].address for i, name in enumerate(names, 1)}
        for reader in ("analyse", "report"):
            assert nodes[reader].input_addresses[whole.replace("evaluate", "evaluation")] == nodes[whole].address


def test_stages_whose_engine_is_vllm_run_in_the_image_that_has_it():
    study = load_study("full-qwen25", ["evaluate.engine=hf", "image=a:1", "image_vllm=b:1"])
    built = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    images = {t["name"]: t["container"]["image"] for t in built["spec"]["templates"] if "container" in t}
    assert {name for name, image in images.items() if image == "b:1"} == {"traces", "grpo"}
    assert set(images.values()) == {"a:1", "b:1"}


def test_further_starts_and_the_noise_floor_are_crosscoders_beside_the_papers(study):
    more = ["crosscoder_seeds=[3]", "noise_floor=true"]
    before = {node.name: node.address for node in plan(study)}
    nodes = {node.name: node for node in plan(load_study("tiny", more))}
    restarted = ("joint", "sft-5", "rl-5")
    assert nodes.keys() - before.keys() == {*(f"crosscoder-{name}-seed3" for name in restarted)} | {
        "crosscoder-noise",
        "crosscoder-noise-joint",
    }
    changed = {name for name in before if nodes[name].address != before[name]}
    assert changed == {"analyse", "intervene-rl", "intervene-base", "report"}
    noise, of_three = nodes["crosscoder-noise"], nodes["crosscoder-noise-joint"]
    for name in restarted:
        first, again = nodes[f"crosscoder-{name}"], nodes[f"crosscoder-{name}-seed3"]
        assert again.settings == first.settings.model_copy(update={"start_seed": 3})
        assert again.input_addresses == first.input_addresses
        assert f"crosscoder-{name}-seed3" in nodes["analyse"].inputs
    assert noise.settings.start_apart and of_three.settings.start_apart
    for kind in ("model", "activations"):
        assert noise.input_addresses[f"{kind}-copy"] == noise.input_addresses[f"{kind}-base"]
        assert len({of_three.input_addresses[f"{kind}-{name}"] for name in ("base", "copy1", "copy2")}) == 1
    (stream,) = (node for node in plan(load_study("tiny", [*more, "activations=streamed"])) if node.stage == "stream")
    for name in ("noise", "noise-joint", *(f"{name}-seed3" for name in restarted)):
        assert stream.settings.of(name) == nodes[f"crosscoder-{name}"].settings


def test_other_weights_other_sizes_and_one_of_all_checkpoints_are_crosscoders_beside_them(study):
    more = ["crosscoder_weights=[0.25]", "crosscoder_sizes=[256]", "every_checkpoint=true"]
    before = {node.name: node.address for node in plan(study)}
    nodes = {node.name: node for node in plan(load_study("tiny", more))}
    added = {"crosscoder-joint-lambda0p25", "crosscoder-joint-size256", "crosscoder-all"}
    assert nodes.keys() - before.keys() == added
    assert {name for name in before if nodes[name].address != before[name]} == {
        "analyse", "intervene-rl", "intervene-base", "report",
    }  # fmt: skip
    joint, every = nodes["crosscoder-joint"].settings, nodes["crosscoder-all"].settings
    assert nodes["crosscoder-joint-lambda0p25"].settings == joint.model_copy(update={"sparsity_weight": 0.25})
    assert nodes["crosscoder-joint-size256"].settings == joint.model_copy(update={"n_features": 256})
    assert every.models == ("base", *(f"{name}-{k}" for name in ("sft", "rl") for k in range(1, 6)))
    assert every == joint.model_copy(update={"models": every.models})
    for name in every.models[1:]:
        two = nodes[f"crosscoder-{name}"].input_addresses
        assert nodes["crosscoder-all"].input_addresses[f"model-{name}"] == two[f"model-{name.partition('-')[0]}"]
    assert added <= nodes["analyse"].inputs.keys()
    (stream,) = (node for node in plan(load_study("tiny", [*more, "activations=streamed"])) if node.stage == "stream")
    for name in added:
        assert stream.settings.of(name.removeprefix("crosscoder-")) == nodes[name].settings


@pytest.mark.parametrize(
    ("field", "what", "values"),
    [
        ("crosscoder_seeds", "seed", "[0]"),
        ("crosscoder_seeds", "seed", "[1, 1]"),
        ("crosscoder_weights", "weight", "[0.5]"),
        ("crosscoder_sizes", "size", "[64, 64]"),
        ("crosscoder_sizes", "size", "[512]"),
    ],
)
def test_further_crosscoders_differ(field, what, values):
    with pytest.raises(UserError, match=rf"{field}: {what} [\d.]+ is the study's own or named twice"):
        load_study("tiny", [f"{field}={values}"])


def test_a_crosscoder_without_lambda_has_no_other_lambdas():
    with pytest.raises(UserError, match=r"crosscoder_weights: crosscoder\.activation batch_topk has no λ"):
        load_study("tiny", ["crosscoder_weights=[0.25]", "crosscoder.activation=batch_topk"])


def test_nodes_come_after_what_they_read_and_have_names_of_their_own(study):
    nodes = plan(study)
    seen: set[str] = set()
    for node in nodes:
        assert {item.name for item in node.dependencies} <= seen
        seen.add(node.name)
    assert len(seen) == len({node.address for node in nodes}) == len(nodes)


def test_a_setting_changes_the_addresses_of_what_depends_on_it_and_no_others(study):
    before = {node.name: node.address for node in plan(study)}
    after = {node.name: node.address for node in plan(load_study("tiny", ["sft.learning_rate=0.123"]))}
    same = {name for name in before if before[name] == after[name]}
    assert {"mirror", "base", "teacher", "traces", "grpo", "evaluate-rl", "harvest-rl", "crosscoder-rl-3"} <= same
    assert {"sft", "evaluate-sft", "harvest-sft", "crosscoder-sft-1", "crosscoder-joint", "report"} & same == set()


def test_new_contents_in_a_folder_of_the_user_s_are_a_new_result(tmp_path):
    def addresses():
        study = load_study("tiny", ["base.source=folder", f"base.path={tmp_path}"])
        return {node.name: node.address for node in plan(study)}

    (tmp_path / "config.json").write_text("{}")
    before = addresses()
    assert addresses() == before
    (tmp_path / "config.json").write_text("{ }")
    after = addresses()
    assert {name for name in before if before[name] == after[name]} == {"mirror", "teacher", "problems", "traces"}
    with pytest.raises(UserError, match=r"base\.path='/nowhere'"):
        plan(load_study("tiny", ["base.source=folder", "base.path=/nowhere"]))


def test_the_shape_of_a_pod_is_no_part_of_an_address(study):
    other = load_study("tiny", ["pods.sft.cpu=64"])
    assert [node.address for node in plan(other)][:-1] == [node.address for node in plan(study)][:-1]


def test_another_seed_is_another_study(study):
    other = {node.name: node.address for node in plan(load_study("tiny", ["seed=1"]))}
    assert all(other[node.name] != node.address for node in plan(study))


def test_a_replicate_is_the_training_of_the_study_with_that_seed(study):
    own = {node.name: node.address for node in plan(study)}
    with_replicates = {node.name: node for node in plan(load_study("tiny", ["replicates=[1, 2]"]))}
    other = {node.name: node.address for node in plan(load_study("tiny", ["seed=1"]))}
    assert all(with_replicates[name].address == own[name] for name in own if name != "report")
    added = {name for name in with_replicates if name.endswith("-seed1")}
    assert {"sft-seed1", "grpo-seed1", "evaluate-rl-seed1"} <= added
    assert not any(name.startswith(("corpus", "harvest", "crosscoder")) for name in added)
    for name in added:
        assert with_replicates[name].address == other[name.removesuffix("-seed1")]
    assert {"evaluation-base-seed2", "evaluation-sft-seed1"} <= with_replicates["report"].inputs.keys()


def test_verdicts_say_hit_run_or_not_needed_and_why(study, tmp_path):
    store = open_store(str(tmp_path / "store"))
    nodes = {node.name: node for node in plan(study)}
    publish(store, nodes["mirror"], tmp_path)

    def judged(nodes):
        found = judge(nodes, store)
        names = [verdict.node.name for verdict in found]
        return dict(zip(names, found, strict=True)), dict(zip(names, reasons(found, store), strict=True))

    verdicts, why = judged(list(nodes.values()))
    assert verdicts["mirror"].manifest is not None
    assert "made 20" in why["mirror"]
    assert verdicts["base"].runs
    assert "new" in why["base"]
    for name in ("base", "problems", "grpo", "traces"):
        publish(store, nodes[name], tmp_path)
    verdicts, why = judged(list(nodes.values()))
    assert not verdicts["teacher"].runs
    assert "not needed" in why["teacher"]
    _, why = judged(plan(load_study("tiny", ["grpo.learning_rate=0.123"])))
    assert "learning_rate" in why["grpo"]
    assert "0.123" in why["grpo"]


def test_a_rebuild_is_asked_for_by_task_or_address_and_unknown_ones_are_refused(study, tmp_path):
    store = open_store(str(tmp_path / "store"))
    nodes = plan(study)
    for node in nodes:
        publish(store, node, tmp_path)
    assert not any(v.runs for v in judge(nodes, store))
    by_name = [v.node.name for v in judge(nodes, store, ["sft"]) if v.runs]
    address = next(node.address for node in nodes if node.name == "sft")
    assert by_name == [v.node.name for v in judge(nodes, store, [address]) if v.runs] == ["sft"]
    with pytest.raises(UserError, match="--rebuild nothing"):
        judge(nodes, store, ["nothing"])


def test_what_a_rebuilt_result_is_made_from_is_needed_though_all_that_reads_it_is_there(study, tmp_path):
    store = open_store(str(tmp_path / "store"))
    nodes = plan(study)
    for node in nodes:
        if node.name != "traces":
            publish(store, node, tmp_path)
    assert not any(v.runs for v in judge(nodes, store))
    assert {v.node.name for v in judge(nodes, store, ["sft"]) if v.runs} == {"sft", "traces"}


def test_the_workflow_carries_the_nodes_and_leaves_out_finished_ones(study):
    nodes = plan(study)
    built = yaml.safe_load(build_workflow(study, nodes, finished={"mirror", "base"}).to_yaml())
    dag = next(template["dag"] for template in built["spec"]["templates"] if template["name"] == "study")
    tasks = {task["name"]: task for task in dag["tasks"]}
    assert set(tasks) == {node.name for node in nodes} - {"mirror", "base"}
    assert "dependencies" not in tasks["teacher"]
    assert sorted(tasks["sft"]["dependencies"]) == ["traces"]
    given = {item["name"]: item["value"] for item in tasks["grpo"]["arguments"]["parameters"]}
    node = next(node for node in nodes if node.name == "grpo")
    assert given["key"] == node.key
    assert json.loads(given["settings"]) == node.settings_json
    assert json.loads(given["inputs"]) == node.input_addresses


def test_a_pod_of_the_workflow_is_what_the_local_runner_starts(study):
    nodes = plan(study)
    workflow = build_workflow(study, nodes, place=Place(store="/the/store", submission="s-1")).to_dict()
    tasks = {task.name: task for task in read_tasks(workflow)}
    for node in nodes:
        task = tasks[node.name]
        assert task.argv[0] == "rlgen-stage"
        assert f"--stage={node.stage}" in task.argv
        assert f"--key={node.key}" in task.argv
        assert task.env["RLGEN_STORE"] == "/the/store"
        assert set(task.after) == {item.name for item in node.dependencies}


def test_every_gpu_and_byte_that_a_pod_asks_for_is_in_the_template():
    study = load_study("tiny", ["pods.grpo.gpus=8", "pods.grpo.memory=64"])
    built = yaml.safe_load(build_workflow(study, plan(study)).to_yaml())
    container = next(t["container"] for t in built["spec"]["templates"] if t["name"] == "grpo")
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8", "memory": "64Gi"}
    assert container["securityContext"]["runAsNonRoot"] is True


def test_up_to_a_task_are_the_tasks_that_it_stands_on():
    nodes = plan(load_study("tiny"))
    assert [node.name for node in up_to(nodes, ["sft", "problems"])] == [
        node.name for node in nodes if node.name in ("mirror", "base", "teacher", "problems", "traces", "sft")
    ]
    assert up_to(nodes, []) == nodes
    with pytest.raises(UserError, match="--until nowhere: no such task"):
        up_to(nodes, ["nowhere"])
