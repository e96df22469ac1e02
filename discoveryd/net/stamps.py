"""When datagrams arrived: the kernel's stamps of the wall clock, told by a clock that never steps.

The kernel stamps what it receives with CLOCK_REALTIME, whenever it is read. What is needed is the time of
CLOCK_BOOTTIME. The difference of the two clocks is sampled each time the socket is drained; when the wall clock
was set meanwhile, the stamp itself does not say whether it is from before or after.
"""

import struct
import time
from collections.abc import Callable

SO_TIMESTAMPNS = 35
"""asm-generic/socket.h; also the type of the control message. It comes before those of IP."""
STAMP = struct.Struct("@ll")  # struct timespec: seconds, nanoseconds

UNSTAMPED = float("inf")
"""The moment of a datagram without a stamp: the time of reading counts."""

STEP = 0.05
"""Seconds between two samples of the difference, past which the wall clock was set, not slewed."""
CLOSE = 20e-6
TRIES = 4
"""Seconds that reading both clocks may take, else they are read again, and how often at most: we may be interrupted."""


Sample = tuple[float, float]


def boottime() -> float:
    """Return seconds that go on in suspend and never step."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Stamps:
    """Converts the stamps of one socket to the time of a clock. For one thread.

    Args:
        clock: seconds, never stepping.
        wall: the clock of the stamps, in seconds.

    Attributes:
        emptied: all that arrived before that moment was read: the socket was empty then.
    """

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self.emptied, self._offset = self.sample()
        self._began = self._ended = self.emptied
        self._former = self._offset

    def begin(self, sample: Sample) -> float:
        """Take what `sample` returned before the socket is read; return how far the clock of the stamps is ahead."""
        self._former = self._offset
        self._began, self._offset = sample
        return self._offset

    def is_sound(self, first: float, last: float) -> bool:
        """Return whether the moments of a batch (stamps less what `begin` returned) can be true."""
        self._ended = self._clock()
        is_steady = abs(self._offset - self._former) <= STEP
        return is_steady and self.emptied <= first and last <= self._ended

    def corrected(self, moment: float) -> float:
        """Return the moment at which a datagram arrived, where the moments of its batch are not sound.

        If the wall clock was set since the last drain, the stamp is from before or after that: of the two moments that
        it can mean, the older that is possible is taken. Nothing arrived before the last drain, nor after now.
        """
        step = self._former - self._offset
        moments = sorted((moment, moment - step)) if abs(step) > STEP else [moment]
        possible = [one for one in moments if self.emptied <= one <= self._ended]
        return possible[0] if possible else min(max(moments[0], self.emptied), self._ended)

    def end(self, last: float, *, is_empty: bool) -> None:
        """Note the last moment read, and whether nothing more was there."""
        self.emptied = self._began if is_empty else last

    def sample(self) -> Sample:
        """Read the clock, and how far the wall clock is ahead of it: for all sockets that are read now."""
        best = (float("inf"), 0.0, 0.0)
        for _ in range(TRIES):
            before, wall, after = self._clock(), self._wall(), self._clock()
            best = min(best, (after - before, before, wall - (before + after) / 2))
            if best[0] < CLOSE:
                break
        return best[1:]
