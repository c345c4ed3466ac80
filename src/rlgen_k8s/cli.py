"""The commands and nothing else. What a command needs is imported when it runs, so that help comes at once."""

import sys
from typing import Annotated

import typer

from rlgen_k8s.errors import TryAgainError, UserError

app = typer.Typer(
    help="Why does reinforcement learning generalize? The study, from base model to report.\n\n"
    "A study is a file in workflows/ with its settings. `rlgen plan tiny` shows what would run and why, "
    "`rlgen run tiny` runs it here, `rlgen submit tiny` on a cluster with Argo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study's name, for example tiny (workflows/tiny.py).")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a setting, e.g. --set seed=1. Repeatable."),
]
Until = Annotated[
    list[str] | None, typer.Option(metavar="TASK", help="Stop at this task, e.g. evaluate-rl. Repeatable.")
]
Rebuild = Annotated[
    list[str] | None,
    typer.Option(metavar="TASK", help="Make a task's result again, by its name or its address. Repeatable."),
]


@app.command()
def plan(
    study: StudyName,
    set_: Assignments = None,
    until: Until = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Set the estimates beside what this submission took, as MLflow recorded it."),
    ] = None,
) -> None:
    """Show what would run, why, and what it costs.

    Every task: hit (its result is in the store) or run, with the reason. Starts nothing.
    """
    if against is not None:
        from rlgen_k8s.runners import against as past

        past.show_against(study, set_ or [], until or [], against)
        return
    from rlgen_k8s.runners import planning

    planning.show_plan(study, set_ or [], until or [])


@app.command()
def run(
    study: StudyName,
    set_: Assignments = None,
    until: Until = None,
    rebuild: Rebuild = None,
) -> None:
    """Run the study on this machine.

    Finished stages are not run again; a killed run goes on where it was. Ctrl-C stops it cleanly.
    """
    from rlgen_k8s.runners import here

    raise typer.Exit(here.run_study(study, set_ or [], rebuild or [], until or []))


Namespace = Annotated[
    str | None,
    typer.Option(envvar="RLGEN_NAMESPACE", help="Namespace of the platform; default: the context's, or rlgen."),
]
WorkflowName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A workflow, e.g. tiny-1a2b3c4d. Default: the newest.")
]


@app.command()
def submit(
    study: StudyName,
    set_: Assignments = None,
    until: Until = None,
    rebuild: Rebuild = None,
    namespace: Namespace = None,
) -> None:
    """Submit the study to Argo on the current cluster.

    Only what the store there does not have. Checks first what the submission needs, as `rlgen doctor` does.
    """
    from rlgen_k8s.runners.argo import submit as argo

    raise typer.Exit(argo.submit(study, set_ or [], rebuild or [], until or [], namespace))


@app.command()
def watch(name: WorkflowName = None, namespace: Namespace = None) -> None:
    """Follow a workflow's tasks to its end.

    Why tasks wait, how far they are, how they failed. Exit code 0; 1 when it failed; 2 when you have to mend something.
    """
    from rlgen_k8s.runners.argo import watch as argo

    raise typer.Exit(argo.watch(name, namespace))


@app.command()
def logs(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task, e.g. grpo.")],
    name: WorkflowName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task's end.")] = False,
    namespace: Namespace = None,
) -> None:
    """Print the log of a task's newest attempt.

    From its pod, or from the archive once the pod is gone.
    """
    from rlgen_k8s.runners.argo import logs as argo

    argo.show_logs(task, name, follow, namespace)


@app.command()
def stop(name: WorkflowName = None, namespace: Namespace = None) -> None:
    """Stop a workflow. What is finished stays."""
    from rlgen_k8s.runners.argo import submit as argo

    argo.stop_workflow(name, namespace)


@app.command()
def resubmit(name: WorkflowName = None, namespace: Namespace = None) -> None:
    """Submit a workflow's study again.

    With that workflow's settings. Only what is missing runs.
    """
    from rlgen_k8s.runners.argo import submit as argo

    raise typer.Exit(argo.resubmit(name, namespace))


@app.command()
def doctor(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="A study whose pods are to fit.")] = None,
    set_: Assignments = None,
    namespace: Namespace = None,
) -> None:
    """Check what a submission needs.

    One line a check, with what to do. Exit code 2 when one fails.
    """
    from rlgen_k8s.runners.argo.doctor import run as argo

    raise typer.Exit(argo.doctor(study, set_ or [], namespace))


@app.command()
def render(study: StudyName, set_: Assignments = None) -> None:
    """Print the Argo Workflow as YAML.

    It is the same object that `rlgen run` executes, with every task and no addresses of this machine.
    """
    from rlgen_k8s.dag.nodes import plan as nodes
    from rlgen_k8s.dag.workflow import build_workflow
    from rlgen_k8s.study.load import load_study

    loaded = load_study(study, set_)
    print(build_workflow(loaded, nodes(loaded)).to_yaml(), end="")


@app.command()
def draw(study: StudyName, set_: Assignments = None) -> None:
    """Print the DAG as an SVG picture."""
    from rlgen_k8s.dag.nodes import plan as nodes
    from rlgen_k8s.stages.report.dag import dag_svg
    from rlgen_k8s.study.load import load_study

    tasks = [(node.name, [item.name for item in node.dependencies]) for node in nodes(load_study(study, set_))]
    print(dag_svg(tasks))


@app.command()
def settings(
    study: StudyName,
    prefix: Annotated[str, typer.Argument(help="Only fields that begin so, e.g. grpo.")] = "",
    set_: Assignments = None,
) -> None:
    """Explain every setting.

    Value, unit, meaning, and where each value comes from.
    """
    from rlgen_k8s.runners import planning

    planning.show_settings(study, prefix, set_ or [])


@app.command()
def status(study: StudyName) -> None:
    """Show the newest run's tasks.

    Their progress, times, and where their logs are.
    """
    from rlgen_k8s.runners import planning

    planning.show_status(study)


@app.command()
def report(study: StudyName, set_: Assignments = None) -> None:
    """Print where the study's report is."""
    from rlgen_k8s.runners import here

    print(here.report_of(study, set_ or []))


@app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A submission, e.g. tiny-20260131-093000, its workflow, e.g. tiny-1a2b3c4d, or a study (its newest).",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> None:
    """Compare two submissions.

    Settings that differ, metrics and curves side by side. From MLflow.
    """
    import os

    from rlgen_k8s.tracking.compare import compare as compared
    from rlgen_k8s.tracking.compare import render_comparison

    print(render_comparison(compared(first, second, os.environ)))


@app.command()
def lineage(
    address: Annotated[str, typer.Argument(help="A result's address, stage/key, as `rlgen plan` shows it.")],
) -> None:
    """Show what a result was made from.

    A tree of runs back to the data. From MLflow.
    """
    import os

    from rlgen_k8s.tracking.lineage import render_tree, walk

    print(render_tree(walk(address, os.environ)))


@app.command()
def mlflow(port: Annotated[int, typer.Option(help="Port of the UI on this machine.")] = 5000) -> None:
    """Open MLflow's UI, until Ctrl-C."""
    import os

    from rlgen_k8s.tracking.server import serve

    raise typer.Exit(serve(port, os.environ))


def main() -> None:
    """Entry point. What the user must mend is one line on stderr and exit code 2."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        sys.exit("error: Python 3.11 or 3.12 is needed")
    try:
        app()
    except (UserError, TryAgainError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
