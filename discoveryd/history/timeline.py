"""The count of milliseconds that the history is kept in, and what the wall clock showed at each moment of it.

A run of the daemon begins where the wall clock says that it does, but never before the last moment of the run before:
a machine without a battery for its clock starts in the past, and is set later. A wall clock that is set changes what
the whole run is shown as, and no duration. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

DAY = 86_400_000
"""Milliseconds of a day in UTC, which knows no leap seconds here."""
STEP = 1_000
"""Milliseconds by which the wall clock has to differ to count as set: it is slewed together with the other clock."""


class Timeline:
    """The runs of a daemon, each with the difference between the wall clock and the moments of it.

    Args:
        runs: first moment of each run, and how far the wall clock was ahead of the moments; in their order.
    """

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.runs = list(runs)
        self._booted = 0.0

    def begin(self, last: int | None, booted: float, wall: float) -> int:
        """Begin a run, and return its first moment.

        Args:
            last: the last moment of the run before; None for the first run.
            booted: the clock that never steps, seconds.
            wall: the wall clock, seconds since 1970.
        """
        shown = round(wall * 1000)
        moment = shown if last is None else max(last, shown - (self.runs[-1][1] if self.runs else 0))
        self._booted = booted
        self.runs.append((moment, shown - moment))
        return moment

    def now(self, booted: float) -> int:
        """Return the moment of a time of the clock that never steps, of this run; never before the run began."""
        return self.runs[-1][0] + max(0, round((booted - self._booted) * 1000))

    def set_wall(self, booted: float, wall: float) -> bool:
        """Compare the wall clock; return whether it was set, which moves what this run is shown as."""
        began, ahead = self.runs[-1]
        found = round(wall * 1000) - self.now(booted)
        if abs(found - ahead) < STEP:
            return False
        self.runs[-1] = (began, found)
        return True

    def wall(self, moment: int) -> int:
        """Return what the wall clock shows for a moment, in milliseconds since 1970."""
        return moment + self._ahead(moment)

    def day(self, moment: int) -> int:
        """Return the day of a moment: days since 1970, UTC."""
        return self.wall(moment) // DAY

    def moment(self, wall: int) -> int:
        """Return the first moment that shows at least this time, as far as there were runs then."""
        later: int | None = None
        for began, ahead in reversed(self.runs):
            if wall - ahead >= began:
                return wall - ahead if later is None else min(wall - ahead, later)
            later = began
        return 0 if later is None else later

    def days(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """Return the days between two moments: each with the part of it that lies between them."""
        found = []
        while begin < end:
            ahead = self._ahead(begin)
            day = (begin + ahead) // DAY
            stop = min(end, (day + 1) * DAY - ahead, self._next_run(begin) or end)
            found.append((day, begin, stop))
            begin = stop
        return found

    def _ahead(self, moment: int) -> int:
        place = bisect_right(self.runs, moment, key=lambda run: run[0])
        return self.runs[max(place - 1, 0)][1] if self.runs else 0

    def _next_run(self, moment: int) -> int | None:
        place = bisect_right(self.runs, moment, key=lambda run: run[0])
        return self.runs[place][0] if place < len(self.runs) else None
