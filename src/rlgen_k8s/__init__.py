"""Why does reinforcement learning generalize? The study, from base model to report, as one DAG."""
