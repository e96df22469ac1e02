"""The table of peers: what was heard first-hand, and how long it holds.

Complete without a socket, a thread or a clock; time is an argument of every call, in seconds.

    >>> from discoveryd.protocol.link import Link, Source
    >>> from discoveryd.protocol.table.table import PeerTable
    >>> eth0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
    >>> table = PeerTable(limit=100)
    >>> [event.kind for event in table.heard_bare(Source("10.0.0.7", eth0), ttl=4.0, now=0.0)]
    ['joined']
    >>> [(peer.address, peer.state) for peer in table.peers(now=3.9)]
    [('10.0.0.7', 'up')]
    >>> table.peers(now=4.0)
    ()
    >>> [(event.kind, event.reason) for event in table.expire(now=4.0)]
    [('down', 'not heard for its ttl of 4 s')]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NoReturn

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.table.boots import Boots
from discoveryd.protocol.table.event_log import EventLog
from discoveryd.protocol.table.events import KINDS, Event, EventKind
from discoveryd.protocol.table.expectations import Expectations
from discoveryd.protocol.table.liveness import P_DEAF, misses, probes_needed, silent_together
from discoveryd.protocol.table.peer import LIVE, Peer, State
from discoveryd.protocol.table.row import GIVEN_UP, NEVER, Key, Path, Row
from discoveryd.protocol.table.shared_addresses import SharedAddresses
from discoveryd.protocol.table.standing import DOUBT, MAX_UNPROVED, agree, goes_on, holds_until, life
from discoveryd.protocol.wire.hello import Hello
from discoveryd.protocol.wire.record import Record, decode_again

MAX_PATHS = 16
"""Addresses kept per peer; of a peer that has more the longest silent one is forgotten."""

DEAF_PINGS = 3
"""At least so many PINGs in a row without an answer, from a peer whose HELLOs arrive: it does not hear us."""

ASK_ON = 0.4
"""Of the silence after which a peer is suspect: when to PING one again that answers, but whose HELLOs do not come."""

SAME = 1e-6
"""Seconds between two moments that count as one: times are floats."""

SILENT_FOR = 600.0
"""Seconds for which a peer that went down still counts as silent, when we doubt ourselves."""


class PeerTable:
    """Rows keyed by id and boot (bare peers by address), bounded, with an event for each change.

    Args:
        limit: most rows; a full table gives up gone rows, never live ones.
        remember: seconds for which gone rows are kept.
        own_id: a peer with this node id is a clone of ourselves.
    """

    def __init__(self, *, limit: int = 4096, remember: float = 3600.0, own_id: str = "") -> None:
        self.limit = limit
        self.remember = remember
        self.interval = 0.8  # ours, by which is judged what is unproven
        self.steady = Expectations()
        self.suspects: dict[Key, Row] = {}  # to be probed
        self.quiet: dict[Key, Row] = {}  # heard by a PONG last: to be asked on if no HELLO comes
        self.leavers: dict[Key, Row] = {}  # to be asked whether they have left: anybody could have said it
        self.ranks: dict[str, int] = {}  # ways of being heard (ids of keys, empty for plain): the least is the best
        self._rows: dict[Key, Row] = {}
        self._by_boot: dict[str, tuple[Row, ...]] = {}  # mostly one; any further are of who took a boot for its own
        self._event_log = EventLog()
        self._boots = Boots(own_id, self._event_log)
        self._shared = SharedAddresses(self._event_log)
        self._gone: dict[Key, Row] = {}  # those down or left, the longest gone first
        self._beyond: dict[Key, Row] = {}  # those first heard from beyond our links
        self._replaced: dict[Key, Row] = {}  # those hidden, since a newer boot spoke, the first one first
        self._unproved: dict[Key, Row] = {}  # those that never answered a PING, the oldest first
        self.blind_until = -NEVER  # nobody is judged before that
        self._next_expiry = NEVER  # never later than the first row to expire

    def __len__(self) -> int:
        return len(self._rows)

    def beyond(self) -> int:
        """Count the live rows that were first heard from beyond our links."""
        return sum([row.state in LIVE for row in self._beyond.values()])

    def is_crowded_beyond(self, limit: int) -> bool:
        """Return whether as many live rows as that were first heard from beyond our links."""
        return len(self._beyond) >= limit and self.beyond() >= limit

    def known_addresses(self, since: float) -> Iterator[str]:
        """Give the addresses of live rows that were there before, or once answered a PING."""
        for row in self._rows.values():
            if row.state in LIVE and not row.is_stranger(since):
                yield from (path.address for path in row.paths.values())

    def knew(self, key: Key, since: float) -> bool:
        """Whether a peer was there before, or once answered a PING."""
        row = self._rows.get(key)
        return row is not None and not row.is_stranger(since)

    def turn_away(self, since: float, now: float) -> tuple[Event, ...]:
        """Take down who came since then and never answered a PING: the forged ones of a flood."""
        for row in list(self._rows.values()):
            if row.state in LIVE and row.is_stranger(since):
                if not row.is_replaced:
                    self._down(row, "came with a flood, and answered no PING", now)
                self._remove(row, now)  # its silence says nothing of us
        return self._event_log.take()

    # --- what was heard -----------------------------------------------------------------------

    def heard(self, hello: Hello, source: Source, now: float, *, proved: bool = False) -> tuple[Event, ...]:
        """Take a HELLO that came from its sender itself.

        Args:
            hello: what it says.
            source: where it came from.
            now: the moment it came.
            proved: its sender has answered a PING of ours.

        Raises:
            Unproven: its sender has to answer a PING first: it may be over, or another one may live that it replaces.
            WireError: ``table-full``, ``malformed`` (its record), ``stale`` (its sender is gone, and it is older).
                Events that were due by then come with the next call.
        """
        self._expire(now)
        row = self._rows.get((hello.id, hello.boot))
        if row is not None and source.key and not row.sealed_with and (row.is_replaced or row.state == "left"):
            self._remove(row, now)  # anybody may have told its end: who seals begins anew
            row = None
        if hello.goodbye:
            self._goodbye(row, hello, now)
            return self._event_log.take()
        if row is not None and self._has_left(row, hello, now):
            self._refuse_old(row)
        if row is None and not (proved or source.key) and self._boots.is_over(hello, now):
            raise Unproven("stale", "of a boot that is over")
        record = decode_again(hello.record, hello.digest, None if row is None else row.record)
        opening: tuple[EventKind, str] | None = None
        if row is None:
            row, opening = self._open(hello, source, now, proved=proved)
            is_news = True
        else:
            is_news = self._change_over(row, hello, source, now)
            if row.state != "up":
                opening = ("recovered", f"heard again on {_where(source)} after {now - row.last_heard:.1f} s")
            if not is_news and self._is_repeated(row, hello, source):
                return self._event_log.take()
        path = self._path(row, source, now)
        # else it is the same in another way, for others
        is_first = row.sealed_with == source.key and self._take(row, path, hello, record, source, now=now)
        if is_news:
            self._vouch(row, path, source, now)
            self._show(row, opening, now)
        else:
            self._join(row, path, now, is_first=is_first)
        if path.source is source and row.sealed_with == source.key and hello.seq == row.seq:
            self._shorten(row, path, hello)
        return self._event_log.take()

    def heard_bare(self, source: Source, ttl: float, now: float) -> tuple[Event, ...]:
        """Take a plain ``HELLO|``; its sender is known by its address alone.

        Raises:
            WireError: ``table-full``; events that were due by then come with the next call.
        """
        self._expire(now)
        row = self._rows.get((source.address, ""))
        opening: EventKind | None = None
        if row is None:
            self._make_room(now)
            row = Row(kind="bare", id=source.address, boot="", now=now)
            self._add(row, source)
            opening = "joined"
        elif row.state != "up":
            opening = "recovered"
        row.ttl = ttl
        row.beat()
        row.last_hello = max(row.last_hello, now)
        self._refresh(row, self._path(row, source, now), now)
        if opening is not None:
            self._event_log.emit(opening, f"bare HELLO on {_where(source)}", row, now)
        else:
            self._event_log.emit_if_changed(row, now)
        return self._event_log.take()

    def answered(
        self, row: Row, source: Source, rtt: float, hears_us_s: float | None, *, two_way: bool | None, now: float,
        held: float = 0.0,
    ) -> tuple[Event, ...]:  # fmt: skip
        """Take a PONG to a PING of ours; it vouches for the peer like a HELLO.

        Args:
            row: of the peer that answered.
            source: where the answer came from.
            rtt: seconds that PING and PONG were on their way.
            hears_us_s: how long ago the peer last heard a HELLO of ours, None for never.
            two_way: whether that is within our ttl; None where it means nothing.
            now: the moment it came.
            held: seconds for which the PING lay with the peer.
        """
        self._expire(now)
        # a PONG may be overtaken by the goodbye, unless it answers a PING that was sent after that
        is_known = self._rows.get(row.key) is row and row.kind == "node"
        if is_known and (row.state != "left" or now - rtt - held > row.last_heard - SAME):
            former = row.state
            row.proved = True
            agree(row, now)
            row.rejects = False
            self._unproved.pop(row.key, None)
            if former == "left" or row.leaving:
                row.doubted_until = now + DOUBT
            path = self._path(row, source, now)
            path.answered(rtt, hears_us_s, two_way=two_way, now=now)
            self._refresh(row, path, now)
            self._ask_on(row, now)
            if row.is_replaced:
                self._restore(row, now)
            else:
                why = "answered a PING: the goodbye was not its own" if former == "left" else "answered a PING"
                self._show(row, ("recovered", why) if former != "up" else None, now)
        return self._event_log.take()

    def _ask_on(self, row: Row, now: float) -> None:
        """Keep a peer that answers up by its answers, as long as its HELLOs are overdue."""
        if row.miss_hellos(now):
            self.steady.drop_row(row)
        row.ask_at = max(row.last_hello + row.suspect_after, now + ASK_ON * row.suspect_after)
        self.quiet[row.key] = row

    def unanswered(self, row: Row, path: Path, now: float) -> tuple[Event, ...]:
        """Count a PING that nobody answered; a peer we hear all the while does not hear us."""
        path.unanswered += 1
        enough = probes_needed(path.loss, P_DEAF)
        if enough and path.unanswered >= max(DEAF_PINGS, enough) and row.state == "up" and path.two_way is not False:
            path.two_way = False
            row.changed()
            row.consider(now)
            self._event_log.emit_if_changed(row, now)
        return self._event_log.take()

    def refused(self, row: Row, reason: str, now: float) -> tuple[Event, ...]:
        """Take the word of its machine that no peer is there: the end of a suspect; else it is remembered."""
        row.refused = now
        self.steady.drop_row(row)  # to hear it again says that the word is worth nothing
        return self.give_up(row, reason, now)

    def give_up(self, row: Row, reason: str, now: float) -> tuple[Event, ...]:
        """Let a suspect peer go down before its ttl, on evidence."""
        self._expire(now)
        if row.state == "suspect" and not row.is_replaced:
            if row.leaving:
                self._leave(row, f"said goodbye; {reason}", now)
            else:
                self._down(row, reason, now)
        return self._event_log.take()

    def mistrust(self, until: float) -> None:
        """Judge nobody before that moment, for what arrived until then may be lost, or yet to be given.

        At that moment whoever would be suspect or down is suspect, for one grace period. One for each silence:
        pauses in a row keep nobody alive.
        """
        self.blind_until = max(self.blind_until, until)
        self._next_expiry = min(self._next_expiry, until)

    def _excuse(self, now: float) -> None:
        self.blind_until = -NEVER
        for row in self._rows.values():
            row.beats_from = now
            if not row.is_shown or row.excused == row.last_heard or now < min(row.suspect_at(), row.expires):
                continue
            row.excused = row.last_heard
            row.expires = max(row.expires, now + row.patience)
            for path in row.last_paths():
                path.expires = row.expires
                path.distrust()  # we may be somewhere else now
            self._suspect(row, "we were asleep, so its silence means little", now)
        self._next_expiry = now

    def expire(self, now: float, clock: float | None = None) -> tuple[Event, ...]:
        """Tidy: what fell silent becomes suspect, then down, then forgotten; its silent addresses are let go.

        Args:
            now: until when all that arrived was heard; silence after that is not judged.
            clock: the time, if it is later: `next_expiry` is then by what was heard meanwhile, and past only if
                somebody may be due.
        """
        self._expire(now, clock)
        return self._event_log.take()

    # --- what is known ------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return self._event_log.seq

    @property
    def event_counts(self) -> dict[EventKind, int]:
        """Count the events there were, by kind."""
        return {kind: self._event_log.counts[kind] for kind in KINDS}

    def next_expiry(self) -> float:
        """Say when `expire` should run again: never too late, sometimes too early."""
        due = min(self._next_expiry, self._shared.due)
        return min(due, self._event_log.next_due()) if self._event_log.suppressed_count else due

    def rows(self, now: float, *, gone: bool = False) -> Iterator[Row]:
        """Iterate over the live rows, or over all that are remembered."""
        for row in self._rows.values():
            if not row.is_replaced and (gone or (row.state in LIVE and now < row.expires)):
                yield row

    def shown(self) -> Iterator[Row]:
        """Iterate over the live rows, as of the last call with a time."""
        return (row for row in self._rows.values() if row.is_shown)

    def set_ranks(self, ranks: dict[str, int]) -> None:
        """Prefer other ways of being heard, and look closer at whatever comes next."""
        self.ranks = ranks
        for row in self._rows.values():
            self.steady.drop_row(row)

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Give the live peers (and with `gone` those down or left), oldest row first."""
        return tuple(row.peer(now) for row in self.rows(now, gone=gone))

    def get(self, id: str, boot: str = "") -> Row | None:
        """Give the row of one run of a node, or of a bare peer's address."""
        return self._rows.get((id, boot))

    def sealed(self, id: str, boot: str, now: float) -> Row | None:
        """Give a live peer that seals and has this boot, or this id: nobody else is heard in its name."""
        for row in (*self.of_boot(boot), *self._boots.of(id)):
            if row.sealed_with and row.state_at(now) in LIVE:
                return row
        return None

    def of_boot(self, boot: str) -> tuple[Row, ...]:
        """Give the rows of a boot: one for each id that is said to have it."""
        return self._by_boot.get(boot, ())

    def find(self, text: str, now: float) -> tuple[Row, ...]:
        """Give the rows a person may mean: by id, name, boot or address, else by the start of an id.

        Live rows hide gone ones of the same kind of match.
        """
        rows = list(self.rows(now, gone=True))
        exact = [row for row in rows if text in (row.id, row.name, row.boot)]
        found = exact or [row for row in rows if any(path.address == text for path in row.fresh(now))]
        if not found and len(text) >= 4:
            found = [row for row in rows if row.id.startswith(text)]
        live = [row for row in found if row.state_at(now) in LIVE]
        return tuple(live or found)

    def counts(self, now: float) -> dict[State, int]:
        """Count the rows by state."""
        tally = Counter(row.state_at(now) for row in self.rows(now, gone=True))
        return {state: tally[state] for state in ("up", "suspect", "down", "left")}

    def live_count(self, now: float) -> int:
        """Count the peers that are listed."""
        return sum([row.state in LIVE and now < row.expires and not row.is_replaced for row in self._rows.values()])

    def speaking(self, now: float) -> int:
        """Count the peers that share the budget of HELLOs: those proved, and those that go on speaking."""
        idle = [
            row.is_shown and now < row.expires and not goes_on(row, now, self.interval)
            for row in self._unproved.values()
        ]
        return self.live_count(now) - sum(idle)

    def silent_together(self, now: float, within: float) -> int:
        """Count the peers that fell silent in the last so many seconds in which anybody was heard, not long ago."""
        rows = [row for row in self.rows(now, gone=True) if row.proved]
        heard = max((row.last_heard for row in rows), default=now)
        return silent_together((row.last_heard for row in rows if row.is_silent(now, SILENT_FOR)), heard, within)

    def proved_up(self, now: float) -> int:
        """Count the peers that are up and answered a PING once."""
        return sum(row.proved and row.state_at(now) == "up" for row in self.rows(now))

    def routed_count(self, now: float) -> int:
        """Count the peers that are up by a routed path and do hear us, as far as we know."""
        return sum(
            row.state_at(now) == "up"
            and any(path.source.link is None and path.two_way is not False for path in row.fresh(now))
            for row in self.rows(now)
        )

    def shared_addresses(self, now: float) -> dict[tuple[str, str], list[Row]]:
        """Return the rows that share an address, by address and link."""
        return self._shared.found(now)

    def has_digest(self, row: Row) -> bool:
        """Whether the record we hold is the one the peer announces."""
        return row.record is not None and row.record.digest == row.digest

    def replaced_boots(self, id: str) -> tuple[Row, ...]:
        """Give the rows that a newer boot of this id took over from and that may yet prove to be clones."""
        return self._boots.replaced_boots(id)

    # --- time ---------------------------------------------------------------------------------

    def _expire(self, now: float, clock: float | None = None) -> None:
        if (now if clock is None else clock) >= self._next_expiry and now >= self.blind_until:
            if self.blind_until > -NEVER:
                self._excuse(now)
            self._tidy(now)
        if (now if clock is None else clock) >= self._shared.due:
            self._shared.judge(now, now if clock is None else clock)
        if self._event_log.suppressed_count and now >= self._event_log.next_due():
            self._event_log.catch_up(now)

    def _tidy(self, now: float) -> None:
        rows = self._rows.values()
        deadlines = [
            # what `Row.deadline` does, for nearly all of them; the ways of one that has several need a look
            row.last_heard + row.patience if row.state == "up" and not row.several and not row.is_replaced
            else now if row.several else row.deadline(now, self.remember)
            for row in rows
        ]  # fmt: skip
        due = [row for row, deadline in zip(rows, deadlines, strict=True) if now >= deadline]
        next_expiry = min([deadline for deadline in deadlines if deadline > now], default=NEVER)
        # in the order in which they fell silent
        for row in sorted(due, key=lambda row: row.expires):
            self._judge(row, now)
        later = [row.deadline(now, self.remember) for row in due if row.key in self._rows]
        self._next_expiry = min([next_expiry, *later])

    def _judge(self, row: Row, now: float) -> None:
        """Do what is due for one row."""
        if row.state not in LIVE or (row.is_replaced and now >= row.expires):
            if now >= row.deadline(now, self.remember):
                self._remove(row, now)
        elif now >= row.expires:
            self._down(row, f"not heard for its ttl of {row.ttl:g} s", now)
            if now >= row.deadline(now, self.remember):  # after a long pause: all that is due is done in one call
                self._remove(row, now)
        else:
            if row.several:
                self._drop_paths(row, now)
                row.consider(now)
            if row.is_replaced:
                return
            if row.state == "up" and now >= row.suspect_at():
                self._suspect(row, f"{misses(now - row.last_heard, row.interval or row.ttl)} HELLOs missed", now)
            else:
                self._event_log.emit_if_changed(row, now)

    def _suspect(self, row: Row, reason: str, now: float) -> None:
        self.steady.drop_row(row)
        if row.kind == "node":  # a bare one answers nothing
            row.probe_at = now
            self.suspects[row.key] = row
            for path in row.paths.values():
                path.probes, path.proved_at = 0, NEVER
        if row.state != "suspect":
            row.state = "suspect"
            self._event_log.emit("suspect", reason, row, now)

    def _down(self, row: Row, reason: str, now: float) -> None:
        self._go(row, "down")
        self._event_log.emit("down", reason, row, now)
        self._boots.settle(row.id, now)

    def _go(self, row: Row, state: State) -> None:
        row.state = state
        row.leaving = False
        row.hear_again()
        for path in row.paths.values():
            path.forget_answers()
        row.changed()
        self.steady.drop_row(row)
        self.suspects.pop(row.key, None)
        self._gone[row.key] = row
        self._shared.look(row, row.last_heard)
        self._next_expiry = min(self._next_expiry, row.deadline(row.last_heard, self.remember))

    def _refresh(self, row: Row, path: Path, now: float) -> None:
        row.live(life(row, self.interval))
        row.heard(path, now)
        if row.is_replaced:
            row.fade()
        if row.state not in LIVE:
            row.beats_from = now
        if row.state != "up":
            row.state = "up"
            row.leaving = False
            row.changed()
            self.suspects.pop(row.key, None)
            self.leavers.pop(row.key, None)
            self._gone.pop(row.key, None)
            self._shared.look(row, now)
        row.consider(now)
        self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))

    def _make_room(self, now: float, newcomer: Row | None = None) -> None:
        """Let a row go if there are too many, the one that is worth least, and less than the newcomer."""
        while len(self._rows) >= self.limit:
            victim = self._least(newcomer)
            if victim is None and newcomer is not None and not newcomer.proved and self._unproved:
                raise Unproven("table-full", f"{self.limit} peers, and some that did not answer a PING")
            if victim is None:
                raise WireError("table-full", f"{self.limit} peers")
            if victim.is_shown:
                self._down(victim, "makes room for a peer that has proved to be there", now)
            self._remove(victim, now)

    def _least(self, newcomer: Row | None) -> Row | None:
        """Return a row that makes room: one that is replaced, gone, unproven, or plain where the newcomer seals."""
        ranked: list[Iterable[Row]] = [self._replaced.values(), self._gone.values()]
        if newcomer is not None and newcomer.proved:
            ranked.append(self._unproved.values())
        if newcomer is not None and newcomer.sealed_with:
            ranked.append(row for row in self._rows.values() if not row.sealed_with)
        return next((row for rows in ranked for row in rows), None)

    def _add(self, row: Row, source: Source) -> None:
        self._rows[row.key] = row
        if source.link is None:
            self._beyond[row.key] = row
        if not row.proved:
            self._unproved[row.key] = row

    def _remove(self, row: Row, now: float) -> None:
        self._event_log.settle(row, now)
        self.steady.drop_row(row)
        self._shared.forget(row)
        self.suspects.pop(row.key, None)
        self.leavers.pop(row.key, None)
        self.quiet.pop(row.key, None)
        del self._rows[row.key]
        self._beyond.pop(row.key, None)
        self._gone.pop(row.key, None)
        self._replaced.pop(row.key, None)
        self._unproved.pop(row.key, None)
        if row.kind == "node":
            self._boots.remove(row)
            others = tuple(one for one in self._by_boot.pop(row.boot) if one is not row)
            if others:
                self._by_boot[row.boot] = others
            if row.is_replaced or row.state == "left":
                self._boots.end(row, now, holds_until(row, now, self.interval))

    # --- ways -----------------------------------------------------------------------------------

    def _path(self, row: Row, source: Source, now: float) -> Path:
        """Give the way of this source, a new one if need be in place of the longest silent."""
        path = row.path(source)
        if path is None:
            if len(row.paths) >= MAX_PATHS:
                self._drop_path(row, min(row.paths.values(), key=lambda path: path.last_heard))
            self.steady.drop_row(row)  # one that is stale was the best while it was the only one
            path = row.add_path(source, now)
            self._shared.add(path, now)
        return path

    def _drop_paths(self, row: Row, now: float) -> None:
        for path in list(row.paths.values()):
            if now >= path.expires:
                self._drop_path(row, path)
            elif now >= row.stales(path):
                self.steady.drop(path)  # to hear it again will change which one is the best

    def _drop_other_paths(self, row: Row, source: Source) -> None:
        for path in list(row.paths.values()):
            if path is not row.path(source):
                self._drop_path(row, path)

    def _drop_path(self, row: Row, path: Path) -> None:
        self.steady.drop(path)
        self._shared.remove(path)
        row.drop_path(path)

    # --- what a HELLO says ------------------------------------------------------------------------

    def _change_over(self, row: Row, hello: Hello, source: Source, now: float) -> bool:
        """Let a peer be heard in another way from now on, if that is better; whether this HELLO shows that it lives."""
        if source.key != row.sealed_with:
            worst = len(self.ranks)
            is_better = self.ranks.get(source.key, worst) < self.ranks.get(row.sealed_with, worst)
            is_news = bool(source.key) or hello.seq > row.seq  # what is plain may be a recording
            is_live = row.state_at(now) in LIVE
            if (is_better and is_live) or (is_news and (not is_live or hello.seq >= row.seq + GIVEN_UP)):
                if source.key and not row.sealed_with:
                    self._drop_other_paths(row, source)  # what was heard in plain may have been forged
                self.steady.drop_row(row)
                row.sealed_with = source.key
                if source.key:
                    row.proved = True
                    self._unproved.pop(row.key, None)
                if is_news:
                    row.seq = hello.seq  # what was heard in the other way may have been forged
                row.changed()
                return is_news
        return row.is_sealed_news(hello.seq, now) if source.key else row.goes_on(hello.seq, now)

    def _is_repeated(self, row: Row, hello: Hello, source: Source) -> bool:
        """Whether a HELLO that is no news can be no new path of its beat either.

        Raises:
            WireError: ``stale``, of a peer that is gone; it is asked whether it really is.
        """
        if row.state not in LIVE:
            self._refuse_old(row)
        return hello.seq > row.seq or (hello.seq < row.seq and row.path(source) is None)

    def _has_left(self, row: Row, hello: Hello, now: float) -> bool:
        """Return whether a HELLO is older than the goodbye of its boot, and that is believed yet."""
        is_older = row.state == "left" and hello.seq <= row.farewell
        return is_older and now < holds_until(row, row.last_heard, self.interval)

    def _refuse_old(self, row: Row | None) -> NoReturn:
        if row is not None and not row.sealed_with:
            self.leavers[row.key] = row
        raise WireError("stale", "not newer than the last one of a peer, or a boot, that is gone")

    def _shorten(self, row: Row, path: Path, hello: Hello) -> None:
        """Take the next HELLO by the short way if it can change nothing but when the peer was heard."""
        if row.state == "up" and not row.is_replaced and not row.unheard and self.has_digest(row):
            self.steady.add(path, hello)

    def _take(
        self, row: Row, path: Path, hello: Hello, record: Record | None, source: Source, *, now: float
    ) -> bool:
        """Take over what a HELLO says, unless it was overtaken; whether its beat is new on this way."""
        if path.source is not source:
            self.steady.drop(path)  # its entry stands under the source it had
            path.source = source
        is_first = path.reach is None or hello.seq > path.reach.seq
        path.heard(hello.seq)
        if hello.seq >= row.seq:  # one that was overtaken is no news
            row.move_on(hello.seq)
            self._announce(row, hello, record, now)
        return is_first

    def _vouch(self, row: Row, path: Path, source: Source, now: float) -> None:
        """Let a HELLO speak for the life of its sender."""
        row.last_hello = max(row.last_hello, now)
        self._refresh(row, path, now)
        if source.key:
            row.sealed_until = now + row.ttl

    def _join(self, row: Row, path: Path, now: float, *, is_first: bool) -> None:
        """Let a beat that was heard say no more than it did when it came first: that another way carries it too."""
        if is_first:
            path.last_heard, path.expires = row.last_heard, row.expires
        if row.has_new_ttl():
            self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))
            self._expire(now)
        if row.is_shown:
            self._event_log.emit_if_changed(row, now)

    def _announce(self, row: Row, hello: Hello, record: Record | None, now: float) -> None:
        """Take over what a HELLO says of its sender."""
        if row.announce(hello.interval_ms / 1000, hello.ttl_ms / 1000, hello.digest, now):
            row.live(life(row, self.interval))
            self.steady.drop_row(row)  # also on other ways, where the former HELLO may still arrive
        if record is not None and record is not row.record:
            row.record = record
            row.changed()

    def _goodbye(self, row: Row | None, hello: Hello, now: float) -> None:
        """Let a peer leave. The goodbye of a boot that is not shown changes nothing."""
        if row is None or row.state not in LIVE:
            return
        row.farewell = max(row.seq, hello.seq)
        if row.is_replaced:
            self._remove(row, now)
        elif not row.sealed_with and now < row.doubted_until:
            self._ask_before_it_left(row, now)
        else:
            self._leave(row, "said goodbye", now)

    def _ask_before_it_left(self, row: Row, now: float) -> None:
        """Take the goodbye of a peer in whose name others said it for a reason to ask, no more."""
        if not row.leaving:
            row.leaving = True
            row.state = "up"  # even if it was suspect: its probes are counted from here on
            self._suspect(row, "said goodbye, which was not its own not long ago: it is asked", now)

    def _leave(self, row: Row, reason: str, now: float) -> None:
        row.last_heard = row.expires = now
        self._go(row, "left")
        if not row.sealed_with:
            self.leavers[row.key] = row
        self._event_log.emit("left", reason, row, now)
        self._boots.settle(row.id, now)

    # --- boots of one id --------------------------------------------------------------------------

    def _open(self, hello: Hello, source: Source, now: float, *, proved: bool) -> tuple[Row, tuple[EventKind, str]]:
        """Begin a row, in place of an older boot of the same node if there is one."""
        row = Row(kind="node", id=hello.id, boot=hello.boot, now=now)
        row.sealed_with = source.key
        row.proved = proved or source.key != ""
        if row.proved:
            row.agreed = hello.ttl_ms / 1000
        former = self._boots.former(hello.id, source)
        if not row.proved:
            self._check_unproved(row, former, now)
        is_restart = former is not None and former.state_at(now) in LIVE
        if former is None or is_restart:
            self._make_room(now, row)
        if former is not None:
            row.follow(former)
            self._shared.inherit(row, former)
            self._event_log.hand_over(former, row)  # a crash loop flaps too
            if is_restart:
                former.replace_by(row)
                self._replaced[former.key] = former
                due = max(now, former.expires)  # what is overdue would look like a pause
                self._next_expiry = min(self._next_expiry, due)
                self.steady.drop_row(former)
                self.suspects.pop(former.key, None)
            else:
                self._remove(former, now)
        self._add(row, source)
        self._by_boot[row.boot] = (*self.of_boot(row.boot), row)
        self._boots.add(row)
        self._boots.revive(row)
        if former is None:
            return row, ("joined", f"first HELLO on {_where(source)}")
        if is_restart:
            return row, ("restarted", f"new boot {row.boot} in place of {former.boot}")
        return row, ("joined", f"back with a new boot on {_where(source)}")

    def _check_unproved(self, row: Row, former: Row | None, now: float) -> None:
        """Refuse a boot that has not answered a PING, where that must be known first.

        Raises:
            Unproven: too many like it use its id, or the boot it replaces answered and lives, or may not have left.
        """
        if self._boots.unproved(row.id) >= MAX_UNPROVED:
            raise Unproven("unproven", f"{MAX_UNPROVED} others of its id have not answered a PING either")
        if former is not None and former.key in self.leavers:
            raise Unproven("unproven", "the boot it replaces is being asked whether it left")
        if former is not None and former.proved and former.state_at(now) in LIVE:
            raise Unproven("unproven", "the boot it replaces did answer a PING, and lives")

    def _show(self, row: Row, opening: tuple[EventKind, str] | None, now: float) -> None:
        """Report a row that was heard: that it is live from now on, or else what is new."""
        if row.is_replaced:
            row.former_heard += 1  # one HELLO may have been under way when the new boot spoke, two were not
            if row.former_heard >= 2:
                self._restore(row, now)
        elif opening is not None:
            self._boots.appear(*opening, row, now)
        else:
            self._event_log.emit_if_changed(row, now)

    def _restore(self, row: Row, now: float) -> None:
        """Show an older boot again, which from now on may become suspect too."""
        self._replaced.pop(row.key, None)
        self._boots.restore(row, now)
        self._shared.look(row, now)
        self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))

def _where(source: Source) -> str:
    return source.link.name if source.link else "a routed path"
