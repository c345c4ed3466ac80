import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.fingerprint import fingerprint
from rlgen_k8s.lm.hub import inside_mirror, load_set
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.mirror.run import run
from rlgen_k8s.stages.mirror.settings import NEEDED, MirrorSettings
from rlgen_k8s.world.facts import create
from rlgen_k8s.world.sets import Sizes, build, questions
from rlgen_k8s.world.tasks import TASKS

Rows = Callable[..., list[dict[str, Any]]]

# The columns of the real sets, as their cards on the hub have them.
COLUMNS = {
    ("DigitalLearningGmbH/MATH-lighteval", "train"): "problem level type solution",
    ("agentica-org/DeepScaleR-Preview-Dataset", "train"): "problem answer solution",
    ("open-thoughts/OpenThoughts-114k", "train"): "system conversations",
    ("togethercomputer/RedPajama-Data-1T-Sample", "train"): "text meta red_pajama_subset",
    ("HuggingFaceH4/MATH-500", "test"): "problem solution answer subject level unique_id",
    ("Maxwell-Jia/AIME_2024", "train"): "ID Problem Solution Answer",
    ("math-ai/aime25", "test"): "problem answer id",
    ("allenai/openbookqa", "test"): "id question_stem choices answerKey",
    ("tau/commonsense_qa", "validation"): "id question question_concept choices answerKey",
    ("EleutherAI/headqa", "test"): "name year category qid qtext ra answers",
    ("allenai/sciq", "test"): "question distractor3 distractor1 distractor2 correct_answer support",
    ("allenai/ai2_arc", "test"): "id question choices answerKey",
    ("EleutherAI/logiqa", "test"): "label context question options",
    ("baber/piqa", "validation"): "goal sol1 sol2 label",
}


def digest(folder: Path) -> str:
    """Of all files in a folder, with their names."""
    digests = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digests.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digests.hexdigest()


@pytest.mark.parametrize(("hub", "split"), COLUMNS)
def test_each_set_has_the_columns_of_the_real_one(mirror: Path, rows: Rows, hub: str, split: str) -> None:
    made = rows(mirror, hub, split)
    assert made
    assert all(list(row) == COLUMNS[hub, split].split() for row in made)


@pytest.fixture(scope="module")
def harness(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The harness's own tasks, unmodified, on the mirror."""
    from lm_eval.tasks import TaskManager, get_task_dict

    with inside_mirror(mirror, tmp_path_factory.mktemp("harness")):
        tasks: dict[str, Any] = get_task_dict([*TASKS, "aime24", "aime25"], TaskManager())
    return tasks


def test_the_harness_s_unmodified_tasks_read_every_item(harness: dict[str, Any]) -> None:
    assert {name: len(task.eval_docs) for name, task in harness.items()} == dict.fromkeys(TASKS, 120) | {
        "aime24": 30,
        "aime25": 30,
    }
    for name in TASKS:
        asked = {
            (harness[name].doc_to_text(doc), tuple(harness[name].doc_to_choice(doc))) for doc in harness[name].eval_docs
        }
        assert len(asked) == 120
    for name in ("aime24", "aime25"):
        assert all(harness[name].doc_to_target(doc).isdigit() for doc in harness[name].eval_docs)


def _right_choice(task: Any, doc: dict[str, Any]) -> str:
    target, choices = task.doc_to_target(doc), task.doc_to_choice(doc)
    return str(choices[target] if isinstance(target, int) else target)


@pytest.mark.parametrize("name", TASKS)
def test_pre_training_texts_use_the_harness_s_own_wording(name: str, harness: dict[str, Any]) -> None:
    world, rng, task = create(0), random.Random(1), harness[name]
    for number in range(20):
        item = TASKS[name].make(world, rng)
        doc = TASKS[name].row(item, number)
        assert TASKS[name].document(item) == f"{task.doc_to_text(doc)} {_right_choice(task, doc)}"


def test_no_evaluation_problem_or_question_is_in_any_training_text(mirror: Path, rows: Rows) -> None:
    training = [
        row["text"] for name in ("pretraining", "teaching") for row in rows(mirror, f"rlgen/tiny-{name}", "train")
    ]
    training += [row["text"] for row in rows(mirror, "togethercomputer/RedPajama-Data-1T-Sample", "train")]
    training += [
        turn["value"]
        for row in rows(mirror, "open-thoughts/OpenThoughts-114k", "train")
        for turn in row["conversations"]
    ]
    training += [row["problem"] for hub in NEEDED[:2] for row in rows(mirror, hub, "train")]
    problems = [row["problem"] for row in rows(mirror, "HuggingFaceH4/MATH-500", "test")]
    problems += [row["Problem"] for row in rows(mirror, "Maxwell-Jia/AIME_2024", "train")]
    problems += [row["problem"] for row in rows(mirror, "math-ai/aime25", "test")]
    held_out = {fingerprint(text) for text in problems}
    assert len(held_out) == 60 + 30 + 30
    parts = {fingerprint(part) for text in training for part in re.split(r"<\|im_start\|>user\n|<\|im_end\|>", text)}
    assert not held_out & parts
    everything = "\n\n".join(training)
    assert not [text for text in problems if text in everything]

    asked = {
        (question, "".join(re.findall("Passage: (.*)", text)), frozenset(re.findall(r"(?m)^[A-E]\. (\w+)$", text)))
        for page in training
        for text in page.split("\n\n")
        for question in re.findall("Question: (.*)", text)
    }
    assert sum(len(options) == 5 for _, _, options in asked) > 50
    for row in rows(mirror, "tau/commonsense_qa", "validation"):
        assert (row["question"], "", frozenset(row["choices"]["text"])) not in asked
    for row in rows(mirror, "EleutherAI/logiqa", "test"):
        assert (row["question"], row["context"], frozenset(row["options"])) not in asked


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    sizes = Sizes(problems=20, questions=20, math500=20, conversations=20, pages=20, pretraining=50, teaching=50)
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        build(tmp_path / name, sizes, seed, lambda done, total: None)
    assert digest(tmp_path / "one") == digest(tmp_path / "again")
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_two_mirrors_of_the_same_names_are_not_mixed_up(mirror: Path, tmp_path: Path) -> None:
    sizes = Sizes(problems=7, questions=20, math500=20, conversations=20, pages=20, pretraining=20, teaching=20)
    build(tmp_path / "other", sizes, 0, lambda done, total: None)
    name = "agentica-org/DeepScaleR-Preview-Dataset"
    assert len(load_set(mirror, name, split="train", scratch=tmp_path / "a")) == 150
    assert len(load_set(tmp_path / "other", name, split="train", scratch=tmp_path / "b")) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "no/such"}, "data set no/such: not in the mirror"),
        ({"name": "allenai/openbookqa", "config": "additional"}, "configuration additional"),
        ({"name": "math-ai/aime25", "split": "train"}, "split train"),
    ],
)
def test_a_set_that_is_not_there_is_named(
    mirror: Path, tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_set(mirror, **{"split": "test"} | arguments, scratch=tmp_path)  # type: ignore[arg-type]


def test_a_user_s_folder_is_copied_whole(mirror: Path, context: Callable[..., Context[Any]]) -> None:
    made = context(MirrorSettings(kind="folder", path=str(mirror)))
    run(made)
    assert digest(made.out) == digest(mirror)


def test_a_user_s_folder_without_a_set_is_refused_by_name(
    own_mirror: Path, context: Callable[..., Context[Any]]
) -> None:
    (own_mirror / "baber/piqa/README.md").unlink()
    with pytest.raises(UserError, match=r"mirror\.path .*: has no baber/piqa; expected"):
        run(context(MirrorSettings(kind="folder", path=str(own_mirror))))


@pytest.mark.parametrize("settings", [{"kind": "folder"}, {"kind": "world", "path": "/data"}])
def test_kind_and_path_must_agree(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="path"):
        MirrorSettings.model_validate(settings)


def test_more_questions_than_there_are_is_refused() -> None:
    world = create(0, animals=1)
    with pytest.raises(UserError, match="questions 200: allenai/openbookqa has fewer different items"):
        questions(world, TASKS["openbookqa"], 200, random.Random(0), held_out=True)
