"""The command of a gang's launcher: `python -m rlgen_k8s.runners.gang` with the arguments of `rlgen-stage`.

Reads `RLGEN_JOBSET`, the JobSet that it makes, `RLGEN_STORE` and `ARGO_PROGRESS_FILE`. Exit codes: see
`rlgen_k8s.errors`.
"""

import json
import os
import sys

from rlgen_k8s.dag.names import JOBSET
from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.runners.argo.api import connect_inside
from rlgen_k8s.runners.gang.launcher import launch
from rlgen_k8s.stages.frame.attempt import progress_file
from rlgen_k8s.stages.frame.ending import TerminatedError, leave_message, raise_on_signals
from rlgen_k8s.stages.frame.task import parse_task
from rlgen_k8s.store.open import open_store


def main() -> int:
    """Run the gang of this command line; the exit code."""
    raise_on_signals()
    arguments = sys.argv[1:]
    try:
        task = parse_task(arguments)
        manifest = json.loads(os.environ[JOBSET])
        (job,) = manifest["spec"]["replicatedJobs"]
        job["template"]["spec"]["template"]["spec"]["containers"][0]["args"] = arguments
        store = open_store(os.environ["RLGEN_STORE"], os.environ)
        code, words = launch(connect_inside(), manifest, task.address, store, progress_file(os.environ), os.environ)
    except (UserError, TryAgainError, TerminatedError) as error:
        code, words = error.exit_code, str(error)
    if words:
        print(words, file=sys.stderr, flush=True)
    leave_message(words)
    return code


if __name__ == "__main__":
    ended = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(ended)  # a thread may still wait for the API server
