"""Whether the tasks fit the pods that the study gives them, by the cost model."""

from rlgen_k8s.cost.estimates import estimates
from rlgen_k8s.cost.fits import refuse_what_cannot_fit
from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.argo.doctor.check import Check, Situation


def fit(situation: Situation) -> Check:
    """No task needs more GPUs, GPU memory or disk than its pod gets."""
    study = situation.study
    if study is None:
        return Check("fit", True, "no study named")
    try:
        estimated = estimates(study, situation.todo)
        refuse_what_cannot_fit(study, situation.todo, estimated)
    except UserError as error:
        return Check("fit", False, str(error))
    known = sum(node.name in estimated for node in situation.todo)
    return Check("fit", True, f"{known} of {len(situation.todo)} tasks have an estimate; `rlgen plan` shows it")
