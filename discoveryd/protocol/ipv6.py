"""IPv6 on a link: multicast beside the broadcasts of IPv4, as a rule a tenth as often.

What a node says is the same by either family, and a peer that is heard by both is one peer with two addresses.

- **Where.** A link of IPv6 is all of an interface that has a link-local address. HELLOs to all go from that address to
  the group ``ff12::d15c:3400`` (transient, link-local), port 3400. Addresses that are not link-local are beyond the
  links, as those of seeds: they are spoken to where they are named.
- **Hop limit.** Everything is sent with 255. What comes from a link-local address, or to the group, with another one
  has passed a router, and is dropped, reason ``hop-limit``: nobody beyond a link speaks for a node on it (RFC 5082).
- **Pace.** Each beat goes by IPv4. By IPv6 go those with a *seq* that is a multiple of ten. Such a HELLO has the
  lasting flag ``t``, and announces ten times the interval and the ttl: the next one by this way, and how long it is
  waited for there. Each beat goes by IPv6 as well while the interface has no address of IPv4, for 3 s after it came,
  where the interval is longer than 60 s, and as long as a peer that was heard there by IPv6 is not known to be two-way
  by IPv4: its IPv4 is silent for 2.2 intervals, or it did not answer there that it hears us. After such a time three
  more beats go there, with the flag.
- **How that is judged.** While a peer is heard by each beat on one path, what it announces with ``t`` counts for the
  path alone: the peer is judged by its beats. Where all its paths are slow, they count for the peer. The gaps of *seq*
  that measure the loss of a slow path are counted in tens.
- **Doubt.** A node that hears a peer no more by IPv4, while that one speaks seldom by IPv6, asks it by IPv4: a PING is
  answered by one, and so the peer learns that it is not heard there.
- **Solicit.** What came by IPv4 not more than 50 ms before is answered there, and not by IPv6 again.
- **Suspicion.** Both addresses of a suspect on one link are asked, twice as often: its silence is proved as soon as
  with one. A PONG says how long ago a HELLO came by the path of its PING.
- **Budget.** Both families of an interface share ``hello.budget``: with a tenth by IPv6 a node counts for 1.1.
- **Sealed.** What is authenticated is the link-local address of the sender, its 16 bytes without a zone.
- **Which address.** The one that other programs can use: a link-local address is the best only where no other is, or
  where it is two-way and the others are not.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from discoveryd.protocol.link import Link, LinkState, Source
from discoveryd.protocol.parameters import MAX_INTERVAL, MAX_TTL
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.messages import SELDOM, TENTH, Hello

TOLD = 3
"""Beats that go by IPv6 after it became slow, so that a peer does not wait for what does not come: one may be lost."""
MOMENT = 0.05
"""Seconds between the two copies of a solicit at most."""
SETTLING = 3.0
"""Seconds for which a new link has every beat: by then it is known of most peers there whether they are two-way."""


class Ipv6Pace:
    """Decides which beats go by IPv6.

    Args:
        rows: gives the peers there are and were, at a moment.

    Attributes:
        spread: HELLOs that a beat puts on the interface that has most.
    """

    def __init__(self, rows: Callable[[float], Iterable[Row]]) -> None:
        self.spread = 1.0
        self._rows = rows

    def set_paces(self, states: Mapping[Link, LinkState], interval: float, now: float) -> None:
        """Set at each link how many beats lie between two HELLOs there."""
        self.spread = 1.0
        slow = [state for link, state in states.items() if link.family == "ipv6"]
        if not slow:
            return
        doubles = {link.name for link in states if link.family == "ipv4"}
        needed = self._needed(now) if interval * TENTH <= MAX_INTERVAL else None
        for state in slow:
            is_seldom = needed is not None and state.name in doubles and state.name not in needed
            every = TENTH if is_seldom and now >= state.since + SETTLING else 1
            if every > state.every:
                state.slowing = TOLD
            state.every = every
            if state.name in doubles:
                self.spread = max(self.spread, 1 + 1 / state.every)

    def _needed(self, now: float) -> set[str]:
        """Return the interfaces with a peer that is not known to be two-way by IPv4."""
        found: set[str] = set()
        for row in self._rows(now):
            six = [path.link for path in row.paths if ":" in path.address]
            if six and row.kind == "node" and row.is_shown and not is_two_way_by_ipv4(row, now):
                found.update(six)
        return found


def is_two_way_by_ipv4(row: Row, now: float) -> bool:
    """Return whether a peer is heard on a link by IPv4, and hears us there."""
    return any(
        path.two_way and path.link and ":" not in path.address and now < path.stale_at() for path in row.paths
    )


def is_served(row: Row, source: Source, now: float) -> bool:
    """Return whether a solicit that comes by IPv6 came by IPv4 too, on the link a moment ago: that is answered."""
    return ":" in source.address and any(
        path.link and ":" not in path.address and now < path.last_hello + MOMENT for path in row.paths
    )


def heard_by(row: Row, path: Path | None, source: Source) -> float:
    """Return when a HELLO of a peer came last by the way of a source: its path, else the family on that link.

    What comes by IPv6 says nothing of IPv4: its broadcasts may be lost where a PING is not.
    """
    if path is not None and path.last_hello > -NEVER:
        return path.last_hello
    if source.link is None:
        return row.last_hello
    same = [one for one in row.paths if one.link == source.link.name and one.is_of_family(source.address)]
    return max([one.last_hello for one in same], default=-NEVER if _has_both(row, source.link) else row.last_hello)


def _has_both(row: Row, link: Link) -> bool:
    """Return whether a peer is heard on a link by one family, of which this link is not."""
    return any(one.link == link.name and not one.is_of_family(link.address) for one in row.paths)


def at_pace(hello: Hello, state: LinkState) -> Hello:
    """Return a HELLO as it goes by a link: with the pace that HELLOs have there."""
    if state.every == 1:
        return hello
    interval, ttl = hello.interval_ms * state.every, hello.ttl_ms * state.every
    ttl = max(interval, min(ttl, round(MAX_TTL * 1000)))
    return replace(hello, interval_ms=interval, ttl_ms=ttl, lasting=hello.lasting + SELDOM)
