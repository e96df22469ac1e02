"""The rows of a table with their indexes, and all that can be asked about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.table.boots import Boots
from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.liveness import silent_together
from discoveryd.protocol.table.peer import LIVE, STATES, Peer, State
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.standing import keeps_speaking

SILENT_FOR = 600.0
"""Seconds for which a peer that went down still counts as silent, when we doubt ourselves."""


class Rows:
    """Rows keyed by id and boot (bare peers by address), bounded.

    Args:
        limit: most rows; a full table gives up gone rows, never live ones.
        remember: seconds for which gone rows are kept.
        own_id: a peer with this node id is a clone of ourselves.
    """

    def __init__(self, *, limit: int, remember: float, own_id: str) -> None:
        self.limit = limit
        self.remember = remember
        self.interval = 0.8  # ours, by which unproven rows are judged
        self.ranks: dict[str, int] = {}  # of the variants (ids of keys, empty for plain): the lowest is the best
        self.suspects: dict[Key, Row] = {}  # to be probed
        self.quiet: dict[Key, Row] = {}  # last heard by a PONG: PINGed again if no HELLO comes
        self.leavers: dict[Key, Row] = {}  # to be asked whether they left. Forged: a goodbye may be
        self._rows: dict[Key, Row] = {}
        self._gone: dict[Key, Row] = {}  # down or left, the longest gone first
        self._beyond: dict[Key, Row] = {}  # first heard from beyond our links
        self._replaced: dict[Key, Row] = {}  # hidden by a newer boot, the first first
        self._unproved: dict[Key, Row] = {}  # never answered a PING, the oldest first
        self.event_log = EventLog()
        self.boots = Boots(own_id, self.event_log)

    def __len__(self) -> int:
        return len(self._rows)

    # --- what is known ------------------------------------------------------------------------------

    def get(self, id: str, boot: str = "") -> Row | None:
        """Return the row of one run of a node, or of a bare peer's address."""
        return self._rows.get((id, boot))

    def rows(self, now: float, *, gone: bool = False) -> Iterator[Row]:
        """Iterate over the live rows, or over all that are remembered."""
        for row in self._rows.values():
            if not row.is_replaced and (gone or (row.state in LIVE and now < row.expires)):
                yield row

    def shown(self) -> Iterator[Row]:
        """Iterate over the live rows, as of the last call with a time."""
        return (row for row in self._rows.values() if row.is_shown)

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Return the live peers (and with `gone` those down or left), the oldest row first."""
        return tuple(row.peer(now) for row in self.rows(now, gone=gone))

    def find(self, text: str, now: float) -> tuple[Row, ...]:
        """Return the rows a person may mean: by id, name, boot or address, else by the start of an id.

        Live rows hide gone rows with the same kind of match.
        """
        rows = list(self.rows(now, gone=True))
        exact = [row for row in rows if text in (row.id, row.name, row.boot)]
        found = exact or [row for row in rows if any(path.address == text for path in row.paths.fresh(now))]
        if not found and len(text) >= 4:
            found = [row for row in rows if row.id.startswith(text)]
        live = [row for row in found if row.state_at(now) in LIVE]
        return tuple(live or found)

    def sealed(self, id: str, boot: str, now: float) -> Row | None:
        """Return a live peer that seals and has this boot, or this id: in its name nothing plain is heard."""
        rows = (*self.boots.of_boot(boot), *self.boots.of(id))
        return next((row for row in rows if row.sealed_with and row.state_at(now) in LIVE), None)

    def has_digest(self, row: Row) -> bool:
        """Return whether the record we hold is the one the peer announces."""
        return row.record is not None and row.record.digest == row.digest

    # --- numbers ------------------------------------------------------------------------------------

    def counts(self, now: float) -> dict[State, int]:
        """Count the rows by state."""
        tally = Counter(row.state_at(now) for row in self.rows(now, gone=True))
        return {state: tally[state] for state in STATES}

    def live_count(self, now: float) -> int:
        """Count the peers that are listed."""
        return sum([row.state in LIVE and now < row.expires and not row.is_replaced for row in self._rows.values()])

    def speaking(self, now: float) -> int:
        """Count the peers that share the budget of HELLOs: those proved, and those that keep speaking."""
        idle = [
            row.is_shown and now < row.expires and not keeps_speaking(row, now, self.interval)
            for row in self._unproved.values()
        ]
        return self.live_count(now) - sum(idle)

    def silent_together(self, now: float, within: float) -> int:
        """Count the proved peers that fell silent, not long ago, in the last seconds in which any was heard."""
        rows = [row for row in self.rows(now, gone=True) if row.proved]
        heard = max((row.last_heard for row in rows), default=now)
        return silent_together((row.last_heard for row in rows if row.is_silent(now, SILENT_FOR)), heard, within)

    def proved_up(self, now: float) -> int:
        """Count the peers that are up and answered a PING once."""
        return sum(row.proved and row.state_at(now) == "up" for row in self.rows(now))

    def routed_count(self, now: float) -> int:
        """Count the peers that are up by a routed path and hear us, as far as we know."""
        return sum(
            row.state_at(now) == "up"
            and any(path.source.link is None and path.two_way is not False for path in row.paths.fresh(now))
            for row in self.rows(now)
        )

    # --- bounds -------------------------------------------------------------------------------------

    def beyond(self) -> int:
        """Count the live rows that were first heard from beyond our links."""
        return sum([row.state in LIVE for row in self._beyond.values()])

    def is_crowded_beyond(self, limit: int) -> bool:
        """Return whether so many live rows were first heard from beyond our links."""
        return len(self._beyond) >= limit and self.beyond() >= limit

    def known_addresses(self, since: float) -> Iterator[str]:
        """Yield the addresses of live rows that were there before, or once answered a PING."""
        for row in self._rows.values():
            if row.state in LIVE and not row.is_stranger(since):
                yield from (path.address for path in row.paths.values())

    def knew(self, key: Key, since: float) -> bool:
        """Return whether a peer was there before, or once answered a PING."""
        row = self._rows.get(key)
        return row is not None and not row.is_stranger(since)

    def _victims(self, newcomer: Row, chosen: list[Row]) -> list[Row]:
        """Return the rows that have to go so that a newcomer has a place: those chosen already, and more if need be.

        Raises:
            Unproven: there are not so many, unless the newcomer answers a PING first.
            WireError: ``table-full``.
        """
        excess = len(self._rows) + 1 - self.limit
        victims = {row.key: row for row in chosen}
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

    def _add(self, row: Row, source: Source) -> None:
        self._rows[row.key] = row
        if source.link is None:
            self._beyond[row.key] = row
        if not row.proved:
            self._unproved[row.key] = row
        if row.kind == "node":
            self.boots.add(row)

    def _forget(self, row: Row) -> None:
        del self._rows[row.key]
        for index in (
            self._gone, self._beyond, self._replaced, self._unproved, self.suspects, self.leavers, self.quiet
        ):  # fmt: skip
            index.pop(row.key, None)
        if row.kind == "node":
            self.boots.remove(row)
