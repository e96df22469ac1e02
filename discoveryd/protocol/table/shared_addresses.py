"""Addresses that several live nodes have at the same time on one link: a wrong configuration, or a relay.

The table reports each new path, and each row that comes or goes. Only addresses with paths of several rows cost
anything after that, and only while several of these rows are live.
"""

from collections.abc import Mapping

from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import Event
from discoveryd.protocol.table.row import Key, Row

Place = tuple[str, str]
"""An address, and our interface to it."""

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
        rows: of the table.
        event_log: makes the events.

    Attributes:
        due: when `judge` has something to do.
    """

    def __init__(self, rows: Mapping[Key, Row], event_log: EventLog) -> None:
        self._rows = rows
        self._event_log = event_log
        self._paths: dict[str, tuple[Path, ...]] = {}  # by address
        self._begun: dict[Place, float] = {}
        self.due = NEVER

    def __len__(self) -> int:
        """Count the paths that are remembered."""
        return sum(map(len, self._paths.values()))

    def add(self, path: Path, now: float) -> None:
        """Add a new path of a row."""
        if _is_on_link(path):
            self._paths[path.address] = (*self._paths.get(path.address, ()), path)
            if len(self._paths[path.address]) > 1:
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
        if row.shared or any(len(self._paths.get(path.address, ())) > 1 for path in row.paths):
            self.due = min(self.due, now if row.shared else now + AGAIN)

    def found(self, now: float) -> dict[Place, list[Row]]:
        """Return the rows that share an address, by address and link."""
        return {
            place: rows
            for place, paths in self._live(now).items()
            if len(rows := [path.row for path in paths if _lasts(path, paths, now)]) > 1
        }

    def judge(self, now: float, clock: float) -> list[Event]:
        """Mark rows whose address began to be shared, unmark where that ended; return the events."""
        events: list[Event] = []
        found = self.found(now)
        lasting = {row.key for rows in found.values() for row in rows}
        for row in [row for row in self._rows.values() if row.shared and row.key not in lasting]:
            row.shared = False
            row.changed()
            if row.is_shown:
                events += self._event_log.emit("updated", "its address is its own again", row, now)
        self._begun = {place: begun for place, begun in self._begun.items() if clock < begun + CALM}
        for place, rows in found.items():
            fresh = [row for row in rows if not row.shared]
            if fresh and place not in self._begun:
                self._begun[place] = clock
                for row in fresh:
                    row.shared = True
                    row.changed()
                    other = next(other for other in rows if other is not row)
                    reason = f"{place[0]} is the address of {other.name or other.id} too"
                    events += self._event_log.emit("updated", reason, row, now)
        is_over = not self._live(now) and not any(row.shared for row in self._rows.values())
        self.due = NEVER if is_over else clock + AGAIN
        return events

    def _live(self, now: float) -> dict[Place, list[Path]]:
        """Return the paths of listed rows within their ttl, where one address has several on one link."""
        places: dict[Place, list[Path]] = {}
        for path in (path for paths in self._paths.values() if len(paths) > 1 for path in paths):
            if path.row.is_shown and now < path.expires:
                places.setdefault((path.address, path.link), []).append(path)
        return {place: places[place] for place in sorted(places) if len(places[place]) > 1}


def _is_on_link(path: Path) -> bool:
    """Return whether this is a path of a node on a link, out of loopback mode."""
    return path.row.kind == "node" and path.link != "" and not path.address.startswith("127.")


def _lasts(path: Path, paths: list[Path], now: float) -> bool:
    """Return whether a path is older than the longest ttl of all at its address, or counted already."""
    return path.row.shared or now - path.since > max(one.row.ttl for one in paths)
