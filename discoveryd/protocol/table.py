"""The table of peers: what was heard first-hand, and how long it holds.

Complete without a socket, a thread or a clock; time is an argument of every call, in seconds.

    >>> from discoveryd.protocol.link import Link, Source
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
from collections.abc import Iterator

from discoveryd.errors import WireError
from discoveryd.protocol.events import Event, EventKind
from discoveryd.protocol.hello import Hello
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.liveness import Pace, Reach, misses
from discoveryd.protocol.peer import LIVE, Peer, State
from discoveryd.protocol.record import Record, decode_record
from discoveryd.protocol.row import NEVER, Row, Told, Way

MAX_WAYS = 16
"""Addresses kept per peer; of a peer that has more the longest silent one is forgotten."""

DEAF_PINGS = 3
"""PINGs in a row without an answer, from a peer whose HELLOs arrive: it does not hear us."""

SILENT_FOR = 600.0
"""Seconds for which a peer that went down still counts as silent, when we doubt ourselves."""


class PeerTable:
    """Rows keyed by boot (bare peers by address), bounded, with an event for each change.

    Args:
        limit: most rows; a full table gives up gone rows, never live ones.
        remember: seconds for which gone rows are kept.
        own_id: a peer with this node id is a clone of ourselves.
    """

    def __init__(self, *, limit: int = 4096, remember: float = 3600.0, own_id: str = "") -> None:
        self.limit = limit
        self.remember = remember
        self.own_id = own_id
        self.seq = 0
        # steady HELLOs repeat to the letter but for seq: what stands before it, and the way it came
        # by, lead straight to the row. An entry lives as long as hearing it again can change nothing else.
        self.steady: dict[tuple[bytes, Source], Way] = {}
        self._rows: dict[str, Row] = {}
        self._by_id: dict[str, list[Row]] = {}
        self.suspects: dict[str, Row] = {}  # to be probed
        self._said: list[Event] = []
        self._held: dict[str, Row] = {}  # those of which events are held back
        self._gone: dict[str, Row] = {}  # those down or left, the longest gone first
        self._next_expiry = NEVER  # never later than the first row to expire

    def __len__(self) -> int:
        return len(self._rows)

    # --- what was heard -----------------------------------------------------------------------

    def heard(self, hello: Hello, source: Source, now: float) -> tuple[Event, ...]:
        """Take a HELLO that came from its sender itself.

        Raises:
            WireError: ``table-full``, ``malformed`` (its record), ``stale`` (sent before the goodbye).
                Events that were due by then come with the next call.
        """
        self._expire(now)
        row = self._rows.get(hello.boot)
        if row is not None and row.id != hello.id:
            raise WireError("malformed", "one boot, two node ids")
        if hello.goodbye:
            self._goodbye(row, hello, now)
            return self._flush()
        if row is not None and row.state == "left" and hello.seq <= row.seq:
            raise WireError("stale", "sent before its goodbye")
        if row is None and any(one.ended == hello.boot for one in self._by_id.get(hello.id, ())):
            raise WireError("stale", "of a run that said goodbye")
        record = _read_record(hello, row)
        opening: tuple[EventKind, str] | None = None
        if row is None:
            row, opening = self._open(hello, source, now)
        elif row.state != "up":
            opening = ("recovered", f"heard again on {_where(source)} after {now - row.last_heard:.1f} s")
        way = self._way(row, source, now)
        self._count(way, hello.seq)
        if hello.seq >= row.seq:  # one that was overtaken is a sign of life, but no news
            row.seq = hello.seq
            self._announce(row, hello, record)
        row.last_hello = now
        if row.refused > row.last_heard:
            row.rejects = True  # its machine refuses our PINGs, but it lives: a firewall
        self._refresh(row, way, now)
        if row.superseded:
            row.former_heard += 1  # one may have been under way when the new boot spoke, two were not
            if row.former_heard >= 2:
                self._unsupersede(row, now)
        elif opening is not None:
            self._appear(*opening, row, now)
        else:
            self._tell(row, now)
        self._remember_steady(row, way, hello)
        return self._flush()

    def heard_bare(self, source: Source, ttl: float, now: float) -> tuple[Event, ...]:
        """Take a plain ``HELLO|``; its sender is known by its address alone.

        Raises:
            WireError: ``table-full``; events that were due by then come with the next call.
        """
        self._expire(now)
        row = self._rows.get(source.address)
        opening: EventKind | None = None
        if row is None:
            self._make_room(now)
            row = self._rows[source.address] = Row(
                source.address, kind="bare", id=source.address, boot="", now=now
            )
            opening = "joined"
        elif row.state not in LIVE:
            opening = "recovered"
        row.ttl = ttl
        row.last_hello = now
        self._refresh(row, self._way(row, source, now), now)
        if opening is not None:
            self._say(opening, f"bare HELLO on {_where(source)}", row, now)
        else:
            self._tell(row, now)
        return self._flush()

    def answered(
        self, boot: str, source: Source, rtt: float, hears_us_s: float | None, *, two_way: bool, now: float
    ) -> tuple[Event, ...]:
        """Take a PONG to a PING of ours; it vouches for the peer like a HELLO.

        Args:
            boot: of the peer that answered.
            source: where the answer came from.
            rtt: seconds between PING and PONG.
            hears_us_s: how long ago the peer last heard a HELLO of ours, None for never.
            two_way: whether that is within our ttl.
            now: the moment it came.
        """
        self._expire(now)
        row = self._rows.get(boot)
        if row is not None and row.kind == "node" and row.state != "left":
            former = row.state
            way = self._way(row, source, now)
            way.answered(rtt, hears_us_s, two_way=two_way, now=now)
            row.changed()
            self._refresh(row, way, now)
            if row.superseded:
                self._unsupersede(row, now)
            elif former != "up":
                self._appear("recovered", "answered a PING", row, now)
            else:
                self._tell(row, now)
        return self._flush()

    def unanswered(self, row: Row, way: Way, now: float) -> tuple[Event, ...]:
        """Count a PING that nobody answered; a peer we hear all the while does not hear us."""
        way.unanswered += 1
        if way.unanswered >= DEAF_PINGS and row.state == "up" and way.two_way is not False:
            way.two_way = False
            row.changed()
            self._tell(row, now)
        return self._flush()

    def give_up(self, row: Row, reason: str, now: float) -> tuple[Event, ...]:
        """Let a suspect peer go down before its ttl, on evidence."""
        if row.state == "suspect" and not row.superseded:
            self._down(row, reason, now)
        return self._flush()

    def resume(self, now: float) -> tuple[Event, ...]:
        """Come back from a pause of our own: whoever would be down meanwhile is suspect, for one grace period."""
        for row in self._rows.values():
            if not _is_shown(row) or now < min(row.suspect_at(), row.expires):
                continue
            grace = row.suspect_after if row.suspect_after < NEVER else row.ttl
            best = row.best(now)
            best.expires = max(best.expires, now + grace)
            row.expires = max(row.expires, now + grace)
            self._suspect(row, "we were asleep, so its silence means little", now)
        self._next_expiry = now
        return self._flush()

    def expire(self, now: float) -> tuple[Event, ...]:
        """Tidy: what fell silent becomes suspect, then down, then forgotten; its silent addresses are let go."""
        self._expire(now)
        return self._flush()

    def forget_link(self, link: Link) -> None:
        """Let go of sources on a link that is gone; what was heard there ages as before."""
        for key, way in list(self.steady.items()):
            if way.source.link == link:
                del self.steady[key]
                way.steady = None

    # --- what is known ------------------------------------------------------------------------

    def next_expiry(self) -> float:
        """Say when `expire` should run again: never too late, sometimes too early."""
        return self._next_expiry

    def rows(self, now: float, *, gone: bool = False) -> Iterator[Row]:
        """Iterate over the live rows, or over all that are remembered."""
        for row in self._rows.values():
            if not row.superseded and (gone or (row.state in LIVE and now < row.expires)):
                yield row

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Give the live peers (and with `gone` those down or left), oldest row first."""
        return tuple(row.peer(now) for row in self.rows(now, gone=gone))

    def get(self, key: str) -> Row | None:
        """Give the row of a boot, or of a bare peer's address."""
        return self._rows.get(key)

    def find(self, text: str, now: float) -> tuple[Row, ...]:
        """Give the rows a person may mean: by id, name, boot or address, else by the start of an id.

        Live rows hide gone ones of the same kind of match.
        """
        rows = list(self.rows(now, gone=True))
        exact = [row for row in rows if text in (row.id, row.name, row.boot)]
        found = exact or [row for row in rows if any(way.address == text for way in row.fresh(now))]
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
        return sum(1 for _ in self.rows(now))

    def silent_count(self, now: float) -> int:
        """Count the peers that fell silent not long ago, without a goodbye."""
        gone = sum(row.state == "down" and now < row.expires + SILENT_FOR for row in self._gone.values())
        return gone + sum(row.state_at(now) != "up" for row in self._rows.values() if _is_shown(row))

    def has_digest(self, row: Row) -> bool:
        """Whether the record we hold is the one the peer announces."""
        return row.record is not None and row.record.digest == row.digest

    def rivals(self, id: str) -> tuple[Row, ...]:
        """Give the rows that a newer boot of this id took over from and that may yet prove to be clones."""
        return tuple(row for row in self._by_id.get(id, ()) if row.superseded)

    # --- inside -------------------------------------------------------------------------------

    def _flush(self) -> tuple[Event, ...]:
        said, self._said = self._said, []
        return tuple(said)

    def _say(self, kind: EventKind, reason: str, row: Row, now: float, *, always: bool = False) -> None:
        """Queue an event, unless the peer flaps: then what it comes to is told a little later."""
        row.changed()
        if not row.pace.allows(now) and not always:
            self._held[row.key] = row
            self._next_expiry = min(self._next_expiry, row.pace.opens())
            return
        self._held.pop(row.key, None)
        self.seq += 1
        row.told = _told(row, now)
        self._said.append(Event(kind=kind, seq=self.seq, peer=row.peer(now), reason=reason))

    def _tell(self, row: Row, now: float) -> None:
        """Report a new record, new addresses, or that it does not hear us, since the last event of this row."""
        told, true = row.told, _told(row, now)
        if told[2:] == true[2:]:
            return
        if true.digest != told.digest:
            reason = "record changed" if told.digest else "record received"
        elif true.addresses != told.addresses:
            reason = f"addresses {', '.join(told.addresses)} -> {', '.join(true.addresses)}"
        else:
            reason = "it does not hear us" if true.deaf else "it hears us again"
        self._say("updated", reason, row, now)

    def _catch_up(self, row: Row, now: float) -> None:
        """Report what became of a row while its events were held back, if anything did."""
        del self._held[row.key]
        changes, told, true = row.pace.held, row.told, _told(row, now)
        if told == true or row.superseded:
            return
        kind: EventKind = "updated"
        if true.state == "down" or true.state == "left":
            kind = true.state
        elif told.state not in LIVE:
            kind = "joined" if told.state == "left" else "recovered"
        elif true.boot != told.boot:
            kind = "restarted"
        elif true.state != told.state:
            kind = "suspect" if true.state == "suspect" else "recovered"
        self._say(kind, f"after {changes} changes in short succession", row, now, always=True)

    def _expire(self, now: float) -> None:
        if now < self._next_expiry:
            return
        for row in [row for row in self._held.values() if now >= row.pace.opens()]:
            self._catch_up(row, now)
        due: list[Row] = []
        next_expiry = NEVER
        for row in self._rows.values():
            deadline = self._deadline(row, now)
            if now >= deadline or len(row.ways) > 1:
                due.append(row)
            elif deadline < next_expiry:
                next_expiry = deadline
        # in the order in which they fell silent
        for row in sorted(due, key=lambda row: row.expires):
            if row.state not in LIVE or (row.superseded and now >= row.expires):
                if now >= self._deadline(row, now):
                    self._remove(row, now)
            elif now >= row.expires:
                self._down(row, f"not heard for its ttl of {row.ttl:g} s", now)
            else:
                self._drop_ways(row, now)
                if row.superseded:
                    continue
                if row.state == "up" and now >= row.suspect_at():
                    self._suspect(row, f"{misses(now - row.last_heard, row.interval or row.ttl)} HELLOs missed", now)
                else:
                    self._tell(row, now)
        later = [self._deadline(row, now) for row in due if row.key in self._rows]
        held = [row.pace.opens() for row in self._held.values()]
        self._next_expiry = min(next_expiry, *later, *held, NEVER)

    def _deadline(self, row: Row, now: float) -> float:
        """Say when something becomes due for a row that is not heard again."""
        if row.state not in LIVE:
            return row.last_heard + max(self.remember, row.ttl)
        due = row.expires
        if row.state == "up" and not row.superseded:
            suspect_at = row.last_heard + row.suspect_after
            due = suspect_at if suspect_at < due else due
        if len(row.ways) == 1:
            return due
        # a way first goes stale (another becomes the best), then expires
        stale = (row.stales(way) if now < row.stales(way) < way.expires else way.expires for way in row.ways.values())
        return min(due, *stale)

    def _suspect(self, row: Row, reason: str, now: float) -> None:
        self._forget_steady(row)
        if row.kind == "node":  # a bare one answers nothing
            row.probes = 0
            row.probe_at = now
            self.suspects[row.key] = row
        if row.state != "suspect":
            row.state = "suspect"
            self._say("suspect", reason, row, now)

    def _down(self, row: Row, reason: str, now: float) -> None:
        self._go(row, "down")
        self._say("down", reason, row, now)
        self._settle_clones(row.id, now)

    def _refresh(self, row: Row, way: Way, now: float) -> None:
        row.heard(way, now)
        if row.state != "up":
            row.state = "up"
            row.changed()
            self.suspects.pop(row.key, None)
            self._gone.pop(row.key, None)
        self._next_expiry = min(self._next_expiry, self._deadline(row, now))

    def _count(self, way: Way, seq: int) -> None:
        if way.reach.seq < 0:
            way.reach = Reach(seq)
        way.reach.hear(seq)
        way.reach.mark()

    def _way(self, row: Row, source: Source, now: float) -> Way:
        """Give the way of this source, a new one if need be in place of the longest silent."""
        way = row.way(source)
        if way is None:
            if len(row.ways) >= MAX_WAYS:
                self._drop_way(row, min(row.ways.values(), key=lambda way: way.last_heard))
            self._forget_steady(row)  # one that is stale was the best while it was the only one
            way = row.add_way(source, now)
        if way.source is not source:
            self._unsteady(way)  # its entry stands under the source it had
            way.source = source
        return way

    def _drop_ways(self, row: Row, now: float) -> None:
        for way in list(row.ways.values()):
            if now >= way.expires:
                self._drop_way(row, way)
            elif now >= row.stales(way):
                self._unsteady(way)  # to hear it again will change which one is the best

    def _drop_way(self, row: Row, way: Way) -> None:
        self._unsteady(way)
        row.drop_way(way)

    def _open(self, hello: Hello, source: Source, now: float) -> tuple[Row, tuple[EventKind, str]]:
        """Begin a row, in place of an older boot of the same node if there is one."""
        former = self._former(hello.id, source)
        if former is not None and former.state_at(now) not in LIVE:
            self._remove(former, now)
        self._make_room(now)
        row = Row(hello.boot, kind="node", id=hello.id, boot=hello.boot, now=now)
        self._rows[row.key] = row
        self._by_id.setdefault(row.id, []).append(row)
        if former is None:
            return row, ("joined", f"first HELLO on {_where(source)}")
        row.restarts = former.restarts + 1
        row.first_seen = former.first_seen
        row.pace, row.told = former.pace, former.told  # a crash loop flaps too
        if former.state not in LIVE:
            row.ended = former.boot if former.state == "left" else ""
            return row, ("joined", f"back with a new boot on {_where(source)}")
        former.superseded = True
        former.former_heard = 0
        self._forget_steady(former)
        self.suspects.pop(former.key, None)
        self._held.pop(former.key, None)
        return row, ("restarted", f"new boot {row.boot} in place of {former.boot}")

    def _former(self, id: str, source: Source) -> Row | None:
        """Pick the row that a new boot of this id continues.

        The one at its address; else the only one; of several clones elsewhere none can be told, so
        only one that is gone.
        """
        rows = [row for row in self._by_id.get(id, ()) if not row.superseded]
        here = [row for row in rows if any(way.address == source.address for way in row.ways.values())]
        if here:
            rows = here
        elif len(rows) > 1 or any(row.clone for row in rows):
            rows = [row for row in rows if row.state not in LIVE]
        return min(rows, key=lambda row: row.last_heard, default=None)

    def _appear(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Report a row that is live from now on, and what that makes of the others with its id."""
        row.clone = self._has_clones(row.id)
        self._say(kind, reason, row, now)
        self._settle_clones(row.id, now)

    def _unsupersede(self, row: Row, now: float) -> None:
        """Show an older boot again: it speaks, so the newer one is no restart of it."""
        row.superseded = False
        row.pace, row.told = Pace(), Told()  # its own again
        for one in self._namesakes(row.id):
            if one is not row and one.restarts and not one.clone:
                one.restarts -= 1  # what we took for a restart was none
        if self._has_clones(row.id):
            self._appear("clone", f"another running node has the id {row.id}", row, now)
        else:
            self._appear("recovered", "the newer boot of its id is gone", row, now)

    def _namesakes(self, id: str) -> list[Row]:
        return [row for row in self._by_id.get(id, ()) if _is_shown(row)]

    def _has_clones(self, id: str) -> bool:
        return id == self.own_id or len(self._namesakes(id)) > 1

    def _settle_clones(self, id: str, now: float) -> None:
        """Flag the live rows of an id if there are several; take the flag off one that is left alone."""
        clones = self._has_clones(id)
        for row in self._namesakes(id):
            if row.clone != clones:
                row.clone = clones
                if clones:
                    self._say("clone", f"another running node has the id {id}", row, now)
                else:
                    self._say("updated", "the clone is gone", row, now)

    def _goodbye(self, row: Row | None, hello: Hello, now: float) -> None:
        """Let a peer leave. The goodbye of a boot that is not shown changes nothing."""
        if row is None or row.state not in LIVE:
            return
        if row.superseded:
            self._remove(row, now)
            return
        row.seq = max(row.seq, hello.seq)
        row.last_heard = row.expires = now
        self._go(row, "left")
        self._say("left", "said goodbye", row, now)
        self._settle_clones(row.id, now)

    def _go(self, row: Row, state: State) -> None:
        row.state = state
        for way in row.ways.values():
            way.two_way = None
        row.changed()
        self._forget_steady(row)
        self.suspects.pop(row.key, None)
        self._gone[row.key] = row
        self._next_expiry = min(self._next_expiry, row.last_heard + max(self.remember, row.ttl))

    def _announce(self, row: Row, hello: Hello, record: Record | None) -> None:
        """Take over what a HELLO says of its sender."""
        if row.announce(hello.interval_ms / 1000, hello.ttl_ms / 1000, hello.digest):
            self._forget_steady(row)  # also on other ways, where the former HELLO may still arrive
        if record is not None and record is not row.record:
            row.record = record
            row.changed()

    def _remember_steady(self, row: Row, way: Way, hello: Hello) -> None:
        if row.superseded or hello.seq < row.seq or not self.has_digest(row):
            return
        head = steady_head(hello)
        if way.steady != head:
            self._unsteady(way)
            way.steady = head
            self.steady[head, way.source] = way

    def _unsteady(self, way: Way) -> None:
        if way.steady is not None:
            del self.steady[way.steady, way.source]
            way.steady = None

    def _forget_steady(self, row: Row) -> None:
        for way in row.ways.values():
            self._unsteady(way)

    def _make_room(self, now: float) -> None:
        while len(self._rows) >= self.limit:
            longest_gone = next(iter(self._gone.values()), None)
            if longest_gone is None:
                raise WireError("table-full", f"{self.limit} peers")
            self._remove(longest_gone, now)

    def _remove(self, row: Row, now: float) -> None:
        if row.key in self._held:
            self._catch_up(row, now)
        self._forget_steady(row)
        self.suspects.pop(row.key, None)
        del self._rows[row.key]
        self._gone.pop(row.key, None)
        if row.kind == "node":
            same_id = self._by_id[row.id]
            same_id.remove(row)
            if not same_id:
                del self._by_id[row.id]


def _is_shown(row: Row) -> bool:
    return row.state in LIVE and not row.superseded


def steady_head(hello: Hello) -> bytes:
    """Give all but the seq of the steady HELLO that a sender of `hello` sends next."""
    return (
        f"HELLO|1|{hello.realm}|{hello.id}|{hello.boot}|{hello.interval_ms}|{hello.ttl_ms}||{hello.digest}"
    ).encode("ascii")


def _read_record(hello: Hello, row: Row | None) -> Record | None:
    """Decode the record of a HELLO, unless it is the one we hold."""
    if hello.record is None:
        return None
    if row is not None and row.record is not None and row.record.encoded == hello.record:
        return row.record
    record = decode_record(hello.record)
    if record.digest != hello.digest:
        raise WireError("malformed", "digest is not that of the record")
    return record


def _where(source: Source) -> str:
    return source.link.name if source.link else "a routed path"


def _told(row: Row, now: float) -> Told:
    fresh = row.fresh(now)
    digest = row.record.digest if row.record else ""
    addresses = tuple(dict.fromkeys(way.address for way in fresh))
    return Told(row.state, row.boot, digest, addresses, fresh[0].two_way is False)
