"""`rlgen submit` and `rlgen resubmit`: what the store does not have yet, as one workflow on Argo."""

import json
from typing import Any

from rich.console import Console

from rlgen_k8s.dag.names import SETTINGS
from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.place import Place, workflow_name
from rlgen_k8s.dag.verdicts import Verdict, judge
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.api import Cluster, connect
from rlgen_k8s.runners.argo.doctor.check import Situation
from rlgen_k8s.runners.argo.doctor.registry import pinned
from rlgen_k8s.runners.argo.doctor.run import examine, show
from rlgen_k8s.runners.argo.links import argo_link, mlflow_link
from rlgen_k8s.runners.argo.lost import close_lost
from rlgen_k8s.runners.argo.platform import ANSWER_SECONDS, image_of, read_platform, shared_store
from rlgen_k8s.runners.argo.workflows import (
    UNTIL_ANNOTATION,
    already_running,
    create,
    ended,
    find,
    free_name,
    name_of,
    of_study,
    stop,
)
from rlgen_k8s.runners.home import home
from rlgen_k8s.runners.reports import copy_report
from rlgen_k8s.runners.todo import planned, remove_old
from rlgen_k8s.study.load import load_study
from rlgen_k8s.study.settings import Study


def submit(name: str, assignments: list[str], rebuild: list[str], until: list[str], namespace: str | None) -> int:
    """Submit a study; returns the exit code. Raises `UserError` for what the user must mend."""
    return _submit(load_study(name, assignments), rebuild, until, connect(namespace))


def resubmit(name: str | None, namespace: str | None) -> int:
    """Submit again what a workflow (None: the newest) was to make and did not."""
    cluster = connect(namespace)
    annotations = find(cluster, name)["metadata"]["annotations"]
    study = Study.model_validate_json(annotations[SETTINGS])
    return _submit(study, [], json.loads(annotations.get(UNTIL_ANNOTATION, "[]")), cluster)


def stop_workflow(name: str | None, namespace: str | None) -> None:
    """Stop a workflow (None: the newest)."""
    cluster = connect(namespace)
    workflow = find(cluster, name)
    if ended(workflow):
        print(f"{name_of(workflow)}: has ended already; nothing to stop")
        return
    stop(cluster, name_of(workflow))
    print(f"{name_of(workflow)}: stopping; `rlgen resubmit {name_of(workflow)}` goes on from what is in the store")


def _submit(study: Study, rebuild: list[str], until: list[str], cluster: Cluster) -> int:
    console = Console(highlight=False, soft_wrap=True)
    platform = read_platform(cluster)
    with shared_store(cluster, platform) as store:
        verdicts = judge(plan(study), store, rebuild, until)
        todo = [verdict.node for verdict in verdicts if verdict.runs]
        if not todo:
            console.print(f"{study.name}: every result that is needed is there; nothing to run")
            if not until:
                console.print(f"report: {copy_report(study, store, home())}")
            return 0
        known = of_study(cluster, study.name)
        if running := already_running({node.address for node in todo}, known):
            return _adopt(running, console)
        image, image_vllm = (
            pinned(image_of(platform, study, field), ANSWER_SECONDS) for field in ("image", "image_vllm")
        )
        situation = Situation(cluster, platform, store, image, image_vllm, study, todo)
        failures = [check for check in examine(situation) if check.ok is False]
        if failures:
            show(failures, console)
            raise UserError(f"{study.name}: not submitted, {len(failures)} checks failed; `rlgen doctor` shows all")
        remove_old(verdicts, store)
        close_lost(cluster, platform, store)
        base = workflow_name(study.name, (node.address for node in todo))
        name = free_name(base, map(name_of, known))
        if not _send(study, verdicts, until, name, situation):
            return _adopt(name, console)
    console.print(f"{name}: submitted, {len(todo)} of {len(verdicts)} tasks to run")
    console.print(f"  Argo:   {argo_link(cluster, platform, name)}")
    console.print(f"  MLflow: {mlflow_link(cluster, platform, study.name)}")
    console.print(f"  follow: rlgen watch {name}")
    return 0


def _adopt(name: str, console: Console) -> int:
    console.print(f"{name}: already running; `rlgen watch {name}` follows it")
    return 0


def _send(study: Study, verdicts: list[Verdict], until: list[str], name: str, situation: Situation) -> bool:
    """Create the workflow and announce its submission. False when a workflow of this name was there first."""
    # Only what is really sent pays for Hera's import.
    from rlgen_k8s.dag.workflow import build_workflow
    from rlgen_k8s.tracking.submission import PLATFORM, WORKFLOW, announce_submission, submission_id

    platform, identity = situation.platform, submission_id(study.name)
    workflow = build_workflow(
        study,
        [verdict.node for verdict in verdicts],
        finished={verdict.node.name for verdict in verdicts if not verdict.runs},
        place=Place(
            store=platform.store,
            tracking=platform.tracking,
            submission=identity,
            image=situation.image,
            image_vllm=situation.image_vllm,
            service_account=platform.service_account,
            executor_service_account=platform.executor_service_account,
            store_secret=platform.store_secret,
            queue=platform.stages_queue,
            cache=platform.cache_claim,
        ),
        name=name,
    )
    manifest: dict[str, Any] = workflow.to_dict()
    manifest["metadata"]["annotations"][UNTIL_ANNOTATION] = json.dumps(until)
    if not create(situation.cluster, manifest):
        return False
    tags = {PLATFORM: platform.uid, WORKFLOW: name}
    announce_submission(identity, study.name, study.model_dump(mode="json"), planned(verdicts), situation.store, tags)
    return True
