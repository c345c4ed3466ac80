"""Workflows that must fail: with the right words, the right exit code, and not one attempt too many."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

CASES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.yaml"))}
REFUSED = [name for name, case in CASES.items() if "refused" in case]
FAILS = [name for name in CASES if name not in REFUSED]
SOON = 300
# Small, so that all of them run side by side.
SMALL = (
    *("mirror.problems=20", "mirror.math500=20", "mirror.questions=20", "mirror.conversations=20", "mirror.pages=20"),
    *("mirror.pretraining=2000", "mirror.teaching=20", "base.layers=2", "base.width=32", "base.steps=100"),
    *("pods.mirror.cpu=0.2", "pods.model.cpu=0.2"),
)


def arguments(case, seed):
    settings = [*SMALL, *(f"{name}={value}" for name, value in case["set"].items())]
    settings.append(f"seed={seed}")
    until = case.get("until", [])
    return [
        *(word for one in settings for word in ("--set", one)),
        *(word for one in until for word in ("--until", one)),
    ]


@pytest.fixture(scope="module")
def submitted(cluster, fresh_seeds):
    """The names of the workflows that fail only once they run: all are submitted at once."""

    def submit(case):
        said = cluster.rlgen("submit", "tiny", *arguments(case, next(fresh_seeds)))
        return said.partition(": ")[0]

    with ThreadPoolExecutor() as pool:
        return dict(zip(FAILS, pool.map(submit, (CASES[name] for name in FAILS)), strict=True))


@pytest.mark.parametrize("case", REFUSED)
def test_given_what_can_be_seen_beforehand_when_submitted_then_it_is_refused(cluster, seed, case):
    before = set(cluster.names())

    said = cluster.rlgen("submit", "tiny", *arguments(CASES[case], seed), code=2)

    for words in CASES[case]["refused"]:
        assert words in said
    assert set(cluster.names()) == before


@pytest.mark.timeout(2 * SOON)
@pytest.mark.parametrize("case", FAILS)
def test_given_what_is_seen_only_in_the_pod_when_it_runs_then_it_fails(cluster, tracking, submitted, case):
    expected, name = CASES[case], submitted[case]

    ended = cluster.end(name, SOON)

    assert ended["status"]["phase"] == "Failed"
    attempts = cluster.attempts(name, expected["task"])
    assert len(attempts) == expected["attempts"], [attempt.get("message") for attempt in attempts]
    said = cluster.rlgen("watch", name, code=expected["exit"])
    for words in expected["says"]:
        assert words in said
    key = next(parameter["value"] for parameter in attempts[-1]["inputs"]["parameters"] if parameter["name"] == "key")
    address = f"{attempts[-1]['templateName']}/{key}"
    assert cluster.store.manifest(address) is None
    experiment = tracking.get_experiment_by_name("tiny").experiment_id
    runs = tracking.search_runs([experiment], f"tags.`rlgen.address` = '{address}'")
    assert len(runs) == expected["attempts"]
    assert {run.info.status for run in runs} <= {"FAILED", "KILLED"}
    assert all(run.data.tags["rlgen.message"] for run in runs)
    assert tracking.get_run(runs[0].data.tags["mlflow.parentRunId"]).info.status == "FAILED"
