"""`rlgen run`: a study on this machine, from its settings to its report."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.cost.fits import refuse_what_cannot_fit
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.verdicts import Verdict, judge
from rlgen_k8s.runners.home import Home, home
from rlgen_k8s.runners.lock import only_run
from rlgen_k8s.runners.reports import copy_report
from rlgen_k8s.runners.states import Phase
from rlgen_k8s.runners.todo import planned, remove_old
from rlgen_k8s.runners.view import LiveView, PlainView, View, clock
from rlgen_k8s.store.open import open_store
from rlgen_k8s.study.load import load_study
from rlgen_k8s.study.settings import Study


def run_study(name: str, assignments: list[str], rebuild: list[str], until: list[str]) -> int:
    """Run what the store does not have; returns the exit code. Raises `UserError` for what the user must mend."""
    study = load_study(name, assignments)
    place = home()
    console = Console(highlight=False)
    with only_run(study.name, place.path / "locks"):
        store = open_store(place.store)
        verdicts = judge(plan(study), store, rebuild, until)
        todo = [verdict.node for verdict in verdicts if verdict.runs]
        refuse_what_cannot_fit(study, todo, estimates(study, todo))
        remove_old(verdicts, store)
        code = _run(study, verdicts, place, console) if todo else 0
        if not todo:
            console.print(f"{study.name}: every result that is needed is there; nothing to run")
        if code == 0 and not until:
            console.print(f"report: {copy_report(study, store, place)}", soft_wrap=True)
    return code


def _run(study: Study, verdicts: list[Verdict], place: Home, console: Console) -> int:
    # Only a run that has something to do pays for Hera's import.
    from rlgen_k8s.dag.place import Place
    from rlgen_k8s.dag.workflow import build_workflow
    from rlgen_k8s.runners.local.run import Stopped, run_tasks
    from rlgen_k8s.runners.local.tasks import read_tasks
    from rlgen_k8s.tracking.events import Status
    from rlgen_k8s.tracking.recorder import start_recorder
    from rlgen_k8s.tracking.submission import open_submission

    environment = dict(os.environ) | {"RLGEN_HOME": str(place.path), "MLFLOW_TRACKING_URI": place.tracking}
    submission = open_submission(study.name, study.model_dump(mode="json"), planned(verdicts), environment)
    workflow = build_workflow(
        study,
        [verdict.node for verdict in verdicts],
        finished={verdict.node.name for verdict in verdicts if not verdict.runs},
        place=Place(store=place.store, tracking=place.tracking, submission=submission.id),
    )
    tasks = read_tasks(workflow.to_dict())
    folder = place.runs / submission.id
    folder.mkdir(parents=True)
    console.print(f"{submission.id}: {len(tasks)} of {len(verdicts)} tasks to run; logs in {folder}", soft_wrap=True)
    recorder = start_recorder(environment)
    began = time.time()
    code = 1
    ended: Status = "failed"
    try:
        with ExitStack() as stack:
            view: View = PlainView(console)
            if console.is_terminal:
                view = stack.enter_context(LiveView(console, submission.id))
            states = run_tasks(tasks, folder, environment, view)
        failures = [state.exit_code for state in states if state.phase is Phase.FAILED]
        code, ended = (2 if 2 in failures else 1, "failed") if failures else (0, "done")
        console.print(f"{submission.id}: {ended} in {clock(time.time() - began)}")
    except Stopped as stopped:
        code, ended = stopped.exit_code, "killed"
        console.print(f"{submission.id}: stopped; `rlgen run {study.name}` goes on from here")
    finally:
        submission.finish(ended)
        left = recorder.stop()
    if left:
        console.print(left, soft_wrap=True)
    return code


def report_of(name: str, assignments: list[str]) -> Path:
    """The path of the study's report, copied out of the store. Raises `UserError` if there is none yet."""
    place = home()
    return copy_report(load_study(name, assignments), open_store(place.store), place)
