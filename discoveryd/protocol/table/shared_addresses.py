"""Addresses that several live nodes have at the same time on one link: a wrong configuration, or a relay.

The table reports each new path, and each row that comes or goes. Only addresses with paths of several rows cost
anything after that, and only while several of these rows are live.
"""

from __future__ import annotations

from collections.abc import Iterator

from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import Event
from discoveryd.protocol.table.row import Row

AGAIN = 1.0
"""Seconds between two judgements, while live rows have one address."""
CALM = 60.0
"""Seconds after which an address may begin to count as shared again: that costs two events for each of its peers."""


class SharedAddresses:
    """Marks the rows that share an address, and reports when that begins and ends.

    An address counts as shared once several live nodes were heard at it for longer than a ttl, so it is not one that
    passed from a dead node to another. Behind a router many nodes may have one address, and in loopback mode all do:
    there it means nothing.

    Args:
        event_log: makes the events.

    Attributes:
        due: when `judge` has something to do.
    """

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._paths: dict[str, tuple[Path, ...]] = {}
        self._marked: set[Row] = set()
        self._begun: dict[tuple[str, str], float] = {}
        self.due = NEVER

    def __len__(self) -> int:
        """Count the paths that are remembered."""
        return sum(map(len, self._paths.values()))

    def add(self, path: Path, now: float) -> None:
        """Add a new path of a row."""
        if path.row.kind != "node" or not path.link or path.address.startswith("127."):
            return
        paths = self._paths[path.address] = (*self._paths.get(path.address, ()), path)
        if len(paths) > 1:
            self.due = min(self.due, now + AGAIN)

    def remove(self, path: Path) -> None:
        """Forget a path."""
        left = tuple(other for other in self._paths.get(path.address, ()) if other is not path)
        if left:
            self._paths[path.address] = left
        else:
            self._paths.pop(path.address, None)

    def came_or_went(self, row: Row, now: float) -> None:
        """Judge soon, since this row came or went."""
        if row.shared or any(len(self._paths.get(path.address, ())) > 1 for path in row.paths.values()):
            self.due = min(self.due, now if row.shared else now + AGAIN)

    def forget(self, row: Row) -> None:
        """Forget a row with all its paths."""
        for path in row.paths.values():
            self.remove(path)
        self._marked.discard(row)

    def inherit(self, row: Row, former: Row) -> None:
        """Let a new boot keep the mark of the former boot."""
        if former.shared:
            row.shared = True
            self._marked.add(row)

    def found(self, now: float) -> dict[tuple[str, str], list[Row]]:
        """Return the rows that share an address, by address and link."""
        return {
            place: rows
            for place, paths in self._live(now)
            if len(rows := [path.row for path in paths if _lasts(path, paths, now)]) > 1
        }

    def judge(self, now: float, clock: float) -> list[Event]:
        """Mark rows whose address began to be shared, unmark where that ended; return the events."""
        found = self.found(now)
        events = self._end({row for rows in found.values() for row in rows}, now)
        self._begun = {place: begun for place, begun in self._begun.items() if clock < begun + CALM}
        for place, rows in found.items():
            fresh = [row for row in rows if not row.shared]
            if fresh and place not in self._begun:
                self._begun[place] = clock
                for row in fresh:
                    row.shared = True
                    self._marked.add(row)
                    other = next(other for other in rows if other is not row)
                    reason = f"{place[0]} is the address of {other.name or other.id} too"
                    events += self._event_log.emit("updated", reason, row, now)
        self.due = clock + AGAIN if self._marked or any(self._live(now)) else NEVER
        return events

    def _end(self, lasting: set[Row], now: float) -> list[Event]:
        events: list[Event] = []
        ended = [row for row in self._marked if row not in lasting]
        for row in sorted(ended, key=lambda row: row.key):  # a set has no order that a second run would repeat
            self._marked.discard(row)
            row.shared = False
            row.changed()
            if row.is_shown:
                events += self._event_log.emit("updated", "its address is its own again", row, now)
        return events

    def _live(self, now: float) -> Iterator[tuple[tuple[str, str], list[Path]]]:
        """Yield the paths of listed rows within their ttl, where one address has several on one link."""
        for address in sorted(address for address, paths in self._paths.items() if len(paths) > 1):
            by_link: dict[str, list[Path]] = {}
            for path in self._paths[address]:
                if path.row.is_shown and now < path.expires:
                    by_link.setdefault(path.link, []).append(path)
            for link, paths in by_link.items():
                if len(paths) > 1:
                    yield (address, link), paths


def _lasts(path: Path, paths: list[Path], now: float) -> bool:
    """Return whether a path is older than the longest ttl of all at its address, or counted already."""
    return path.row.shared or now - path.since > max(one.row.ttl for one in paths)
