"""Which links need the limited broadcast, 255.255.255.255, for every HELLO.

Full HELLOs always go there, so that a neighbour with another prefix, and so with another broadcast address, hears of
us. The steady ones go to the broadcast address of our network. While a peer of this link which needs it was heard
within the last 10 minutes, every HELLO goes to 255.255.255.255: it would hear one HELLO of ten. A peer needs it if
nothing of it came to our broadcast address, in 10 minutes or since it solicited by broadcast last: a node with that
address sends to it, now and then at least, and hears it. So that two nodes do not keep each other at it for ever, the
first beat on a link and each beat whose *seq* is a multiple of 30 then go to the address of the network too. A new
address, of which nothing came to our broadcast address yet, is served so for 10 s and at least one beat, before it is
a peer.
"""

from collections.abc import Callable, Iterable, Iterator

from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row

LIMITED = "255.255.255.255"
"""To all on the link, whatever their network; no router passes it on (RFC 919, RFC 1122 3.3.6)."""
MEMORY = 600.0
"""Seconds for which what was heard of a neighbour holds."""
NEW = 10.0
"""Seconds for which a neighbour never heard otherwise is served before it is a peer, and at least one heartbeat: what
it is asked by unicast comes to it from outside its network; with keys only a node heard by limited broadcast may."""
SETTLED = 60.0
"""Seconds after which it is no passing state that a neighbour was heard by limited broadcast alone."""
MAX_NEIGHBOURS = 4096
"""Neighbours remembered of each kind: as many as there are peers by default. Past it the first is forgotten."""
DIRECTED_EVERY = 30
"""Where every HELLO goes to 255.255.255.255 each thirtieth goes to the broadcast address of the network too: by it
neighbours see that we have theirs. Otherwise two would keep each other at it for ever. At most 3.4 % more datagrams."""

_Key = tuple[Link, str]
_Found = dict[_Key, tuple[float, float]]
"""A neighbour: since when that is known of it, and when it was noted last."""


class LimitedBroadcast:
    """Knows what neighbours can hear, as far as their own broadcasts tell.

    Args:
        rows: gives the peers there are and were, at a moment.

    Attributes:
        rows: the same.
    """

    def __init__(self, rows: Callable[[float], Iterable[Row]] = lambda _: ()) -> None:
        self.rows = rows
        self._judged: dict[Link, float] = {}  # when it was asked last what a link needs
        self._hearing: _Found = {}  # they use our broadcast address
        self._apart: _Found = {}  # they were heard by limited broadcast alone
        self._aside: _Found = {}  # further networks of peers that are heard otherwise

    def __len__(self) -> int:
        """Return the number of neighbours remembered."""
        return len(self._hearing) + len(self._apart) + len(self._aside)

    def heard(self, link: Link, address: str, now: float, *, limited: bool) -> None:
        """Note that a neighbour was heard, by limited broadcast or by the directed broadcast of our network."""
        key = (link, address)
        if not limited:
            _note(self._hearing, key, now)
            self._apart.pop(key, None)
        elif not (_holds(self._hearing, key, now) or _holds(self._aside, key, now)):
            _note(self._apart, key, now)

    def set_aside(self, link: Link, address: str, now: float) -> None:
        """Note that an address is a further network of a peer that is heard otherwise."""
        key = (link, address)
        _note(self._aside, key, now)
        self._apart.pop(key, None)

    def is_aside(self, link: Link, address: str, now: float) -> bool:
        """Return whether an address is a further network of a peer that is heard otherwise."""
        return _holds(self._aside, (link, address), now)

    def doubts(self, link: Link, address: str, now: float) -> None:
        """Note that a neighbour may have another network now: it has just begun to speak there."""
        if self._hearing.pop((link, address), None) is not None:
            self.heard(link, address, now, limited=True)

    def knows(self, link: Link, address: str) -> bool:
        """Return whether an address was heard by broadcast on a link, not long before the last heartbeat there."""
        now = self._judged.get(link, 0.0)
        return any(_holds(found, (link, address), now) for found in (self._hearing, self._apart, self._aside))

    def drop_link(self, link: Link) -> None:
        """Forget the neighbours on a link that is gone."""
        self._judged.pop(link, None)
        for found in (self._hearing, self._apart, self._aside):
            for key in [key for key in found if key[0] == link]:
                del found[key]

    def is_needed(self, link: Link, now: float) -> bool:
        """Return whether a peer here does not hear directed broadcasts, at this heartbeat."""
        new_since = min(now - NEW, self._judged.get(link, now))
        self._judged[link] = now
        return bool(self._apart) and (
            any(since > new_since for (where, _), (since, _) in self._apart.items() if where == link)
            or any(self._paths(link, now))
        )

    def others(self, link: Link, now: float) -> Iterator[Path]:
        """Yield the paths of peers in our network there that lasted, but have another broadcast address."""
        for path in self._paths(link, now) if self._apart else ():
            is_live = path.row.state_at(now) in LIVE
            if is_live and link.holds(path.address) and now >= self._apart[link, path.address][0] + SETTLED:
                yield path

    def _paths(self, link: Link, now: float) -> Iterator[Path]:
        for row in self.rows(now):
            for path in row.paths if row.kind == "node" else ():  # a bare one hears nothing at all
                key = (link, path.address)
                if path.source.link == link and now < path.last_heard + MEMORY and _holds(self._apart, key, now):
                    yield path


def is_elsewhere(row: Row, source: Source, now: float) -> bool:
    """Return whether a source is but another network that a peer has on an interface where it is heard already.

    Its HELLOs come by each, to all: each tenth of those for a network that is not ours is heard here, and as a path
    of its own would come and go for ever. An address in our network never is.
    """
    return source.link is not None and not source.link.holds(source.address) and any(
        path.source.link == source.link and path.address != source.address and now < path.stale_at()
        for path in row.paths
    )


def _holds(found: _Found, key: _Key, now: float) -> bool:
    noted = found.get(key)
    return noted is not None and now < noted[1] + MEMORY


def _note(found: _Found, key: _Key, now: float) -> None:
    since, _ = found[key] if _holds(found, key, now) else (now, now)
    put_last(found, key, (since, now), MAX_NEIGHBOURS)
