"""What a person reads: one line a step with its seconds, one line for what has to be mended."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the user has to mend: printed as one line, exit code 2."""


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print the step and how long it took, once it is done."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def run_main(main: Callable[[], None]) -> None:
    """Run a command; a problem becomes a line on stderr and exit code 2."""
    try:
        main()
    except UserError as problem:
        sys.exit(_refuse(problem))


def _refuse(problem: UserError) -> int:
    for line in problem.args:
        print(f"error: {line}", file=sys.stderr)
    return 2
