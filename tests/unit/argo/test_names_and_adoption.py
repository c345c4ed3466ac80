"""What a workflow is called, and when a submission finds that its work is being done already."""

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.dag.place import workflow_name
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.runners.argo.workflows import addresses, already_running, free_name
from rlgen_k8s.study.load import load_study


def tiny(*finished, phase="Running", **spec):
    workflow = build_workflow(load_study("tiny"), plan(load_study("tiny")), finished=finished).to_dict()
    return {**workflow, "spec": {**workflow["spec"], **spec}, "status": {"phase": phase}}


def test_the_first_free_name_is_taken():
    assert free_name("tiny-1a2b3c4d", []) == "tiny-1a2b3c4d"
    assert free_name("tiny-1a2b3c4d", ["tiny-1a2b3c4d", "tiny-1a2b3c4d-3"]) == "tiny-1a2b3c4d-2"
    assert free_name("tiny-1a2b3c4d", ["tiny-1a2b3c4d", "tiny-1a2b3c4d-2"]) == "tiny-1a2b3c4d-3"


def test_the_same_work_has_the_same_name_whatever_its_order():
    wanted = [node.address for node in plan(load_study("tiny"))]
    assert workflow_name("tiny", wanted) == workflow_name("tiny", reversed(wanted))
    assert workflow_name("tiny", wanted) != workflow_name("tiny", wanted[1:])


def test_a_workflow_tells_the_addresses_that_it_makes():
    nodes = plan(load_study("tiny"))
    assert addresses(tiny()) == {node.address for node in nodes}
    assert addresses(tiny("mirror")) == {node.address for node in nodes if node.name != "mirror"}


def test_a_running_workflow_that_makes_all_that_is_wanted_is_adopted_even_after_some_of_it_is_finished():
    left = {node.address for node in plan(load_study("tiny"))[5:]}
    running = tiny()
    assert already_running(left, [tiny(phase="Failed"), running]) == running["metadata"]["name"]


def test_no_workflow_is_adopted_that_has_ended_was_stopped_or_makes_less():
    wanted = {node.address for node in plan(load_study("tiny"))}
    others = [tiny(phase="Succeeded"), tiny(phase="Error"), tiny(shutdown="Stop"), tiny("report")]
    assert already_running(wanted, others) is None
