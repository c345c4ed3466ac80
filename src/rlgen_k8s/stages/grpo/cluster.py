"""Ray over the pods of a gang: the first one runs verl, the others lend it their processors and GPUs.

Started as `python -m rlgen_k8s.stages.grpo.cluster lead NODES PORT COUNTS OVERRIDES…` or `… join ADDRESS PORT COUNTS`,
COUNTS being options of `ray start`, in pods with the same folders: verl names paths to workers wherever they run.
"""

import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

HEAD = "node:__internal_head__"
"""Ray's own resource, which only the first pod has."""
START = (sys.executable, "-m", "ray.scripts.scripts", "start", "--disable-usage-stats")
ALONE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "15"}
"""How long Ray goes on without its head, in seconds; its 60 are for a head that comes back."""
PAUSE = 0.2


def lead(nodes: int, port: int, counts: list[str], overrides: list[str]) -> None:
    """Train, once all `nodes` pods are there. What decides, saves and logs runs in this one."""
    subprocess.run([*START, "--head", f"--port={port}", "--include-dashboard=false", *counts], check=True)
    os.environ["RAY_ADDRESS"] = "auto"
    import ray

    ray.init(logging_level=logging.WARNING)
    while sum(node["Alive"] for node in ray.nodes()) < nodes:
        time.sleep(PAUSE)
    ray.shutdown()

    from verl.trainer import main_ppo

    runner: Any = main_ppo.TaskRunnerV1
    vars(main_ppo)["TaskRunnerV1"] = runner.options(resources={HEAD: 0.001})
    sys.argv = ["main_ppo", *overrides]
    main_ppo.main()


def join(address: str, port: int, counts: list[str]) -> None:
    """Lend this pod to the first one until that one's Ray is gone, which Ray itself takes for a failure."""
    while True:
        with suppress(OSError), socket.create_connection((address, port), timeout=5):
            break
        time.sleep(PAUSE)
    command = [*START, f"--address={socket.gethostbyname(address)}:{port}", "--block", *counts]
    subprocess.run(command, env=os.environ | ALONE, check=False)


if __name__ == "__main__":
    role, first, port_number, options, *rest = sys.argv[1:]
    if role == "lead":
        lead(int(first), int(port_number), options.split(), rest)
    else:
        join(first, int(port_number), options.split())
