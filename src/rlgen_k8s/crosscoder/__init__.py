"""Crosscoders: one set of features for the residual streams of two, three or many models. Needs torch, nothing of ours.

data = open_joint({"base": folder_a, "tuned": folder_b}, "train")
trainer = Trainer(data, TrainingPlan(...))
while trainer.step < trainer.total_steps:
    trainer.advance()
save_crosscoder(trainer.crosscoder, folder)
"""

from rlgen_k8s.crosscoder.attribution import model_attribution_scores, normalized_relative_norms
from rlgen_k8s.crosscoder.data import JointActivations, open_joint
from rlgen_k8s.crosscoder.matching import Matching, match_features
from rlgen_k8s.crosscoder.measures import Measures, measure
from rlgen_k8s.crosscoder.model import Crosscoder, new_crosscoder
from rlgen_k8s.crosscoder.saving import load_crosscoder, save_crosscoder
from rlgen_k8s.crosscoder.splice import SpliceLosses, splice_losses
from rlgen_k8s.crosscoder.training import Trainer, TrainingPlan

__all__ = [
    "Crosscoder",
    "JointActivations",
    "Matching",
    "Measures",
    "SpliceLosses",
    "Trainer",
    "TrainingPlan",
    "load_crosscoder",
    "match_features",
    "measure",
    "model_attribution_scores",
    "new_crosscoder",
    "normalized_relative_norms",
    "open_joint",
    "save_crosscoder",
    "splice_losses",
]
