"""The local runner executes a built Hera workflow as Argo would: order, fan-out, `when`, retries, failure."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hera.workflows import DAG, Container, Env, Parameter, Resources, RetryStrategy, Step, Steps, Task, Workflow
from hera.workflows.models import Backoff
from rich.console import Console
from tests.unit.alive import running

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.local import state
from rlgen_k8s.runners.local.run import run_tasks
from rlgen_k8s.runners.local.schedule import by_urgency, fitting
from rlgen_k8s.runners.local.tasks import LocalTask, read_tasks
from rlgen_k8s.runners.states import Phase
from rlgen_k8s.runners.view import PlainView


def shell(name: str, script: str, **more) -> Container:
    return Container(name=name, image="none", command=["sh", "-c"], args=[script], **more)


def workflow(build) -> dict:
    with Workflow(generate_name="t-", entrypoint="main", arguments=[Parameter(name="who", value="world")]) as built:
        build()
    return built.to_dict()


def run(build, folder: Path) -> dict[str, state.TaskState]:
    states = run_tasks(read_tasks(workflow(build)), folder, os.environ, PlainView(Console(quiet=True)))
    return {task.name: task for task in states}


def test_tasks_run_after_what_they_wait_for_with_their_parameters(tmp_path):
    def build():
        say = shell(
            "say",
            "echo {{inputs.parameters.word}} $GREETED >> " + str(tmp_path / "order"),
            inputs=[Parameter(name="word")],
            env=[Env(name="GREETED", value="{{workflow.parameters.who}}")],
        )
        with DAG(name="main"):
            first = Task(name="first", template=say, arguments=[Parameter(name="word", value="a")])
            second = Task(name="second", template=say, arguments=[Parameter(name="word", value="b")])
            third = Task(name="third", template=say, arguments=[Parameter(name="word", value="c")])
            first >> second >> third

    states = run(build, tmp_path)
    assert (tmp_path / "order").read_text().splitlines() == ["a world", "b world", "c world"]
    assert {task.phase for task in states.values()} == {Phase.SUCCEEDED}


def test_fan_out_runs_once_for_each_item_and_when_skips(tmp_path):
    def build():
        touch = shell("touch", f"touch {tmp_path}/{{{{inputs.parameters.x}}}}", inputs=[Parameter(name="x")])
        with DAG(name="main"):
            fan = Task(
                name="fan",
                template=touch,
                with_items=[{"k": 1}, {"k": 2}],
                arguments=[Parameter(name="x", value="f{{item.k}}")],
            )
            no = Task(name="no", template=touch, when="1 > 2", arguments=[Parameter(name="x", value="never")])
            last = Task(name="last", template=touch, arguments=[Parameter(name="x", value="last")])
            [fan, no] >> last

    states = run(build, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"f1", "f2", "last"}
    assert not (tmp_path / "never").exists()
    assert states["no"].phase is Phase.SKIPPED
    assert states["fan(0:k:1)"].phase is states["fan(1:k:2)"].phase is states["last"].phase is Phase.SUCCEEDED


RETRY = RetryStrategy(
    limit=3, retry_policy="Always", expression="asInt(lastRetry.exitCode) in [75, 137]", backoff=Backoff(duration="0s")
)


@pytest.mark.parametrize(("end", "attempts", "phase"), [("exit 75", 4, Phase.FAILED), ("exit 2", 1, Phase.FAILED)])
def test_the_retry_rule_decides_what_is_tried_again(tmp_path, end, attempts, phase):
    def build():
        template = shell("t", end, retry_strategy=RETRY)
        with DAG(name="main"):
            Task(name="only", template=template)

    states = run(build, tmp_path)
    assert states["only"].attempts == attempts
    assert states["only"].phase is phase


def test_a_task_killed_by_a_signal_is_tried_again_and_can_succeed(tmp_path):
    def build():
        mark = tmp_path / "mark"
        template = shell("t", f"test -e {mark} || {{ touch {mark}; kill -9 $$; }}", retry_strategy=RETRY)
        with DAG(name="main"):
            Task(name="only", template=template)

    states = run(build, tmp_path)
    assert (states["only"].phase, states["only"].attempts) == (Phase.SUCCEEDED, 2)


def test_after_a_failure_nothing_new_starts_and_the_message_names_code_and_log(tmp_path):
    def build():
        with DAG(name="main"):
            bad = Task(name="bad", template=shell("bad", "echo the reason; exit 2"))
            bad >> Task(name="next", template=shell("next", f"touch {tmp_path}/next"))

    states = run(build, tmp_path)
    assert states["next"].phase is Phase.OMITTED
    assert not (tmp_path / "next").exists()
    assert "exit code 2" in states["bad"].message
    assert str(tmp_path / "bad.log") in states["bad"].message
    assert "the reason" in (tmp_path / "bad.log").read_text()


def test_progress_is_what_the_task_wrote(tmp_path):
    def build():
        with DAG(name="main"):
            Task(name="only", template=shell("t", "echo 3/7 > $ARGO_PROGRESS_FILE; sleep 0.3"))

    assert (run(build, tmp_path)["only"].done, state.load(tmp_path / "state.json")[1][0].total) == (3, 7)


def test_what_cannot_run_here_is_refused_by_name_before_anything_starts():
    def steps():
        template = shell("t", "true")
        with Steps(name="main"):
            Step(name="only", template=template)

    def depends():
        template = shell("t", "true")
        with DAG(name="main"):
            Task(name="a", template=template)
            Task(name="b", template=template, depends="a.Failed")

    def output():
        template = shell("t", "true", outputs=[Parameter(name="x", value_from={"path": "/x"})])
        with DAG(name="main"):
            Task(name="only", template=template)

    def total_time():
        retries = RetryStrategy(limit=1, retry_policy="Always", backoff=Backoff(max_duration="1m"))
        template = shell("t", "true", retry_strategy=retries)
        with DAG(name="main"):
            Task(name="only", template=template)

    with pytest.raises(UserError, match="template t: backoff: maxDuration is not supported"):
        read_tasks(workflow(total_time))
    with pytest.raises(UserError, match="main: steps is not supported"):
        read_tasks(workflow(steps))
    with pytest.raises(UserError, match=r"task b: depends 'a\.Failed' is not supported"):
        read_tasks(workflow(depends))
    with pytest.raises(UserError, match="template t: outputs: parameters is not supported"):
        read_tasks(workflow(output))


def test_requests_are_reservations_and_a_large_task_runs_alone():
    def task(name, cpu, after=(), minutes=1.0):
        return LocalTask(name, after, ("true",), {}, cpu, 0.0, minutes)

    small, large = task("small", 1), task("large", 8)
    assert fitting([small, small, small], [], 2, 1e9) == [small, small]
    assert fitting([large, small], [], 2, 1e9) == [large]
    assert fitting([large, small], [small], 2, 1e9) == []
    chain = [task("a", 1), task("b", 1), task("c", 1, ("b",), 9.0)]
    assert [t.name for t in by_urgency(chain[:2], chain)] == ["b", "a"]


def test_requests_and_limits_are_read_in_kubernetes_units():
    def build():
        template = shell("t", "true", resources=Resources(cpu_request="500m", memory_request="2Gi"))
        with DAG(name="main"):
            Task(name="only", template=template)

    (task,) = read_tasks(workflow(build))
    assert (task.cpu, task.memory) == (0.5, 2 * 2**30)


RUN = """
    import os, sys
    from pathlib import Path
    from rich.console import Console
    from rlgen_k8s.runners.local.run import Stopped, run_tasks
    from rlgen_k8s.runners.local.tasks import LocalTask
    from rlgen_k8s.runners.view import PlainView
    folder = Path(sys.argv[1])
    script = f"echo $$ > {folder}/pid; sleep 300 & echo $! > {folder}/grandchild; wait"
    try:
        run_tasks([LocalTask("only", (), ("sh", "-c", script), {}, 1, 0)], folder, os.environ, PlainView(Console()))
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
"""


def wait_until(holds, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_no_child_outlives_the_runner(tmp_path, signum, code):
    runner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(RUN), str(tmp_path)], start_new_session=True)
    wait_until(lambda: (tmp_path / "grandchild").exists() and (tmp_path / "grandchild").read_text().strip())
    children = [int((tmp_path / name).read_text()) for name in ("pid", "grandchild")]
    assert all(running(pid) for pid in children)
    runner.send_signal(signum)
    assert runner.wait(30) == code
    wait_until(lambda: not any(running(pid) for pid in children))
