"""Grace: for how long the absence of a peer is not told, since it is expected: a phone sleeps, a machine is mended.

The table has the truth at once, and so has each request for it. Only events wait: if the peer comes back in time, none
is told. Rules are the same for all peers like it, maintenance is for one peer and ends at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from fnmatch import translate
from typing import TYPE_CHECKING

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.table.liveness import NEVER

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Row

MOST_RULES = 64
"""Rules of a node; each change of a peer goes through them."""
MOST_MAINTAINED = 1024
"""Peers under maintenance; past it the first is as any other."""
LONGEST = 7 * 86_400.0
"""Seconds of the longest grace: a peer that is away for longer is gone."""


@frozen
class GraceRule:
    """Peers that are given time, and how much. Each condition that is given must hold, and one is.

    Attributes:
        seconds: how long their absence is not told.
        tags: each of these, to the letter.
        name: glob for their name.
    """

    seconds: float
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    name: str | None = None
    _name: re.Pattern[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.tags and self.name is None:
            raise ConfigError("a rule says which peers it is for: tag, name, or both")
        if not 1.0 <= self.seconds <= LONGEST:
            raise ConfigError(f"for: must be 1s to {LONGEST / 3600:g}h, not {self.seconds:g}s")
        if self.name is not None:
            object.__setattr__(self, "_name", re.compile(translate(self.name)))

    def covers(self, row: Row) -> bool:
        """Return whether it is for a peer."""
        record = row.record
        if record is None or (self._name is not None and not self._name.match(record.name)):
            return False
        return all(record.tags.get(key) == value for key, value in self.tags.items())


class Grace:
    """For how long the absence of each peer is not told.

    Attributes:
        rules: the first one that covers a peer is its.
        maintained: until when each peer is under maintenance, by id.
    """

    def __init__(self) -> None:
        self.rules: tuple[GraceRule, ...] = ()
        self.maintained: dict[str, float] = {}

    def maintain(self, id: str, until: float, now: float) -> None:
        """Put a peer under maintenance until a time; a time that has come ends that."""
        self.maintained = {one: end for one, end in self.maintained.items() if end > now and one != id}
        if until > now:
            put_last(self.maintained, id, until, MOST_MAINTAINED)

    def until(self, row: Row) -> float:
        """Return until when the absence of a peer is not told; a time that has come where it is told at once.

        What never answered a PING may be forged, and is given none.
        """
        until = self.maintained.get(row.id, -NEVER) if self.maintained else -NEVER
        return max(until, row.last_heard + self._seconds(row)) if row.proved and self.rules else until

    def spares(self, row: Row, now: float) -> bool:
        """Return whether findings about a peer that is up wait: it is under maintenance, or came back not long ago."""
        return self.maintained.get(row.id, -NEVER) > now or now < row.beats_from + self._seconds(row)

    def _seconds(self, row: Row) -> float:
        return next((rule.seconds for rule in self.rules if rule.covers(row)), -NEVER)
