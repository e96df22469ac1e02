"""The table of peers: what was heard first-hand, and how long it holds.

Complete without a socket, a thread or a clock; time is an argument of every call, in seconds. Each call returns its
events. The life of a row is described in `discoveryd.protocol.table.states`.

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

from collections.abc import Container

from discoveryd.errors import Unproven
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.ageing import AgeingRows
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE, Event, EventKind
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.standing import changes_variant, counts, holds_until, life
from discoveryd.protocol.wire.messages import Hello
from discoveryd.protocol.wire.record import Record, decode_again

MAX_PATHS = 16
"""Paths kept per peer; of a peer with more the longest silent path is forgotten."""

ASK_ON = 0.4
"""Of the silence after which a peer is suspect: when to PING one again that answers, but whose HELLOs do not come."""

SAME = 1e-6
"""Seconds between two moments that count as one, since times are floats."""

Opening = tuple[EventKind, str]
"""The event of a row that is live from now on, and its reason."""


class PeerTable(AgeingRows):
    """Rows keyed by id and boot (bare peers by address), bounded, with an event for each change.

    Args:
        limit: most rows; a full table gives up gone rows, never live ones.
        remember: seconds for which gone rows are kept.
        own_id: a peer with this node id is a clone of ourselves.
    """

    def set_ranks(self, ranks: dict[str, int]) -> None:
        """Prefer other variants."""
        self.ranks = ranks
        for row in self.by_key.values():
            row.changed()

    def set_links(self, links: Container[Link]) -> None:
        """Expect no steady HELLO on a link that is gone, and count those on others anew."""
        for path in self.steady.values():
            path.link_state = None
            if path.source.link is not None and path.source.link not in links:
                path.row.changed()

    # --- HELLOs -------------------------------------------------------------------------------------

    def heard(self, hello: Hello, source: Source, now: float, *, proved: bool = False) -> tuple[Event, ...]:
        """Process a HELLO that came from its sender itself.

        Args:
            hello: what it says.
            source: where it came from.
            now: the moment it came.
            proved: its sender has answered a PING of ours.

        Raises:
            Unproven: its sender has to answer a PING first: its boot may be over, or it replaces a boot that may live.
            WireError: ``table-full``, ``malformed`` (its record), ``stale`` (its sender is gone, and it is older).
                It led to no event then; events that were due before come with the next call.
        """
        self._owed += self._due(now, now)
        return self.enter(hello, source, now, proved=proved)

    def enter(self, hello: Hello, source: Source, now: float, *, proved: bool = False) -> tuple[Event, ...]:
        """Process a HELLO like `heard`, for a caller that has just called `expire`."""
        return self._with_owed(self._hear(hello, source, now, proved=proved))

    def _hear(self, hello: Hello, source: Source, now: float, *, proved: bool) -> list[Event]:
        key = (hello.id, hello.boot)
        known = self.by_key.get(key)
        # forged: the end of a plain row may be, so a boot that seals begins anew
        is_void = known is not None and not known.sealed_with and (known.is_replaced or known.state == "left")
        row = None if is_void and source.key else known
        if hello.goodbye:
            return self._goodbye(row, hello, now) if row or not known else self._remove(known, now)
        is_older = row is not None and row.state == "left" and hello.seq <= row.farewell.seq
        if row is not None and is_older and now < holds_until(row, row.last_heard, self.interval):
            raise self._stale(row)
        if row is None and not (proved or source.key) and now < self._ended.get(key, now):  # forged: an end may be
            raise Unproven("stale", "of a boot that is over")
        record = decode_again(hello.record, hello.digest, known.record if known else None)
        if row is not None:
            return self._hear_again(row, hello, record, source, now)
        row = Row(kind="node", id=hello.id, boot=hello.boot, now=now)
        row.sealed_with = source.key
        row.proved = proved or source.key != ""
        events, opening = self._open(row, source, now, known)
        path = row.paths.add(source, now)
        path.heard(hello.seq, now, hello.every)
        row.take(path, hello, record, source, now)
        row.agreed = row.ttl if row.proved else 0.0
        self.shared.add(path, now)
        self._vouch(row, path, source, now)
        events += self.appear(*opening, row, now)
        self._expect(row, path, hello, source)
        return events

    def _hear_again(
        self, row: Row, hello: Hello, record: Record | None, source: Source, now: float
    ) -> list[Event]:
        """Process a HELLO of a row that is there."""
        opening: Opening | None = None
        if row.state != "up":
            opening = "recovered", f"heard again on {_where(source)} after {now - row.last_heard:.1f} s"
        is_news = self._is_news(row, hello, source, now)
        if not is_news and row.state not in LIVE:
            raise self._stale(row)
        if not is_news and (hello.seq > row.seq or (hello.seq < row.seq and row.paths.of(source) is None)):
            return []  # it can be no new path of its beat either
        path = self._path(row, source, now)
        is_first = False
        if row.sealed_with == source.key:  # else it is the same once more, for others
            is_first = path.heard(hello.seq, now, hello.every)
            row.take(path, hello, record, source, now)
        if is_news:
            self._vouch(row, path, source, now)
            events = self._show(row, opening, now)
        else:
            events = self._hear_duplicate(row, path, now, is_first=is_first)
        self._expect(row, path, hello, source)
        return events

    def _is_news(self, row: Row, hello: Hello, source: Source, now: float) -> bool:
        """Return whether a HELLO shows that its sender lives, after a change to its variant where that is due."""
        if source.key == row.sealed_with or not changes_variant(row, hello, source, self.ranks, now):
            if source.key:
                return hello.seq > row.seq or row.state_at(now) not in LIVE
            return counts(row, hello.seq, now)
        is_news = bool(source.key) or hello.seq > row.seq
        if source.key and not row.sealed_with:  # forged: what was heard in plain may be
            for path in [one for one in row.paths if one is not row.paths.of(source)]:
                self._drop_path(path)
        row.sealed_with = source.key
        if source.key:
            row.proved = True
            self.count_as_proved(row, now)
        if is_news:
            row.seq = hello.seq  # forged: the seq in the other variant may be
        row.changed()
        return is_news

    def _hear_duplicate(self, row: Row, path: Path, now: float, *, is_first: bool) -> list[Event]:
        """Process a duplicate of a counted HELLO: it does not extend the ttl, but another path carries it too."""
        if is_first:
            path.hold(row.last_heard, row.expires - row.last_heard)
            row.paths.consider(now)
        events: list[Event] = []
        if row.announced_at == now:  # it announces something else
            row.hold_for(life(row, self.interval))
        if row.has_new_ttl():
            self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))
            events += self._due(now, now)
        return events + self.event_log.emit_if_changed(row, now) if row.is_shown else events

    def heard_bare(self, source: Source, ttl: float, now: float) -> tuple[Event, ...]:
        """Process a plain ``HELLO|``; its sender is known by its address alone.

        Raises:
            WireError: ``table-full``; events that were due by then come with the next call.
        """
        self._owed += self._due(now, now)
        row = self.by_key.get((source.address, ""))
        opening: EventKind | None = "recovered" if row is None or row.state != "up" else None
        if row is None:
            opening = "joined"
            row = Row(kind="bare", id=source.address, boot="", now=now)
            self._owed += self._give_way(self._victims(row, []), None, now)
            self._add(row, source)
        if row.ttl != ttl:
            row.ttl = ttl
            row.changed()
        row.bare_beats += 1
        self._vouch(row, self._path(row, source, now), source, now)
        if opening is None:
            return self._with_owed(self.event_log.emit_if_changed(row, now))
        return self._with_owed(self.event_log.emit(opening, f"bare HELLO on {_where(source)}", row, now))

    def _expect(self, row: Row, path: Path, hello: Hello, source: Source) -> None:
        """Expect the next steady HELLO on this path if it can change nothing but when the peer was heard."""
        is_current = path.source is source and row.sealed_with == source.key and hello.seq == row.seq
        # beyond our links each HELLO is a reason to challenge its sender, until that sender has answered
        is_settled = row.has_record and (source.link is not None or row.proved) and path.slowness == 1
        if is_current and is_settled and row.state == "up" and not row.is_replaced and not row.unheard:
            expected = (_head(hello), source)
            if path.expected != expected:
                self._expect_nothing(path)
                path.expected, path.link_state = expected, None
                self.steady[expected] = path
            path.stamp = row.stamp

    # --- PONGs --------------------------------------------------------------------------------------

    def answered(
        self, row: Row, source: Source, rtt: float, hears_us_s: float | None, *, two_way: bool | None, now: float,
        held: float = 0.0,
    ) -> tuple[Event, ...]:  # fmt: skip
        """Process a PONG to a PING of ours; it shows that the peer lives, like a HELLO.

        Args:
            row: of the peer that answered.
            source: where the answer came from.
            rtt: seconds that PING and PONG travelled.
            hears_us_s: how long ago the peer last heard a HELLO of ours, None for never.
            two_way: whether that is within our ttl; None where it means nothing.
            now: the moment it came.
            held: seconds for which the PING lay with the peer.
        """
        self._owed += self._due(now, now)
        former = row.state
        is_known = self.by_key.get(row.key) is row and row.kind == "node"
        # a goodbye may overtake a PONG, but not the PONG to a PING that was sent after it
        if not is_known or (former == "left" and now - rtt - held <= row.last_heard - SAME):
            return self._with_owed(())
        row.prove(now)
        self.count_as_proved(row, now)
        path = self._path(row, source, now)
        path.answered(rtt, hears_us_s, two_way=two_way, now=now)
        self._refresh(row, path, now)
        row.miss_hellos(now)
        row.ask_at = max(row.last_hello + row.suspect_after, now + ASK_ON * row.suspect_after)
        self.quiet[row.key] = row
        if row.is_replaced:
            return self._with_owed(self._restore(row, now))
        why = "answered a PING: the goodbye was not its own" if former == "left" else "answered a PING"
        return self._with_owed(self._show(row, ("recovered", why) if former != "up" else None, now))

    # --- what both do to a row ----------------------------------------------------------------------

    def _vouch(self, row: Row, path: Path, source: Source, now: float) -> None:
        """Let a HELLO show that its sender lives."""
        row.last_hello = max(row.last_hello, now)
        self._refresh(row, path, now)
        if source.key:
            row.sealed_until = now + row.ttl

    def _refresh(self, row: Row, path: Path, now: float) -> None:
        row.refresh(path, life(row, self.interval), now)
        if row.state != "up":
            self._change(row, "heard", now)
        self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))
        if row.several:
            row.paths.consider(now)

    def _path(self, row: Row, source: Source, now: float) -> Path:
        """Return the path of this source, if need be a new one in place of the longest silent."""
        path = row.paths.of(source)
        if path is None:
            if len(row.paths) >= MAX_PATHS:
                self._drop_path(min(row.paths, key=lambda path: path.last_heard))
            path = row.paths.add(source, now)
            row.changed()
            self.shared.add(path, now)
        return path

    def _show(self, row: Row, opening: Opening | None, now: float) -> list[Event]:
        """Return the events of a row that was heard: it is live from now on, or what else is new."""
        if row.is_replaced:
            row.heard_replaced += 1  # one HELLO may have been under way when the new boot spoke, two were not
            return self._restore(row, now) if row.heard_replaced >= 2 else []
        if opening is not None:
            return self.appear(*opening, row, now)
        return self.event_log.emit_if_changed(row, now)

    def _restore(self, row: Row, now: float) -> list[Event]:
        """Show a replaced boot again, which from now on may become suspect too."""
        self._replaced.pop(row.key, None)
        events = self.restore(row, now)
        self.shared.came_or_went(row, now)
        self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))
        return events

    # --- new rows -----------------------------------------------------------------------------------

    def _open(self, row: Row, source: Source, now: float, void: Row | None) -> tuple[list[Event], Opening]:
        """Add a row, in place of an older boot of the same node if there is one.

        Args:
            row: the new row.
            source: where its first HELLO came from.
            now: the time.
            void: a row of the same boot, which has to go.
        """
        where = _where(source)
        former = self.former(row, source.address)
        is_restart = former is not None and former.state_at(now) in LIVE
        if not row.proved:
            self.check_unproved(row, former, is_restart=is_restart)
        victims = [] if void is None else [void]
        if former is None or is_restart:
            victims = self._victims(row, victims)
        else:
            victims.append(former)
        opening: Opening = "joined", f"first HELLO on {where}"
        if former is not None:
            opening = "joined", f"back with a new boot on {where}"
            self.follow(row, former)
            row.shared = former.shared
        if former is not None and is_restart:
            opening = "restarted", f"new boot {row.boot} in place of {former.boot}"
            former.replace(row)
            self._replaced[former.key] = former
            self.suspects.pop(former.key, None)
            # what is overdue would look like a pause
            self._next_expiry = min(self._next_expiry, max(now, former.expires))
        events = self._give_way(victims, former, now) if victims else []
        self._add(row, source)
        return events, opening

    def _give_way(self, victims: list[Row], former: Row | None, now: float) -> list[Event]:
        """Remove rows for a newcomer, which perhaps continues one of them as its former boot."""
        events: list[Event] = []
        for victim in victims:
            if victim.is_shown and victim is not former:
                reason = "makes room for a peer that has proved to be there"
                events += self._turn(victim, "displaced", reason, now)
            events += self._remove(victim, now)
        return events


def _head(hello: Hello) -> bytes:
    """Return all but the seq of the steady HELLO that a sender sends next."""
    return (
        f"HELLO|2|{hello.realm}|{hello.id}|{hello.boot}|{hello.interval_ms}|{hello.ttl_ms}|{hello.lasting}|{hello.digest}"
    ).encode("ascii")


def _where(source: Source) -> str:
    return source.link.name if source.link else "a routed path"
