"""How a new row gets its place: after an older boot of its node, or where a row that is worth less makes room."""

from __future__ import annotations

from collections.abc import Iterator

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.table.ageing import AgeingRows
from discoveryd.protocol.table.events import Event, EventKind
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.standing import MAX_UNPROVED

Opening = tuple[EventKind, str]
"""The event of a row that is live from now on, and its reason."""


class NewcomerRows(AgeingRows):
    """Rows, bounded, to which a new row is added in place of others, or refused before anything is changed."""

    def _open(self, row: Row, source: Source, now: float, void: Row | None) -> tuple[list[Event], Opening]:
        """Add a row, in place of an older boot of the same node if there is one.

        Args:
            row: the new row.
            source: where its first HELLO came from.
            now: the time.
            void: a row of the same boot, which has to go.
        """
        former = self.boots.former(row, source.address)
        is_restart = former is not None and former.state_at(now) in LIVE
        if not row.proved:
            self._check_unproved(row, former, is_restart=is_restart)
        opening: Opening = "joined", f"first HELLO on {where(source)}"
        if former is None:
            victims = self._victims(row, void)
        else:
            victims = self._victims(row, void) if is_restart else [former]
            opening = "joined", f"back with a new boot on {where(source)}"
            self.boots.follow(row, former)
            self._shared.inherit(row, former)
        if former is not None and is_restart:
            opening = "restarted", f"new boot {row.boot} in place of {former.boot}"
            self._replace(former, row, now)
        events = [event for victim in victims for event in self._give_way(victim, former, now)]
        self._add(row, source)
        return events, opening

    def _give_way(self, victim: Row, former: Row | None, now: float) -> list[Event]:
        events: list[Event] = []
        if victim.is_shown and victim is not former:
            events += self._down(victim, "displaced", "makes room for a peer that has proved to be there", now)
        return events + self._remove(victim, now)

    def _replace(self, former: Row, heir: Row, now: float) -> None:
        self.boots.replace(former, heir)
        self._replaced[former.key] = former
        self.suspects.pop(former.key, None)
        self._next_expiry = min(self._next_expiry, max(now, former.expires))  # what is overdue would look like a pause

    def _check_unproved(self, row: Row, former: Row | None, *, is_restart: bool) -> None:
        """Refuse a boot that has not answered a PING, where that must be known first.

        Raises:
            Unproven: too many like it use its id, or the boot it replaces answered and lives, or may not have left.
        """
        if self.boots.unproved(row.id) >= MAX_UNPROVED:
            raise Unproven("unproven", f"{MAX_UNPROVED} others of its id have not answered a PING either")
        if former is not None and former.key in self.leavers:
            raise Unproven("unproven", "the boot it replaces is being asked whether it left")
        if former is not None and former.proved and is_restart:
            raise Unproven("unproven", "the boot it replaces did answer a PING, and lives")

    def _victims(self, newcomer: Row, void: Row | None = None) -> list[Row]:
        """Return the rows that have to go so that a newcomer has a place: `void` in any case.

        Raises:
            Unproven: there are not so many, unless the newcomer answers a PING first.
            WireError: ``table-full``.
        """
        excess = len(self._rows) + 1 - self.limit
        victims: dict[Key, Row] = {} if void is None else {void.key: void}
        for row in self._by_worth(newcomer):
            if len(victims) >= excess:
                break
            victims[row.key] = row
        if len(victims) < excess:
            if newcomer.kind == "node" and not newcomer.proved and self._unproved:
                raise Unproven("table-full", f"{self.limit} peers, and some that did not answer a PING")
            raise WireError("table-full", f"{self.limit} peers")
        return list(victims.values())

    def _by_worth(self, newcomer: Row) -> Iterator[Row]:
        """Yield the rows that are worth less than a newcomer: replaced, gone, unproven, or plain where it seals."""
        yield from self._replaced.values()
        yield from self._gone.values()
        if newcomer.proved:
            yield from self._unproved.values()
        if newcomer.sealed_with:
            yield from (row for row in self._rows.values() if not row.sealed_with)


def where(source: Source) -> str:
    """Return where a source is heard, for people."""
    return source.link.name if source.link else "a routed path"
