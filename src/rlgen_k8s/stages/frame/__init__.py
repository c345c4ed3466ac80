"""The frame around a stage: what a pod (or the local runner) starts as `rlgen-stage`."""
