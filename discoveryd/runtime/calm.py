"""Log lines of what changes again and again: a change and its end at once, then one line a minute for each thing."""

from __future__ import annotations

from collections.abc import Hashable

from discoveryd.runtime.notices import Notice

GAP = 60.0
"""Seconds for each line about one thing."""
AT_ONCE = 2
"""Lines about a thing that was calm: that something broke, and that it works again."""
MOST = 256
"""Things remembered; past it the one that came first is forgotten, and its next line comes at once."""
NEVER = float("inf")


class _Thing:
    __slots__ = ("held", "said", "spent")

    def __init__(self) -> None:
        self.spent = 0.0  # until when the lines so far last, at one a `GAP`
        self.said = ""
        self.held: tuple[str, Notice] | None = None


class Calm:
    """Says which lines are told now. The caller brings the time, and no two threads at once."""

    def __init__(self) -> None:
        self._things: dict[Hashable, _Thing] = {}

    def take(self, thing: Hashable, state: str, notice: Notice, now: float) -> list[Notice]:
        """Take that a thing has come to a state: the line, if it is told at once; else `due` gives the last one."""
        known = self._things.get(thing)
        if known is None:
            self._make_room(now)
            known = self._things[thing] = _Thing()
        if _opens(known) <= now:
            return [_say(known, state, notice, now)]
        known.held = None if state == known.said else (state, notice)
        return []

    def due(self, now: float) -> list[Notice]:
        """Give the lines that were held back and may be told now."""
        return [
            _say(thing, *thing.held, now)
            for thing in self._things.values()
            if thing.held is not None and _opens(thing) <= now
        ]

    def next_due(self) -> float:
        """Say when `due` has something to give."""
        return min((_opens(thing) for thing in self._things.values() if thing.held is not None), default=NEVER)

    def __len__(self) -> int:
        return len(self._things)

    def _make_room(self, now: float) -> None:
        if len(self._things) < MOST:
            return
        for name, thing in list(self._things.items()):
            if thing.held is None and thing.spent <= now:
                del self._things[name]
        while len(self._things) >= MOST:
            del self._things[next(iter(self._things))]


def _opens(thing: _Thing) -> float:
    return thing.spent - (AT_ONCE - 1) * GAP


def _say(thing: _Thing, state: str, notice: Notice, now: float) -> Notice:
    thing.spent = max(thing.spent, now) + GAP
    thing.said, thing.held = state, None
    return notice
