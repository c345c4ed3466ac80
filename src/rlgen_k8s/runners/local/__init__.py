"""Run a built Argo `Workflow` on this machine: its DAG, each task as the child process that would be the pod's command.

`tasks` reads the workflow and refuses what cannot run here; `schedule` decides what may start; `run` is the loop.
"""
