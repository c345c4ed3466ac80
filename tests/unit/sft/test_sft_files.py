import json
from pathlib import Path

from rlgen_k8s.stages.contract import Resume
from rlgen_k8s.stages.frame.context import local_context
from rlgen_k8s.stages.sft import files
from rlgen_k8s.stages.sft.settings import SftSettings

POINTS = [2, 4, 6, 8, 10]
MODEL = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
TRAINING = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "training_args.bin", "whole"}


def resume_points(folder: Path) -> Resume:
    return local_context(SftSettings(), {}, folder / "result").resume


def write_checkpoint(output: Path, step: int) -> None:
    folder = files.checkpoint(output, step)
    (folder / f"global_step{step}").mkdir(parents=True)
    (folder / f"global_step{step}" / "optimizer_rank_0.pt").write_text("moments")
    for name in MODEL | TRAINING:
        (folder / name).write_text(f"{name} of {step}")
    (folder / "config.json").write_text(json.dumps({"hidden_size": step, "use_cache": False}))
    history = [{"step": i, "loss": 1 / i} for i in range(1, step + 1)] + [{"step": step, "train_runtime": 1.0}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_resume_point_training_starts_in_an_empty_folder(tmp_path: Path) -> None:
    assert files.restore(resume_points(tmp_path), tmp_path / "output") is None
    assert names(tmp_path / "output") == set()


def test_a_resume_point_brings_back_the_trainer_state_and_all_models_so_far(tmp_path: Path) -> None:
    first, second, scratch = (tmp_path / name for name in ("first", "second", "scratch"))
    resume = resume_points(tmp_path)
    for step in POINTS[:3]:
        write_checkpoint(first, step)
        files.save(resume, first, POINTS, step, scratch)
    for path in (tmp_path / "result.resume").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)  # a store's results are read-only

    assert files.restore(resume, second) == second / "checkpoint-6"
    assert names(second) == {"checkpoint-2", "checkpoint-4", "checkpoint-6"}
    assert names(second / "checkpoint-6") == MODEL | TRAINING | {"global_step6"}
    assert names(second / "checkpoint-2") == MODEL
    assert (second / "checkpoint-2" / "model.safetensors").read_text() == "model.safetensors of 2"
    files.strip(second / "checkpoint-6")  # what was restored can be changed
    assert names(second / "checkpoint-6") == MODEL


def test_only_the_newest_checkpoint_keeps_its_optimizer_on_disk(tmp_path: Path) -> None:
    output = tmp_path / "output"
    resume = resume_points(tmp_path)
    for step in POINTS[:2]:
        write_checkpoint(output, step)
        files.save(resume, output, POINTS, step, tmp_path / "scratch")
    assert names(output / "checkpoint-2") == MODEL
    assert "optimizer.pt" in names(output / "checkpoint-4")


def test_a_point_between_two_checkpoints_is_gone_on_from_and_then_forgotten(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    resume = resume_points(tmp_path)
    for step in (2, 3):
        write_checkpoint(first, step)
        files.save(resume, first, POINTS, step, tmp_path / "scratch")
    assert files.restore(resume, second) == second / "checkpoint-3"
    assert names(second / "checkpoint-3") == MODEL | TRAINING | {"global_step3"}
    assert names(second / "checkpoint-2") == MODEL
    for step in (4, 5):
        write_checkpoint(second, step)
    files.save(resume, second, POINTS, 5, tmp_path / "scratch")  # the one before came while the store was slow
    assert names(second) == {"checkpoint-2", "checkpoint-4", "checkpoint-5"}
    assert names(second / "checkpoint-4") == MODEL
    assert files.restore(resume, tmp_path / "third") == tmp_path / "third" / "checkpoint-5"


def test_models_and_curve_are_published_without_the_trainers_files(tmp_path: Path) -> None:
    output, out, base = tmp_path / "output", tmp_path / "out", tmp_path / "base"
    for step in POINTS:
        write_checkpoint(output, step)
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"hidden_size": 1, "use_cache": True}))
    out.mkdir()
    files.publish(output, POINTS, base, out)
    assert names(out) == {"checkpoints", "training.jsonl"}
    assert names(out / "checkpoints") == {"1", "2", "3", "4", "5"}
    for number, step in enumerate(POINTS, start=1):
        folder = out / "checkpoints" / str(number)
        assert names(folder) == MODEL
        assert json.loads((folder / "config.json").read_text()) == {"hidden_size": step, "use_cache": True}
    curve = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == list(range(1, 11))
