"""Datagrams of messages that wait for their moment, and for the budget of all of them."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.liveness import NEVER

MAX_WAITING = 4096
"""Datagrams that wait; one more is not sent, and asked for again."""
AT_ONCE, STEADILY = 0.1, 0.85
"""Of the budget of a second: sent at once after a pause, and then steadily, so that no second has more than the budget.
The rest is for a broadcast that needs several datagrams."""
GAP = 0.01
"""Seconds until the next look where the budget is used up."""

Write = Callable[[float], Iterable[Send]]
"""Writes datagrams at the moment they are sent, for then they take their counter; none where they are not needed."""


class Pacer:
    """Sends what is due, in that order, and never more than the budget within a second.

    Args:
        budget: datagrams a second.
    """

    def __init__(self, budget: float) -> None:
        self._waiting: list[tuple[float, int, Write]] = []
        self._tie = 0
        self._at = 0.0
        self._next = -NEVER
        self.set_budget(budget)

    def __len__(self) -> int:
        """Return the number of datagrams that wait."""
        return len(self._waiting)

    def set_budget(self, budget: float) -> None:
        """Send so many datagrams a second from now on."""
        self._burst = max(1.0, budget * AT_ONCE)
        self._rate = budget * STEADILY
        self._tokens = self._burst

    def add(self, due: float, write: Write) -> bool:
        """Let a datagram wait until it is due; return False where too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._tie += 1
        heappush(self._waiting, (due, self._tie, write))
        return True

    def poll(self, now: float) -> list[Send]:
        """Return what is due, as far as the budget goes."""
        sends: list[Send] = []
        if self._waiting and self._waiting[0][0] <= now:
            self._tokens = min(self._burst, self._tokens + self._rate * max(0.0, now - self._at))
            self._at = max(self._at, now)
        while self._waiting and self._waiting[0][0] <= now:
            if self._tokens < 1:
                self._next = now + GAP
                break
            written = list(heappop(self._waiting)[2](now))
            self._tokens -= len(written)
            sends += written
        return sends

    def next_due(self) -> float:
        """Return when `poll` has something to do."""
        return max(self._waiting[0][0], self._next) if self._waiting else NEVER
