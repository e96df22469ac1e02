"""A row of the table while it lives: the one mutable thing the engine keeps about a peer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from discoveryd.protocol.link import Source
from discoveryd.protocol.peer import LIVE, Kind, Path, Peer, State, lasting_text
from discoveryd.protocol.record import Record

STALE_INTERVALS = 2.2
"""A path that missed two HELLOs (each at most 10 % late) no longer is the best, if another did not."""

_NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Way:
    """One address of a peer on one link, ageing alone."""

    __slots__ = ("address", "expires", "last_heard", "link", "row", "source", "steady")

    def __init__(self, row: Row, source: Source, now: float) -> None:
        self.row = row
        self.source = source
        self.address = source.address
        self.link = source.link.name if source.link else ""
        self.last_heard = now
        self.expires = now
        self.steady: bytes | None = None


class Row:
    """A peer as the engine knows it. Times are those of the caller's clock."""

    __slots__ = (
        "_fresh", "_text", "_text_until", "_view", "asked", "boot", "clone", "digest", "ended", "expires", "first_seen",
        "former_heard", "id", "interval", "key", "kind", "last_heard", "last_hello", "record", "restarts",
        "rtt", "seq", "state", "superseded", "told", "ttl", "two_way", "ways",
    )  # fmt: skip

    def __init__(self, key: str, *, kind: Kind, id: str, boot: str, now: float) -> None:
        self.key = key
        self.kind: Kind = kind
        self.id = id
        self.boot = boot
        self.state: State = "up"
        self.first_seen = now
        self.last_heard = now
        self.last_hello = now
        self.expires = now
        self.interval: float | None = None
        self.ttl = 0.0
        self.seq = -1
        self.digest = ""
        self.record: Record | None = None
        self.asked = float("-inf")  # when its record was last asked for
        self.ways: dict[tuple[str, str], Way] = {}
        self.rtt: float | None = None
        self.two_way: bool | None = None
        self.restarts = 0
        self.clone = False
        self.superseded = False  # another boot took this id over: hidden, unless it speaks again
        self.former_heard = 0
        self.ended = ""  # the boot before this one, if it said goodbye
        self.told: tuple[str, tuple[str, ...]] = ("", ())  # record and addresses as of the last event
        self._fresh: list[Way] = []
        self._view: Peer | None = None
        self._text = ""
        self._text_until = 0.0

    @property
    def name(self) -> str | None:
        """What it calls itself, None until its record is here."""
        return self.record.name if self.record else None

    def state_at(self, now: float) -> State:
        """Give the state, where the ttl is a promise also while no timer has run."""
        return "down" if self.state in LIVE and now >= self.expires else self.state

    def way(self, source: Source) -> Way | None:
        """Give the way this source stands for, if it was heard there before."""
        return self.ways.get((source.address, source.link.name if source.link else ""))

    def add_way(self, source: Source, now: float) -> Way:
        """Begin a new way."""
        way = Way(self, source, now)
        self.ways[way.address, way.link] = way
        self.changed()
        return way

    def drop_way(self, way: Way) -> None:
        """Forget a way."""
        del self.ways[way.address, way.link]
        self.changed()

    def heard(self, way: Way, now: float) -> None:
        """Refresh: this datagram came from the peer itself, by this way."""
        self.last_heard = way.last_heard = now
        self.expires = way.expires = now + self.ttl

    def changed(self) -> None:
        """Forget what was prepared for readers."""
        self._view = None
        self._text_until = 0.0

    def stales(self, way: Way) -> float:
        """Say when a way that is not heard again no longer is as good as one that is."""
        return way.last_heard + STALE_INTERVALS * (self.interval or self.ttl)

    def best(self, now: float) -> Way:
        """Choose the way to use: one that is fresh, then the one known for longest."""
        if len(self.ways) == 1:
            return next(iter(self.ways.values()))
        last = self.last_heard
        return min(
            self.ways.values(),
            # when all fell silent together the last one heard is as good as any
            key=lambda way: (now >= self.stales(way) and way.last_heard < last, now >= way.expires),
        )

    def fresh(self, now: float) -> list[Way]:
        """Give the ways within their ttl, the best first; at least one."""
        best = self.best(now)
        return [best, *(way for way in self.ways.values() if way is not best and now < way.expires)]

    def lasting(self, now: float) -> Peer:
        """Give the row with all ages zero, kept from call to call while nothing else changes."""
        view, state = self._view, self.state_at(now)
        same_ways = len(self.ways) == 1 or self.fresh(now) == self._fresh
        if view is not None and state == view.state and same_ways:
            return view
        self._text = ""
        self._fresh = self.fresh(now)
        self._view = self._peer(self._fresh, state)
        return self._view

    def text(self, now: float) -> str:
        """Give the JSON of `lasting`, encoded once per change."""
        if now < self._text_until:
            return self._text
        view = self.lasting(now)
        if not self._text:
            self._text = lasting_text(view)
        if len(self.ways) == 1:  # nothing but an event or the end of its ttl can change it
            self._text_until = self.expires
        return self._text

    def peer(self, now: float) -> Peer:
        """Give the row as it is now, for good."""
        fresh = self.fresh(now)
        ages = (now - self.first_seen, now - self.last_heard, self.expires - now)
        paths = tuple(
            Path(
                address=way.address,
                link=way.link,
                last_heard_s=now - way.last_heard,
                expires_s=way.expires - now,
            )
            for way in fresh
        )
        return self._peer(fresh, self.state_at(now), ages, paths)

    def _peer(
        self,
        fresh: list[Way],
        state: State,
        ages: tuple[float, float, float] = (0.0, 0.0, 0.0),
        paths: tuple[Path, ...] = (),
    ) -> Peer:
        record = self.record
        return Peer(
            id=self.id,
            name=self.name,
            state=state,
            kind=self.kind,
            address=fresh[0].address,
            addresses=tuple(dict.fromkeys(way.address for way in fresh)),
            link=fresh[0].link,
            boot=self.boot,
            services=record.services if record else (),
            tags=record.tags if record else _NO_TAGS,
            first_seen_s=ages[0],
            last_heard_s=ages[1],
            expires_s=ages[2],
            interval_s=self.interval,
            ttl_s=self.ttl,
            rtt_ms=None if self.rtt is None else round(self.rtt * 1000, 3),
            loss=None,
            two_way=self.two_way,
            restarts=self.restarts,
            clone=self.clone,
            key=None,
            paths=paths,
        )
