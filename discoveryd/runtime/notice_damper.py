"""Damping of notices about things that change again and again.

A change and its end are told at once, then one line a minute for each thing.
"""

from __future__ import annotations

from collections.abc import Hashable

from discoveryd.runtime.notices import Notice

GAP = 60.0
"""Seconds for each line about one thing."""
AT_ONCE = 2
"""Lines at once about a thing that was calm: that something broke, and that it works again."""
MOST = 256
"""Things remembered; past it the oldest is forgotten, and its next line comes at once."""
NEVER = float("inf")


class _Thing:
    __slots__ = ("held", "paid_until", "state")

    def __init__(self) -> None:
        self.paid_until = 0.0  # until when the lines so far last, at one a `GAP`
        self.state = ""  # that was told last
        self.held: tuple[str, Notice] | None = None

    @property
    def opens_at(self) -> float:
        """When the next line may be told."""
        return self.paid_until - (AT_ONCE - 1) * GAP

    def tell(self, state: str, notice: Notice, now: float) -> Notice:
        self.paid_until = max(self.paid_until, now) + GAP
        self.state, self.held = state, None
        return notice


class NoticeDamper:
    """Decides which notices are told now. The caller brings the time, and calls from one thread at a time."""

    def __init__(self) -> None:
        self._things: dict[Hashable, _Thing] = {}

    def take(self, name: Hashable, state: str, notice: Notice, now: float) -> list[Notice]:
        """Take the notice that a thing came to a state; return it if it is told now, else `due` returns the last."""
        thing = self._things.get(name)
        if thing is None:
            self._make_room(now)
            thing = self._things[name] = _Thing()
        if thing.opens_at <= now:
            return [thing.tell(state, notice, now)]
        thing.held = None if state == thing.state else (state, notice)
        return []

    def due(self, now: float) -> list[Notice]:
        """Return the notices that were held back and may be told now."""
        return [thing.tell(*thing.held, now) for thing in self._things.values() if thing.held and thing.opens_at <= now]

    def next_due(self) -> float:
        """Return when `due` has something to return."""
        return min((thing.opens_at for thing in self._things.values() if thing.held), default=NEVER)

    def __len__(self) -> int:
        return len(self._things)

    def _make_room(self, now: float) -> None:
        if len(self._things) < MOST:
            return
        for name, thing in list(self._things.items()):
            if thing.held is None and thing.paid_until <= now:
                del self._things[name]
        while len(self._things) >= MOST:
            del self._things[next(iter(self._things))]
