"""`rlgen-stage`: runs one stage as a process. Exit codes: see `rlgen_k8s.errors`."""

import os
import sys

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.frame.ending import TerminatedError, leave_message, raise_on_signals
from rlgen_k8s.stages.frame.run import run_task
from rlgen_k8s.stages.frame.task import parse_task


def main() -> int:
    """Run the task of this command line; 0 when its result is in the store, whoever put it there."""
    raise_on_signals()
    try:
        return run_task(parse_task(sys.argv[1:]), os.environ)
    except (UserError, TryAgainError, TerminatedError) as error:
        print(error, file=sys.stderr, flush=True)
        leave_message(str(error))
        return error.exit_code
    except Exception as error:
        leave_message(f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    sys.exit(main())
