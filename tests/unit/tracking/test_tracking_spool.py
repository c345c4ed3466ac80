"""The spool: whole events, told apart from a writer that died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking import spool
from rlgen_k8s.tracking.events import Finished, Logged
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.stage_run import open_stage_run
from rlgen_k8s.tracking.submission import open_submission


def test_a_stage_does_not_import_mlflow() -> None:
    code = (
        "import sys, rlgen_k8s.tracking.stage_run, rlgen_k8s.tracking.submission, rlgen_k8s.tracking.recorder;"
        "heavy = {'mlflow', 'pandas', 'torch', 'rich'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_submission_nothing_is_tracked(tmp_path: Path) -> None:
    run = open_stage_run("sft", "sft", "0" * 32, {}, {}, {"RLGEN_HOME": str(tmp_path)})
    run.log({"loss": 1.0}, 1)
    run.finish("failed")
    assert list(tmp_path.iterdir()) == []


def test_each_mlflow_has_a_spool_of_its_own(tmp_path: Path) -> None:
    here = {"RLGEN_HOME": str(tmp_path)}
    assert tracking_uri(here) == f"sqlite:///{tmp_path}/mlflow.db"
    assert spool_folder(here) != spool_folder(here | {"MLFLOW_TRACKING_URI": "http://mlflow:5000"})


def test_events_come_back_as_written_and_a_line_without_its_end_does_not(tmp_path: Path) -> None:
    writer = spool.Writer(tmp_path, "one")
    writer.write(Logged, metrics={"loss": 1.5, "nothing": float("nan"), "much": float("inf")}, step=3)
    with (tmp_path / "one.jsonl").open("a") as file:
        file.write('{"kind": "met')
    ((event, end),) = spool.read(tmp_path, "one")
    assert isinstance(event, Logged)
    assert (event.metrics["loss"], event.metrics["much"], event.step) == (1.5, float("inf"), 3)
    assert event.metrics["nothing"] != event.metrics["nothing"]
    assert (tmp_path / "one.jsonl").read_bytes()[:end].endswith(b"}\n")
    spool.advance(tmp_path, "one", end)
    assert spool.read(tmp_path, "one", spool.position(tmp_path, "one")) == []


def test_a_writer_killed_is_told_from_one_at_work(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from rlgen_k8s.tracking.spool import Writer;"
        "from rlgen_k8s.tracking.events import Logged;"
        f"writer = Writer(Path({str(tmp_path)!r}), 'two'); writer.write(Logged, metrics={{}}, step=1);"
        "print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        spool.end_if_dead(tmp_path, "two")
        assert len(spool.read(tmp_path, "two")) == 1
        os.kill(child.pid, signal.SIGKILL)
    with (tmp_path / "two.jsonl").open("a") as file:
        file.write('{"cut short')
    spool.end_if_dead(tmp_path, "two")
    spool.end_if_dead(tmp_path, "two")
    events = [event for event, _ in spool.read(tmp_path, "two")]
    assert len(events) == 2
    assert isinstance(events[1], Finished)
    assert events[1].status == "killed"


def test_removing_one_writer_leaves_those_whose_name_begins_alike(tmp_path: Path) -> None:
    for name in ("small-1", "small-1+sft+ab"):
        writer = spool.Writer(tmp_path, name)
        writer.finish("done")
    spool.remove(tmp_path, "small-1")
    assert spool.writers(tmp_path) == ["small-1+sft+ab"]


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/spool/.*: cannot be written .*set RLGEN_HOME"):
        open_submission("small", {}, [], {"RLGEN_HOME": str(tmp_path / "file")})
