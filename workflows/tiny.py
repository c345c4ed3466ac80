"""The study at tiny scale: the same DAG as the full studies, on a machine without GPU."""

from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.study.settings import Study

STUDY = Study(name="tiny", base=ModelSettings(), teacher=ModelSettings(), instruction="")
