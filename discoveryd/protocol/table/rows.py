"""The rows of a table with their indexes and bounds; restarts and clones.

A new boot of a known id is a restart of the boot before. If the older boot is heard all the same, two nodes run with
one id: both are listed, and flagged as clones.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.peer import LIVE, STATES, Event, EventKind, Peer, State
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.standing import MAX_UNPROVED, keeps_speaking

MAX_ENDED = 1024
"""Boots remembered that are over. Past it the first is forgotten, and would be heard again without being asked."""
MAX_PAST = 8
"""Former boots of a node that are remembered, so that two boots that take turns do not count each other's restarts."""


class Rows:
    """Rows keyed by id and boot (bare peers by address), bounded.

    Args:
        limit: most rows; a full table gives up gone rows, never live ones.
        remember: seconds for which gone rows are kept.
        own_id: a peer with this node id is a clone of ourselves.

    Attributes:
        by_key: every row.
    """

    def __init__(self, *, limit: int, remember: float, own_id: str) -> None:
        self.limit = limit
        self.remember = remember
        self.interval = 0.8  # ours, by which unproven rows are judged
        self.ranks: dict[str, int] = {}  # of the variants (ids of keys, empty for plain): the lowest is the best
        self.suspects: dict[Key, Row] = {}  # to be probed
        self.quiet: dict[Key, Row] = {}  # last heard by a PONG: PINGed again if no HELLO comes
        self.leavers: dict[Key, Row] = {}  # to be asked whether they left. Forged: a goodbye may be
        self._own_id = own_id
        self.by_key: dict[Key, Row] = {}
        self._by_id: dict[str, tuple[Row, ...]] = {}
        self._by_boot: dict[str, tuple[Row, ...]] = {}  # several where different ids claim one boot
        self._ended: dict[Key, float] = {}  # boots that are over, and until when they have to be asked
        self._gone: dict[Key, Row] = {}  # down or left, the longest gone first
        self._beyond: dict[Key, Row] = {}  # first heard from beyond our links
        self._replaced: dict[Key, Row] = {}  # hidden by a newer boot, the first first
        self._unproved: dict[Key, Row] = {}  # never answered a PING, the oldest first
        self.event_log = EventLog()

    def __len__(self) -> int:
        return len(self.by_key)

    # --- what is known ------------------------------------------------------------------------------

    def get(self, id: str, boot: str = "") -> Row | None:
        """Return the row of one run of a node, or of a bare peer's address."""
        return self.by_key.get((id, boot))

    def of_id(self, id: str) -> tuple[Row, ...]:
        """Return the rows of an id."""
        return self._by_id.get(id, ())

    def of_boot(self, boot: str) -> tuple[Row, ...]:
        """Return the rows of a boot: one for each id that claims it."""
        return self._by_boot.get(boot, ())

    def replaced(self, id: str) -> tuple[Row, ...]:
        """Return the boots of an id that a newer boot replaced, and that may yet prove to be clones."""
        return tuple(row for row in self._by_id.get(id, ()) if row.is_replaced)

    def rows(self, now: float, *, gone: bool = False) -> Iterator[Row]:
        """Iterate over the live rows, or over all that are remembered."""
        for row in self.by_key.values():
            if not row.is_replaced and (gone or (row.state in LIVE and now < row.expires)):
                yield row

    def shown(self) -> Iterator[Row]:
        """Iterate over the live rows, as of the last call with a time."""
        return (row for row in self.by_key.values() if row.is_shown)

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Return the live peers (and with `gone` those down or left), the oldest row first."""
        return tuple(row.peer(now) for row in self.rows(now, gone=gone))

    def find(self, text: str, now: float) -> tuple[Row, ...]:
        """Return the rows a person may mean: by id, name, boot or address, else by the start of an id.

        ``NAME-BOOT``, with the first four digits of the boot or more, is the second of one name, as exports call it.
        Live rows hide gone rows with the same kind of match.
        """
        rows = list(self.rows(now, gone=True))
        exact = [row for row in rows if text in (row.id, row.name, row.boot)]
        found = exact or [row for row in rows if any(path.address == text for path in row.paths.fresh(now))]
        if not found and len(text) >= 4:
            found = [row for row in rows if row.id.startswith(text)]
        name, _, boot = text.rpartition("-")
        if not found and name and len(boot) >= 4:
            found = [row for row in rows if row.name == name and row.boot.startswith(boot)]
        live = [row for row in found if row.state_at(now) in LIVE]
        return tuple(live or found)

    def sealed(self, id: str, boot: str, now: float) -> Row | None:
        """Return a live peer that seals and has this boot, or this id: in its name nothing plain is heard."""
        rows = (*self.of_boot(boot), *self.of_id(id))
        return next((row for row in rows if row.sealed_with and row.state_at(now) in LIVE), None)

    # --- numbers ------------------------------------------------------------------------------------

    def counts(self, now: float) -> dict[State, int]:
        """Count the rows by state."""
        tally = Counter(row.state_at(now) for row in self.rows(now, gone=True))
        return {state: tally[state] for state in STATES}

    def live_count(self, now: float) -> int:
        """Count the peers that are listed."""
        return sum([row.state in LIVE and now < row.expires and not row.is_replaced for row in self.by_key.values()])

    def speaking(self, now: float) -> int:
        """Count the peers that share the budget of HELLOs: those proved, and those that keep speaking."""
        idle = [
            row.is_shown and now < row.expires and not keeps_speaking(row, now, self.interval)
            for row in self._unproved.values()
        ]
        return self.live_count(now) - sum(idle)

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
        for row in self.by_key.values():
            if row.state in LIVE and not row.is_stranger(since):
                yield from (path.address for path in row.paths)

    def knew(self, key: Key, since: float) -> bool:
        """Return whether a peer was there before, or once answered a PING."""
        row = self.by_key.get(key)
        return row is not None and not row.is_stranger(since)

    def _victims(self, newcomer: Row, chosen: list[Row]) -> list[Row]:
        """Return the rows that have to go so that a newcomer has a place: those chosen already, and more if need be.

        More are those worth less than the newcomer: replaced, gone, unproven, or plain where it seals.

        Raises:
            Unproven: there are not so many, unless the newcomer answers a PING first.
            WireError: ``table-full``.
        """
        excess = len(self.by_key) + 1 - self.limit
        victims = {row.key: row for row in chosen}
        for row in chain(
            self._replaced.values(),
            self._gone.values(),
            self._unproved.values() if newcomer.proved else (),
            (row for row in self.by_key.values() if newcomer.sealed_with and not row.sealed_with),
        ):
            if len(victims) >= excess:
                break
            victims[row.key] = row
        if len(victims) < excess:
            if newcomer.kind == "node" and not newcomer.proved and self._unproved:
                raise Unproven("table-full", f"{self.limit} peers, and some that did not answer a PING")
            raise WireError("table-full", f"{self.limit} peers")
        return list(victims.values())

    def _add(self, row: Row, source: Source) -> None:
        self.by_key[row.key] = row
        if source.link is None:
            self._beyond[row.key] = row
        if not row.proved:
            self._unproved[row.key] = row
        if row.kind == "node":
            alone = (row,)  # for most rows one tuple does for both
            self._by_id[row.id] = self._by_id.get(row.id, ()) + alone
            self._by_boot[row.boot] = self._by_boot.get(row.boot, ()) + alone
            self._ended.pop(row.key, None)

    def _forget(self, row: Row) -> None:
        del self.by_key[row.key]
        for index in (
            self._gone, self._beyond, self._replaced, self._unproved, self.suspects, self.leavers, self.quiet
        ):  # fmt: skip
            index.pop(row.key, None)
        if row.kind == "node":
            for rows, name in ((self._by_id, row.id), (self._by_boot, row.boot)):
                rows[name] = tuple([other for other in rows[name] if other is not row])
                if not rows[name]:
                    del rows[name]

    def count_as_proved(self, row: Row, now: float) -> None:
        """Count a row no longer among those that never answered a PING."""
        if self._unproved.pop(row.key, None) is not None:
            self.event_log.journal.proved(row, now)

    # --- boots that are over ------------------------------------------------------------------------

    def end(self, row: Row, now: float, until: float) -> None:
        """Remember that a boot is over: until then it has to answer a PING before it is heard again."""
        while self._ended and now >= next(iter(self._ended.values())):
            del self._ended[next(iter(self._ended))]
        put_last(self._ended, row.key, until, MAX_ENDED)

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
        here = [one for one in rows if any(path.address == address for path in one.paths)]
        if here:
            rows = here
        elif len(rows) > 1 or any(one.clone for one in rows):
            rows = [one for one in rows if one.state not in LIVE]
        return min(rows, key=lambda one: one.last_heard, default=None)

    def check_unproved(self, row: Row, former: Row | None, *, is_restart: bool) -> None:
        """Refuse a boot that has not answered a PING, where that must be known first.

        Args:
            row: the boot.
            former: the boot it replaces.
            is_restart: whether that lives.

        Raises:
            Unproven: too many like it use its id, or the boot it replaces answered and lives, or may not have left.
        """
        if sum(not one.proved for one in self._by_id.get(row.id, ())) >= MAX_UNPROVED:
            raise Unproven("unproven", f"{MAX_UNPROVED} others of its id have not answered a PING either")
        if former is not None and (former.key in self.leavers or row.began < former.question_at):
            raise Unproven("unproven", "the boot it replaces is being asked whether it left")
        if former is not None and former.proved and is_restart:
            raise Unproven("unproven", "the boot it replaces did answer a PING, and lives")

    def follow(self, row: Row, former: Row) -> None:
        """Let a new boot continue the history of its node, and what was announced of it: a crash loop flaps too.

        The record too, until that of the new boot is here: mostly it is the same, as the digest of the HELLO shows.
        """
        row.record = former.record
        row.first_seen, row.took_over = former.first_seen, (former.boot, former.last_heard)
        past = dict(former.past)
        known = past.get(row.boot)  # a boot that was there before has its own count
        row.restarts = former.restarts + 1 if known is None else known
        former.handed = (former.restarts + 1 if known is None else 0, row.last_heard)
        past[former.boot] = former.restarts
        if known is not None and former.state not in LIVE:  # the two take turns: neither is a restart of the other
            past[former.boot] = max(0, former.restarts - known - 1)
        row.past = tuple(past.items())[-MAX_PAST:]
        self.event_log.hand_over(former, row)

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
        self.event_log.hand_back(row, shown)
        if self._are_clones(row.id, shown):
            return self.appear("clone", f"another running node has the id {row.id}", row, now)
        return self.appear("recovered", "the newer boot of its id is gone", row, now)

    # --- clones -------------------------------------------------------------------------------------

    def appear(self, kind: EventKind, reason: str, row: Row, now: float) -> list[Event]:
        """Return the events of a row that is live from now on, and of what that makes of the others with its id."""
        shown = self._shown(row.id)
        row.clone = self._are_clones(row.id, shown)
        row.changed()
        events = self.event_log.emit(kind, reason, row, now)
        return events if shown == [row] else events + self.settle(row.id, now)

    def settle(self, id: str, now: float) -> list[Event]:
        """Flag the listed rows of an id if there are several; unflag one that is left alone. Return the events."""
        events: list[Event] = []
        shown = self._shown(id)
        clones = self._are_clones(id, shown)
        for row in shown:
            if row.clone != clones:
                row.clone = clones
                row.changed()
                kind: EventKind = "clone" if clones else "updated"
                reason = f"another running node has the id {id}" if clones else "the clone is gone"
                events += self.event_log.emit(kind, reason, row, now)
        return events

    def _shown(self, id: str) -> list[Row]:
        return [row for row in self._by_id.get(id, ()) if row.state in LIVE and not row.is_replaced]

    def _are_clones(self, id: str, shown: list[Row]) -> bool:
        return id == self._own_id or len(shown) > 1
