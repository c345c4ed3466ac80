"""MLflow: a run for each submission and each attempt at a stage, lineage, comparison.

Stages and runners write events to a spool (`stage_run`, `submission`, `spool`) and import no MLflow; a recorder process
(`recorder`, `replay`, `record`) carries them to MLflow. On a cluster each pod has a recorder `beside` its stage; what
it could not send is handed over through the store (`handover`) to the exit handler (`close`), which also records what
only Argo knows (`failures`). `lineage` and `compare` read MLflow; `server` opens its UI.
MLflow's switches are set here because it reads them, and starts its telemetry, when it is imported.
"""

from rlgen_k8s.tracking.quiet import be_quiet

be_quiet()
