"""Work that is done outlives a store that is away for a while."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from rlgen_k8s.errors import TryAgainError

T = TypeVar("T")
OUTAGE_SECONDS = 300.0
LONGEST_PAUSE = 15.0


def patiently(action: Callable[[], T], beat: Callable[[], None], seconds: float = OUTAGE_SECONDS) -> T:
    """`action`, again and again for `seconds` while it raises `TryAgainError`. It has to bear repetition.

    `beat` is called after each try: waiting for a store is no hang.
    """
    until, pause = time.monotonic() + seconds, 1.0
    while True:
        try:
            return action()
        except TryAgainError as error:
            if time.monotonic() + pause > until:
                raise
            print(f"{error}; trying again in {pause:g} s", file=sys.stderr, flush=True)
        finally:
            beat()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
