"""The order in which addresses are PINGed in turn: a heap of moments."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappush
from typing import NamedTuple

from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.row import Row

LEAST_TURNS = 1024
"""Turns kept before those that are void are cleared out."""


class Turn(NamedTuple):
    """When a path is to be PINGed; void once the path has another turn (`Path.turn_at`)."""

    due: float
    tie: int
    listed: float
    row: Row
    path: Path


class Turns(list[Turn]):
    """A heap of turns.

    Attributes:
        gap: seconds between two moments at which some are taken.
        at_once: how many then.
        next: the next moment.
        most: turns kept before those that are void are cleared out.
    """

    def __init__(self, gap: float, at_once: int) -> None:
        super().__init__()
        self.gap = gap
        self.at_once = at_once
        self.next = -NEVER
        self.most = LEAST_TURNS

    def next_due(self) -> float:
        """Return when the first of them may be taken."""
        return max(self[0].due, self.next) if self else NEVER

    def add(self, turn: Turn, holds: Callable[[Turn], bool]) -> None:
        """Give a path this turn in place of any other; where there are too many, clear out those that are void."""
        if len(self) >= self.most:
            self[:] = [kept for kept in self if holds(kept)]
            heapify(self)
            self.most = max(LEAST_TURNS, 2 * len(self))
        turn.path.turn_at = turn.due
        heappush(self, turn)
