import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_model, load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.model.run import run
from rlgen_k8s.stages.model.settings import ModelSettings

Make = Callable[..., Context[Any]]

MICRO = ModelSettings(vocabulary=400, layers=2, width=32, steps=7, batch=4, length=32, resume_steps=3)


class KilledError(Exception):
    """Stands for a kill -9 right after a resume point."""


@pytest.fixture(scope="session")
def trained(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro model, trained without interruption."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "out").mkdir()
    (folder / "scratch").mkdir()
    run(Context(MICRO, {"mirror": mirror}, folder / "out", folder / "scratch", _NoResume(), _ignore, _ignore))
    return folder / "out"


class _NoResume:
    def newest(self) -> None:
        return None

    def save(self, step: int, folder: Path) -> None:
        assert list(folder.iterdir())


def _ignore(first: object, second: object) -> None:
    pass


def test_the_model_is_a_qwen3_in_single_precision_with_a_chat_template(trained: Path) -> None:
    import torch

    model, tokenizer = load_model(trained), load_tokenizer(trained)
    assert model.config.model_type == "qwen3"
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1+1?"}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert [tokenizer.decode(token) for token in tokenizer("2741").input_ids] == list("2741")
    for text in (asked, "Wörter, \t tabs\n\n and 😀"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_interrupted_training_gives_the_same_bytes(trained: Path, mirror: Path, context: Make) -> None:
    first = context(MICRO, name="first", mirror=mirror)
    save = first.resume.save

    def save_and_die(step: int, folder: Path) -> None:
        save(step, folder)
        raise KilledError

    object.__setattr__(first.resume, "save", save_and_die)
    with pytest.raises(KilledError):
        run(first)
    point = first.resume.newest()
    assert point is not None
    assert point.step == 3
    again = context(MICRO, name="again", resume=first.resume, mirror=mirror)
    object.__setattr__(first.resume, "save", save)
    run(again)
    for file in ("model.safetensors", "tokenizer.json"):
        assert (again.out / file).read_bytes() == (trained / file).read_bytes()


def test_the_model_learns_more_than_how_often_each_token_occurs(
    mirror: Path, context: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    seen: list[float] = []
    made = context(MICRO.model_copy(update={"steps": 80, "batch": 8, "length": 64}), mirror=mirror)
    object.__setattr__(made, "metrics", lambda metrics, step: seen.append(metrics["loss"]) if step else None)
    run(made)
    tokenizer = load_tokenizer(made.out)
    texts = [row["text"] for row in rows(mirror, "rlgen/tiny-pretraining", "train")]
    counts = Counter(token for text in texts for token in [*tokenizer(text).input_ids, tokenizer.pad_token_id])
    total = sum(counts.values())
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    assert seen[-1] < entropy - 0.5


def test_base_and_teacher_share_their_tokenizer(trained: Path, mirror: Path, context: Make) -> None:
    teacher = context(MICRO.model_copy(update={"text": ("rlgen/tiny-teaching",), "steps": 1, "seed": 5}), mirror=mirror)
    run(teacher)
    assert (teacher.out / "tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()
    assert (teacher.out / "model.safetensors").read_bytes() != (trained / "model.safetensors").read_bytes()


def test_a_model_of_the_user_s_is_taken_as_it_is(trained: Path, context: Make) -> None:
    made = context(ModelSettings(source="folder", path=str(trained)))
    run(made)
    assert {file.name: file.read_bytes() for file in made.out.iterdir()} == {
        file.name: file.read_bytes() for file in trained.iterdir()
    }


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, context: Make) -> None:
    with pytest.raises(UserError, match="has no config"):
        run(context(ModelSettings(source="folder", path=str(tmp_path))))


def test_a_tokenizer_without_chat_template_is_refused(trained: Path, tmp_path: Path, context: Make) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in trained.iterdir():
        if file.name != "chat_template.jinja":
            (bare / file.name).write_bytes(file.read_bytes())
    assert "chat_template" not in json.loads((bare / "tokenizer_config.json").read_text())
    with pytest.raises(UserError, match="has no chat template"):
        run(context(ModelSettings(source="folder", path=str(bare))))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"source": "folder"}, "path"),
        ({"source": "pretrain", "path": "/model"}, "path"),
        ({"width": 48}, "width 48"),
    ],
)
def test_contradictory_settings_are_refused_by_name(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        ModelSettings.model_validate(settings)


def test_a_text_set_that_is_not_in_the_mirror_is_named(mirror: Path, context: Make) -> None:
    with pytest.raises(UserError, match="data set rlgen/none"):
        run(context(MICRO.model_copy(update={"text": ("rlgen/none",)}), mirror=mirror))
