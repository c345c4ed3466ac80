"""What a stage's process tells the one that watches it, in memory they share: that it gets on, and its last words."""

import mmap
import struct
import time

WORDS = 2000
"""Bytes of last words."""


class Lifeline:
    """To be made before the fork. Reading it needs nothing from the stage's process, which may hang in native code."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 + 4 + WORDS)
        self.beat()

    def beat(self) -> None:
        """The stage got on."""
        struct.pack_into("d", self._memory, 0, time.monotonic())

    @property
    def silent(self) -> float:
        """Seconds since it did."""
        since: float = struct.unpack_from("d", self._memory, 0)[0]
        return time.monotonic() - since

    def say(self, words: str) -> None:
        """One line that says how the stage ended."""
        data = words.partition("\n")[0].encode()[:WORDS]
        struct.pack_into(f"I{len(data)}s", self._memory, 8, len(data), data)

    @property
    def words(self) -> str:
        """What it said, "" for nothing."""
        (length,) = struct.unpack_from("I", self._memory, 8)
        return self._memory[12 : 12 + length].decode(errors="replace")
