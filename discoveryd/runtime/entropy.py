"""Random numbers of the operating system, drawn many at once."""

import os
from random import SystemRandom

DRAWN = 1024
"""Bytes drawn at once: at a system call another thread may run first, for hundreds of microseconds."""


class BufferedRandom(SystemRandom):
    """As `SystemRandom`, with a hundredth of its system calls. Not thread-safe, as the Node that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn = b""
        self._process = os.getpid()

    def randbytes(self, n: int) -> bytes:
        """Return `n` random bytes."""
        if len(self._drawn) < n or self._process != os.getpid():  # a fork must not draw what its parent draws
            self._process = os.getpid()
            self._drawn = os.urandom(max(n, DRAWN))
        taken, self._drawn = self._drawn[:n], self._drawn[n:]
        return taken

    def getrandbits(self, k: int) -> int:
        """Return an integer of `k` random bits."""
        size = (k + 7) // 8
        return int.from_bytes(self.randbytes(size), "big") >> (size * 8 - k)

    def random(self) -> float:
        """Return a number from 0 to 1, 1 not included."""
        return self.getrandbits(53) * 2.0**-53
