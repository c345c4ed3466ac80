"""A study as a DAG: `nodes` on one page, `workflow` as a Hera Workflow, `pods` the shape of a pod."""
