"""`rlgen-stage` from the outside: what it prints, leaves and returns."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

LINES = "\n".join(f"{step} []" for step in range(5))


def test_a_result_is_made_once_and_then_a_hit(pod: Any) -> None:
    first = pod.run(pod.arguments())
    assert first.returncode == 0, first.stderr
    address = f"counting/{pod.key()}"
    assert (pod.store.fetch(address, pod.root / "to") / "lines").read_text() == LINES
    assert pod.progress_file.read_text() == "5/5\n"
    made = pod.store.manifest(address)
    again = pod.run(pod.arguments())
    assert (again.returncode, again.stdout) == (0, f"count: hit, {address} is in the store\n")
    assert pod.store.manifest(address) == made


def test_inputs_are_results_or_folders_in_them(pod: Any) -> None:
    assert pod.run(pod.arguments()).returncode == 0
    inputs = {"numbers": f"counting/{pod.key()}"}
    second = pod.run(pod.arguments(inputs))
    assert second.returncode == 0, second.stderr
    folder = pod.store.fetch(f"counting/{pod.key(inputs)}", pod.root / "to")
    assert (folder / "numbers.listing").read_text() == "lines"


def test_a_missing_input_is_named(pod: Any) -> None:
    missing = f"counting/{'0' * 32}"
    done = pod.run(pod.arguments({"numbers": missing}))
    assert done.returncode == 2
    assert f"result {missing}: not in the store" in done.stderr


def test_an_altered_input_is_named_before_anything_runs(pod: Any) -> None:
    assert pod.run(pod.arguments()).returncode == 0
    address = f"counting/{pod.key()}"
    (pod.store.fetch(address, pod.root / "to") / "lines").write_text(LINES.replace("3", "4"))
    done = pod.run(pod.arguments({"numbers": address}))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"result {address}: file lines: expected SHA-256")
    assert f"rlgen run WF --rebuild {address}" in done.stderr


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("user", 2, "problems.parquet: column answer is missing; expected problem, answer\n"),
        ("try-again", 75, "the hub did not answer\n"),
        ("crash", 1, "Traceback (most recent call last)"),
    ],
)
def test_the_exit_code_says_whether_to_try_again(pod: Any, ending: str, code: int, said: str) -> None:
    done = pod.run(pod.arguments(ending=ending))
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert pod.store.manifest(f"counting/{pod.key(ending=ending)}") is None
    assert pod.store.blobs.children(f"counting/{pod.key(ending=ending)}/attempts") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--settings": '{"steps": -1}'}, "setting counting.steps: Input should be greater than or equal to 0"),
        ({"--settings": '{"stepps": 1}'}, "setting counting.stepps: Extra inputs are not permitted"),
        ({"--settings": "{"}, "--settings '{': expected a JSON object"),
        ({"--inputs": '{"numbers": "nonsense"}'}, "address 'nonsense': expected stage/key"),
        ({"--stage": "cuonting"}, "stage 'cuonting': expected one of mirror"),
        ({"--settings": '{"steps": 4}'}, "key KEY: stage counting version 1 with these settings and inputs is"),
    ],
)
def test_what_was_not_planned_is_refused_in_one_line(pod: Any, change: dict[str, str], said: str) -> None:
    arguments = dict(argument.split("=", 1) for argument in pod.arguments()) | change
    done = pod.run([f"{name}={value}" for name, value in arguments.items()])
    assert done.returncode == 2
    assert done.stderr.startswith(said.replace("KEY", pod.key()))
    assert done.stderr.count("\n") == 1


def test_sigterm_ends_the_stage_and_what_it_started(pod: Any) -> None:
    process = pod.start(pod.arguments(pause=0.2, steps=1000, helper=True))
    helper = 0
    while not helper:
        line = process.stdout.readline()
        helper = int(line.split()[1]) if line.startswith("helper") else 0
    assert Path(f"/proc/{helper}").exists()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in err
    assert not Path(f"/proc/{helper}").exists()
    assert pod.store.blobs.children(f"counting/{pod.key(pause=0.2, steps=1000, helper=True)}/attempts") == []
    assert list((pod.root / "scratch").glob("*/*")) == []


def test_killed_between_steps_it_goes_on_and_ends_with_the_same_result(pod: Any) -> None:
    arguments, address = pod.arguments(pause=0.1), f"counting/{pod.key(pause=0.1)}"
    resumed = []
    for kill_after in (1, 2, 3):
        process = pod.start(arguments)
        while not _steps_saved(pod, address) >= kill_after:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        resumed.append(int(out.split("going on from step ")[1].split()[0]))
        assert pod.store.manifest(address) is None
    last = pod.run(arguments)
    assert last.returncode == 0, last.stderr
    assert resumed[0] == 0
    assert resumed[1] >= 1
    assert resumed[2] >= 2
    assert (pod.store.fetch(address, pod.root / "to") / "lines").read_text() == LINES
    made = pod.store.manifest(address)
    assert pod.store.blobs.children(address) == ["attempts", "manifest.json", "resume"]
    assert pod.store.blobs.children(f"{address}/attempts") == [made.attempt], "killed attempts are cleaned away"
    assert pod.store.blobs.children(f"{address}/resume") == []
    assert list((pod.root / "scratch").glob("*/*")) == [], "and so is their scratch space"


def _steps_saved(pod: Any, address: str) -> int:
    store = pod.store
    points = store.blobs.children(f"{address}/resume")
    whole = [name for name in points if "manifest.json" in store.blobs.children(f"{address}/resume/{name}")]
    return max((int(name.split("-")[0]) for name in whole), default=0)


def test_processes_that_race_for_one_result_all_succeed(pod: Any) -> None:
    racers = [pod.start(pod.arguments(pause=0.05)) for _ in range(4)]
    ended = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0], ended
    address = f"counting/{pod.key(pause=0.05)}"
    assert (pod.store.fetch(address, pod.root / "to") / "lines").read_text() == LINES
    assert pod.store.blobs.children(f"{address}/attempts") == [pod.store.manifest(address).attempt]
