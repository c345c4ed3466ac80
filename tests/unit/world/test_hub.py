"""Models and data sets from a hub: a server that speaks its interface, over a folder in its layout."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.lm.hub import load_set
from rlgen_k8s.lm.load import load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.corpus.documents import CONVERSATIONS, TEXT
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.stages.mirror.run import run as run_mirror
from rlgen_k8s.stages.mirror.settings import NEEDED, MirrorSettings
from rlgen_k8s.stages.model.run import run as run_model
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.problems.sources import DEEPSCALER, read_deepscaler
from rlgen_k8s.store.open import open_store

Make = Callable[..., Context[Any]]
CONVERTED = "EleutherAI/logiqa"
REVISIONS = {**dict.fromkeys(NEEDED, "main"), CONVERTED: "refs/convert/parquet"}


@pytest.fixture
def hub(mirror: Path, tmp_path: Path, server: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The made-up sets, some of them in the layouts that sets have on the hub."""
    root = tmp_path / "hub"
    shutil.copytree(mirror, root / "datasets")
    records = [{"problem": f"{k}+1?", "answer": str(k + 1), "solution": ""} for k in range(3)]
    _replace(root / "datasets" / DEEPSCALER, {"deepscaler.json": json.dumps(records)}, "license: mit")
    pages = {
        "book_sample.jsonl": _lines({"meta": {"title": "T", "pages": 3}, "text": "a book"}),
        "c4_sample.jsonl": _lines({"text": "a page", "meta": "web"}, {"text": "", "meta": None}),
    }
    _replace(root / "datasets" / TEXT, pages, "license: [a, b]")
    talks = root / "datasets" / CONVERSATIONS
    (talks / "default").rename(talks / "data")
    (talks / "README.md").write_text((talks / "README.md").read_text().replace("path: default/", "path: data/"))
    (talks / "metadata").mkdir()
    (talks / "metadata/train-00000-of-00001.parquet").write_bytes(b"another configuration")
    converted = root / "datasets" / CONVERTED
    for file in list(converted.rglob("*.parquet")):
        split = file.with_name(file.name.partition("-")[0])
        split.mkdir()
        file.rename(split / "0000.parquet")
    (converted / "README.md").unlink()
    with server.serve(root) as endpoint:
        server.point_to(endpoint, monkeypatch)
        yield server.Hub


def _lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _replace(folder: Path, files: dict[str, str], front: str) -> None:
    for file in folder.rglob("*.parquet"):
        file.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "README.md").write_text(f"---\n{front}\n---\nA card.\n")


def test_a_mirror_of_the_hub_is_read_as_any_other(
    hub: Any, server: ModuleType, mirror: Path, context: Make, tmp_path: Path
) -> None:
    made = context(MirrorSettings(kind="hub", revisions=REVISIONS))
    run_mirror(made)
    assert [problem.answer for problem in read_deepscaler(made.out, tmp_path / "a")] == ["1", "2", "3"]
    pages = load_set(made.out, TEXT, split="train", scratch=tmp_path / "b")
    assert pages["text"] == ["a book", "a page", ""]
    assert json.loads(pages["meta"][0]) == {"title": "T", "pages": 3}
    for name, config, split in (
        (CONVERSATIONS, None, "train"),
        ("math-ai/aime25", None, "test"),
        (CONVERTED, "logiqa", "test"),
    ):
        ours = load_set(made.out, name, config, split=split, scratch=tmp_path / "c")
        theirs = load_set(mirror, name, config, split=split, scratch=tmp_path / "d")
        assert ours.to_list() == theirs.to_list()
    assert not any("metadata" in file for file in hub.sent)
    recorded = json.loads((made.out / "mirror.json").read_text())
    assert recorded[DEEPSCALER] == {"revision": "main", "commit": server.COMMIT, "licence": "mit", "rows": 3}
    assert (recorded[TEXT]["licence"], recorded[TEXT]["rows"]) == ("a, b", 3)
    assert list(recorded) == list(NEEDED)
    assert not list(made.out.rglob(".cache"))


def test_a_mirror_goes_on_with_the_files_that_are_missing(hub: Any, context: Make, tmp_path: Path) -> None:
    settings = MirrorSettings(kind="hub", revisions=REVISIONS)
    resume = StoredResume(open_store(str(tmp_path / "store")), "mirror/0", "0a", tmp_path / "points")
    whole = context(settings, name="whole")
    run_mirror(whole)
    size = hub.sent.total()
    hub.sent.clear()
    hub.left = size // 2
    with pytest.raises(TryAgainError):
        run_mirror(context(settings, name="broken", resume=resume))
    *_, lost = hub.sent.values()
    hub.left = None
    for name in ("again", "once more"):  # the second changes cards that are the first one's, too
        again = context(settings, name=name, resume=resume)
        run_mirror(again)
        for file in (path for path in whole.out.rglob("*") if path.is_file()):
            assert (again.out / file.relative_to(whole.out)).read_bytes() == file.read_bytes()
    assert hub.sent.total() == size + lost


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revision": "v9"}, r"mirror\.revisions\[math-ai/aime25\]=math-ai/aime25: has no revision v9"),
        ({"gone": True}, r"math-ai/aime25: the hub has no such dataset"),
        ({"gated": True}, r"math-ai/aime25: the hub asks for consent; .* HF_TOKEN"),
    ],
)
def test_what_the_hub_does_not_give_is_named(hub: Any, context: Make, change: dict[str, Any], message: str) -> None:
    name = "math-ai/aime25"
    if "gone" in change:
        shutil.rmtree(hub.root / "datasets" / name)
    if "gated" in change:
        hub.gated.add(name)
    with pytest.raises(UserError, match=message) as raised:
        run_mirror(context(MirrorSettings(kind="hub", revisions=REVISIONS | {name: change.get("revision", "main")})))
    assert "\n" not in str(raised.value)


def test_a_hub_that_does_not_answer_is_tried_again(
    server: ModuleType, context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.point_to("http://127.0.0.1:1", monkeypatch)
    with pytest.raises(TryAgainError, match=r"hub http://127\.0\.0\.1:1, dataset DigitalLearning"):
        run_mirror(context(MirrorSettings(kind="hub", revisions=REVISIONS)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "hub"}, "revisions: give them with kind hub"),
        ({"kind": "world", "revisions": REVISIONS}, "revisions: give them with kind hub"),
        ({"kind": "hub", "revisions": {"a/b": "main"}}, "revisions: has none for DigitalLearning"),
        ({"kind": "hub", "revisions": REVISIONS, "path": "/data"}, "kind hub reads no folder"),
    ],
)
def test_revisions_go_with_the_hub(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MirrorSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "hub"}, "repository: give it with source hub"),
        ({"source": "hub", "repository": "a/b"}, "revision: give it with source hub"),
        ({"repository": "a/b"}, "repository: give it with source hub"),
        ({"source": "hub", "repository": "a/b", "revision": "main", "path": "/m"}, "source hub reads no folder"),
        ({"chat_template": "chatml"}, "chat_template: source pretrain has one"),
    ],
)
def test_repository_and_revision_go_with_the_hub(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("own", "dated: Why?"),
        ("chatml", "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"),
        (
            "llama3",
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_a_model_of_the_hub_comes_with_its_chat_template_or_the_study_s(
    hub: Any, model: Path, context: Make, template: Literal["own", "chatml", "llama3"], prompt: str
) -> None:
    shutil.copytree(model, hub.root / "models/made/up")
    settings = ModelSettings(source="hub", repository="made/up", revision="main", chat_template=template)
    made = context(settings)
    run_model(made)
    asked = [{"role": "user", "content": "Why?"}]
    assert load_tokenizer(made.out).apply_chat_template(asked, tokenize=False, add_generation_prompt=True) == prompt
    assert not list(made.out.glob("*.bin"))
