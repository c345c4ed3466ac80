"""`rlgen-stage`: runs one stage as a process. Exit codes: see `rlgen_k8s.errors`."""

import os
import sys
from typing import NoReturn

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.frame.ending import TerminatedError, leave_message, raise_on_signals
from rlgen_k8s.stages.frame.run import run_task
from rlgen_k8s.stages.frame.task import parse_task


def main() -> NoReturn:
    """Run the task of this command line, and end. 0 when its result is in the store, whoever put it there."""
    code = _main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # taking the interpreter apart takes longer than all else that is left to do once told to stop


def _main() -> int:
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
    main()
