"""What the processes that become Ray's workers share, and what they must not."""

import os
import subprocess
import sys

# Forked as `preload` forks: each child draws the first ids that a worker draws.
SCRIPT = """
import os, sys
from rlgen_k8s.ray_fork.preload import PRELOADED, load
load(PRELOADED)
from ray import ObjectRef
assert set(PRELOADED) <= set(sys.modules)
for _ in range(4):
    sys.stdout.flush()
    if not os.fork():
        print(ObjectRef.from_random().hex(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_forked_workers_draw_ids_of_their_own() -> None:
    environment = os.environ | {"VERL_USE_EXTERNAL_MODULES": "rlgen_k8s.verl_cpu", "VERL_ENGINE_DEVICE": "cuda"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drawn = [line for line in done.stdout.splitlines() if len(line) == 56]
    assert len(drawn) == len(set(drawn)) == 4, done.stdout
