"""Which rows share a node id: restarts, and clones; and what is told of that."""

from __future__ import annotations

from discoveryd.protocol.link import Source
from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.events import EventKind
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.wire.hello import Hello

MAX_ENDED = 1024
"""Boots remembered that are over; past it the first is forgotten, and is heard again without being asked."""


class Boots:
    """The rows of nodes by their id, each id once for each of its boots.

    Args:
        own_id: a peer with this node id is a clone of ourselves.
        news: takes what becomes of them.
    """

    def __init__(self, own_id: str, news: EventLog) -> None:
        self._own_id = own_id
        self._event_log = news
        self._by_id: dict[str, list[Row]] = {}
        self._ended: dict[Key, float] = {}  # until when

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, row: Row) -> None:
        """Take in a new row."""
        self._by_id.setdefault(row.id, []).append(row)

    def remove(self, row: Row) -> None:
        """Forget a row."""
        rows = self._by_id[row.id]
        rows.remove(row)
        if not rows:
            del self._by_id[row.id]

    def of(self, id: str) -> list[Row]:
        """Give the rows of an id."""
        return self._by_id.get(id, [])

    def end(self, row: Row, now: float, until: float) -> None:
        """Take it that a boot is over: until then it has to answer a PING before it is heard again."""
        self._ended.pop(row.key, None)
        while self._ended:
            first, over = next(iter(self._ended.items()))
            if now < over and len(self._ended) < MAX_ENDED:
                break
            del self._ended[first]
        self._ended[row.key] = until

    def revive(self, row: Row) -> None:
        """Take it that a boot is not over."""
        self._ended.pop(row.key, None)

    def is_over(self, hello: Hello, now: float) -> bool:
        """Return whether a HELLO is of a boot that is over, as far as is known: anybody can forge an end."""
        return now < self._ended.get((hello.id, hello.boot), now)

    def shown(self, id: str) -> list[Row]:
        """Give the rows of an id that are listed."""
        return [row for row in self._by_id.get(id, ()) if row.is_shown]

    def unproved(self, id: str) -> int:
        """Count the rows of an id that never answered a PING."""
        return sum(not row.proved for row in self._by_id.get(id, ()))

    def replaced_boots(self, id: str) -> tuple[Row, ...]:
        """Give those that a newer boot took over from and that may yet prove to be clones."""
        return tuple(row for row in self._by_id.get(id, ()) if row.is_replaced)

    def are_clones(self, id: str) -> bool:
        """Whether several running nodes use this id."""
        return id == self._own_id or len(self.shown(id)) > 1

    def former(self, id: str, source: Source) -> Row | None:
        """Pick the row that a new boot of this id continues.

        The one at its address; else the only one; of several clones elsewhere none can be told, so
        only one that is gone. What is not sealed takes over from nobody who seals, and lives.
        """
        rows = [
            row for row in self._by_id.get(id, ())
            if not row.is_replaced and (source.key or not (row.sealed_with and row.is_shown))
        ]  # fmt: skip
        here = [row for row in rows if any(path.address == source.address for path in row.paths.values())]
        if here:
            rows = here
        elif len(rows) > 1 or any(row.clone for row in rows):
            rows = [row for row in rows if row.state not in LIVE]
        return min(rows, key=lambda row: row.last_heard, default=None)

    def appear(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Report a row that is live from now on, and what that makes of the others with its id."""
        row.clone = self.are_clones(row.id)
        self._event_log.emit(kind, reason, row, now)
        self.settle(row.id, now)

    def restore(self, row: Row, now: float) -> None:
        """Show an older boot again: it speaks, so the newer one is no restart of it."""
        row.disinherit()
        self._event_log.hand_back(row, self.shown(row.id))
        if self.are_clones(row.id):
            self.appear("clone", f"another running node has the id {row.id}", row, now)
        else:
            self.appear("recovered", "the newer boot of its id is gone", row, now)

    def settle(self, id: str, now: float) -> None:
        """Flag the listed rows of an id if there are several; take the flag off one that is left alone."""
        clones = self.are_clones(id)
        for row in self.shown(id):
            if row.clone != clones:
                row.clone = clones
                if clones:
                    self._event_log.emit("clone", f"another running node has the id {id}", row, now)
                else:
                    self._event_log.emit("updated", "the clone is gone", row, now)
