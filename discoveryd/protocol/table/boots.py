"""The boots of one node id: restarts, replaced boots and clones.

A new boot of a known id is a restart of the boot before. If the older boot is heard all the same, two nodes run with
one id: both are listed, and flagged as clones.
"""

from __future__ import annotations

from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.peer import LIVE, Event, EventKind
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.wire.messages import Hello

MAX_ENDED = 1024
"""Boots remembered that are over. Past it the first is forgotten, and would be heard again without being asked."""
MAX_PAST = 8
"""Former boots of a node that are remembered, so that two boots that take turns do not count each other's restarts."""


class Boots:
    """The rows of nodes by id and by boot, and the boots that are over.

    Args:
        own_id: a peer with this node id is a clone of ourselves.
        event_log: makes the events.
    """

    def __init__(self, own_id: str, event_log: EventLog) -> None:
        self._own_id = own_id
        self._event_log = event_log
        self._by_id: dict[str, list[Row]] = {}
        self._by_boot: dict[str, list[Row]] = {}  # several where different ids claim one boot
        self._ended: dict[Key, float] = {}  # until when

    def add(self, row: Row) -> None:
        """Add a new row; its boot is not over."""
        self._by_id.setdefault(row.id, []).append(row)
        self._by_boot.setdefault(row.boot, []).append(row)
        self._ended.pop(row.key, None)

    def remove(self, row: Row) -> None:
        """Forget a row."""
        for rows, name in ((self._by_id, row.id), (self._by_boot, row.boot)):
            rows[name].remove(row)
            if not rows[name]:
                del rows[name]

    def of(self, id: str) -> tuple[Row, ...]:
        """Return the rows of an id."""
        return tuple(self._by_id.get(id, ()))

    def of_boot(self, boot: str) -> tuple[Row, ...]:
        """Return the rows of a boot: one for each id that claims it."""
        return tuple(self._by_boot.get(boot, ()))

    def replaced(self, id: str) -> tuple[Row, ...]:
        """Return the boots that a newer boot replaced, and that may yet prove to be clones."""
        return tuple(row for row in self._by_id.get(id, ()) if row.is_replaced)

    # --- boots that are over ------------------------------------------------------------------------

    def end(self, row: Row, now: float, until: float) -> None:
        """Remember that a boot is over: until then it has to answer a PING before it is heard again."""
        while self._ended and now >= next(iter(self._ended.values())):
            del self._ended[next(iter(self._ended))]
        put_last(self._ended, row.key, until, MAX_ENDED)

    def is_over(self, hello: Hello, now: float) -> bool:
        """Return whether a HELLO is of a boot that is over, as far as we know. Forged: an end may be."""
        return now < self._ended.get((hello.id, hello.boot), now)

    # --- restarts -----------------------------------------------------------------------------------

    def former(self, row: Row, address: str) -> Row | None:
        """Return the row that a new boot continues.

        It is the one at the same address, else the only one. Among several clones elsewhere only one that is gone can
        be meant. Forged: what is not sealed never takes over from a live row that seals.
        """
        rows = [
            one for one in self._by_id.get(row.id, ())
            if one.boot != row.boot and not one.is_replaced
            and (row.sealed_with or not (one.sealed_with and one.is_shown))
        ]  # fmt: skip
        here = [one for one in rows if any(path.address == address for path in one.paths.values())]
        if here:
            rows = here
        elif len(rows) > 1 or any(one.clone for one in rows):
            rows = [one for one in rows if one.state not in LIVE]
        return min(rows, key=lambda one: one.last_heard, default=None)

    def unproved(self, id: str) -> int:
        """Count the rows of an id that never answered a PING."""
        return sum(not row.proved for row in self._by_id.get(id, ()))

    def follow(self, row: Row, former: Row) -> None:
        """Let a new boot continue the history of its node, and what was announced of it: a crash loop flaps too."""
        row.first_seen = former.first_seen
        known = former.past.get(row.boot)  # a boot that was there before has its own count
        row.restarts = former.restarts + 1 if known is None else known
        former.handed = (former.restarts + 1 if known is None else 0, row.last_heard)
        past = {**former.past, former.boot: former.restarts}
        if known is not None and former.state not in LIVE:  # the two take turns: neither is a restart of the other
            past[former.boot] = max(0, former.restarts - known - 1)
        row.past = dict(list(past.items())[-MAX_PAST:])
        self._event_log.hand_over(former, row)

    def replace(self, former: Row, heir: Row) -> None:
        """Hide a row: a new boot continues it, unless the older one is heard again soon."""
        former.is_replaced = True
        former.fade()
        former.heard_replaced = 0
        former.heir = heir
        former.changed()

    def restore(self, row: Row, now: float) -> list[Event]:
        """Show a replaced boot again: it is heard, so the newer one is no restart of it, but a clone."""
        row.is_replaced = False
        row.expires = max(row.expires, row.last_heard + row.life)
        restarts, came = row.handed
        heir, row.heir = row.heir, None
        while heir is not None:  # the history of the heirs begins with the first of them
            heir.restarts = max(0, heir.restarts - restarts)
            heir.first_seen = max(heir.first_seen, came)
            heir.changed()
            heir = heir.heir
        shown = self._shown(row.id)
        self._event_log.hand_back(row, shown)
        if self._are_clones(row.id, shown):
            return self.appear("clone", f"another running node has the id {row.id}", row, now)
        return self.appear("recovered", "the newer boot of its id is gone", row, now)

    # --- clones -------------------------------------------------------------------------------------

    def appear(self, kind: EventKind, reason: str, row: Row, now: float) -> list[Event]:
        """Return the events of a row that is live from now on, and of what that makes of the others with its id."""
        row.clone = self._are_clones(row.id, self._shown(row.id))
        return self._event_log.emit(kind, reason, row, now) + self.settle(row.id, now)

    def settle(self, id: str, now: float) -> list[Event]:
        """Flag the listed rows of an id if there are several; unflag one that is left alone. Return the events."""
        events: list[Event] = []
        shown = self._shown(id)
        clones = self._are_clones(id, shown)
        for row in shown:
            if row.clone != clones:
                row.clone = clones
                kind: EventKind = "clone" if clones else "updated"
                reason = f"another running node has the id {id}" if clones else "the clone is gone"
                events += self._event_log.emit(kind, reason, row, now)
        return events

    def _shown(self, id: str) -> list[Row]:
        return [row for row in self._by_id.get(id, ()) if row.state in LIVE and not row.is_replaced]

    def _are_clones(self, id: str, shown: list[Row]) -> bool:
        return id == self._own_id or len(shown) > 1
