"""What can be said without running anything: the plan, the settings, the state of the newest run."""

import os
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from rlgen_k8s.cost.estimates import Estimate, estimates
from rlgen_k8s.cost.fits import refuse_what_cannot_fit
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.verdicts import Verdict, judge, reasons
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.costs import cost_table, gpu_hours, hours, totals
from rlgen_k8s.runners.home import home
from rlgen_k8s.runners.local import state
from rlgen_k8s.runners.view import clock, describe
from rlgen_k8s.store.open import open_store
from rlgen_k8s.study.explain import settings_table
from rlgen_k8s.study.load import load_study, rehearses
from rlgen_k8s.study.rehearsal import replaced

WIDE = 160


def console() -> Console:
    """A terminal's own width; wide lines when piped."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=WIDE)


def show_plan(name: str, assignments: list[str], until: list[str]) -> None:
    """Print a verdict a line, and what is still to be paid. Raises `UserError` for what cannot fit."""
    study = load_study(name, assignments)
    store = open_store(home().store)
    verdicts = judge(plan(study), store, until=until)
    todo = [verdict.node for verdict in verdicts if verdict.runs]
    estimated = estimates(study, todo)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "verdict", "result", "cost", "why"):
        table.add_column(heading, no_wrap=heading != "why", overflow="fold")
    for verdict, reason in zip(verdicts, reasons(verdicts, store), strict=True):
        word, style = ("hit", "green") if verdict.manifest else ("run", "yellow") if verdict.runs else ("–", "dim")
        address = f"{verdict.node.stage}/{verdict.node.key[:10]}…"
        table.add_row(verdict.node.name, f"[{style}]{word}[/]", address, _cost(verdict, estimated), reason)
    terminal = console()
    terminal.print(table)
    if estimated:
        terminal.print(cost_table(verdicts, estimated))
        if any(verdict.node.shape.gpus for verdict in verdicts):
            terminal.print(totals(verdicts, estimated, study.cost))
    terminal.print(_totals(name, verdicts, estimated, store.uri))
    if of := rehearses(name):
        terminal.print(f"rehearses {of}: `rlgen settings {name}` says which settings are not that study's own")
    refuse_what_cannot_fit(study, todo, estimated)


def _cost(verdict: Verdict, estimated: Mapping[str, Estimate]) -> str:
    """Measured time and bytes of a hit; expected time and the pod's size otherwise."""
    if verdict.manifest is not None:
        seconds = (verdict.manifest.finished - verdict.manifest.started).total_seconds()
        return f"{clock(seconds)} spent, {size(verdict.manifest.size)}"
    if not verdict.runs:
        return ""
    shape = verdict.node.shape
    gpus = f", {shape.gpus} GPUs" if shape.gpus else ""
    pods = f"{shape.nodes} × " if shape.nodes > 1 else ""
    return f"~{clock(3600 * hours(verdict.node, estimated))} × {pods}{shape.cpu:g} cores, {shape.memory:g} GiB{gpus}"


def _totals(name: str, verdicts: list[Verdict], estimated: Mapping[str, Estimate], uri: str) -> str:
    todo = [verdict.node for verdict in verdicts if verdict.runs]
    hits = [verdict.manifest for verdict in verdicts if verdict.manifest]
    core_minutes = sum(60 * hours(node, estimated) * node.shape.cpu * node.shape.nodes for node in todo)
    on_gpus = sum(gpu_hours(node, estimated) for node in todo)
    return (
        f"{name}: {len(hits)} hits ({size(sum(manifest.size for manifest in hits))}), {len(todo)} to run: "
        f"about {core_minutes:.0f} core-minutes, {on_gpus:.4g} GPU-hours. Store: {uri}"
    )


def size(count: float) -> str:
    """Bytes for people: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def show_settings(name: str, prefix: str, assignments: list[str]) -> None:
    """Print a line a setting."""
    study, own = load_study(name, assignments), {}
    if of := rehearses(name):
        own = {path: f"rehearsal; {of}: {value}" for path, value in replaced(load_study(of), study).items()}
    rows = [row for row in settings_table(study) if row.path.startswith(prefix)]
    if not rows:
        raise UserError(f"settings {prefix}: no field of {name} begins so; `rlgen settings {name}` lists all")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("field", "value", "unit", "meaning", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "field")
    for row in rows:
        table.add_row(row.path, str(row.value), row.unit, row.meaning, own.get(row.path, row.source))
    console().print(table)


def show_status(name: str) -> None:
    """Print the newest run's tasks."""
    folder = home().latest_run(name)
    if folder is None or not (folder / "state.json").exists():
        raise UserError(f"study {name}: has not run here yet; start it with `rlgen run {name}`")
    pid, states = state.load(folder / "state.json")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "phase", "progress", "time", "message"):
        table.add_column(heading)
    for task in states:
        progress = f"{task.done}/{task.total}" if task.total else ""
        table.add_row(task.name, task.phase, progress, describe(task), task.message)
    terminal = console()
    terminal.print(table)
    terminal.print(f"{folder.name}: {'running as process ' + str(pid) if _alive(pid) else 'ended'}; logs in {folder}")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
