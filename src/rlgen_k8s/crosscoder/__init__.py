"""Crosscoders: one set of features for the residual streams of two, three or many models.

Needs torch, Transformers, SciPy, NumPy and safetensors; of the platform, `lm` and `errors` alone.

data = open_joint({"base": folder_a, "tuned": folder_b}, "train")
trainer = Trainer(data, TrainingPlan(...))
while trainer.step < trainer.total_steps:
    trainer.advance()
save_crosscoder(trainer.crosscoder, folder)
"""

from rlgen_k8s.crosscoder.attribution import model_attribution_scores, normalized_relative_norms
from rlgen_k8s.crosscoder.data import JointActivations, open_joint
from rlgen_k8s.crosscoder.examples import Example, Firing, FiringMeter, firing, histogram_edges, in_context
from rlgen_k8s.crosscoder.intervals import Estimate, interval_over_seeds
from rlgen_k8s.crosscoder.lens import LensTokens, logit_lens
from rlgen_k8s.crosscoder.matching import Matching, match_features
from rlgen_k8s.crosscoder.measures import Measures, QualityMeter, measure
from rlgen_k8s.crosscoder.model import Crosscoder, new_crosscoder
from rlgen_k8s.crosscoder.noise import start_apart
from rlgen_k8s.crosscoder.one_pass import Encoded, Meter, read_once
from rlgen_k8s.crosscoder.saving import load_crosscoder, save_crosscoder
from rlgen_k8s.crosscoder.scaling import LatentScaling, ScalingMeter, latent_scaling
from rlgen_k8s.crosscoder.splice import SpliceLosses, splice_losses
from rlgen_k8s.crosscoder.training import Trainer, TrainingPlan
from rlgen_k8s.crosscoder.use import UseMeter, over_seeds, share_of_use

__all__ = [
    "Crosscoder",
    "Encoded",
    "Estimate",
    "Example",
    "Firing",
    "FiringMeter",
    "JointActivations",
    "LatentScaling",
    "LensTokens",
    "Matching",
    "Measures",
    "Meter",
    "QualityMeter",
    "ScalingMeter",
    "SpliceLosses",
    "Trainer",
    "TrainingPlan",
    "UseMeter",
    "firing",
    "histogram_edges",
    "in_context",
    "interval_over_seeds",
    "latent_scaling",
    "load_crosscoder",
    "logit_lens",
    "match_features",
    "measure",
    "model_attribution_scores",
    "new_crosscoder",
    "normalized_relative_norms",
    "open_joint",
    "over_seeds",
    "read_once",
    "save_crosscoder",
    "share_of_use",
    "splice_losses",
    "start_apart",
]
