"""The sources of datagrams: one `Source` object per sender and link, whichever broadcast address it was sent to.

A sender outside our network that is heard by 255.255.255.255, which no router passes on, is on the link all the same:
what is for it goes there directly (`is_near`), and not to a gateway.
"""

from collections.abc import Hashable, Iterable

from discoveryd.net.families import Origin
from discoveryd.net.interfaces import name_of, with_zone
from discoveryd.net.transport import Outside
from discoveryd.protocol.limited_broadcast import LIMITED, MEMORY
from discoveryd.protocol.link import Link, Source

MAX_PLACES = 12_288
"""Variants of senders: limited broadcast, directed broadcast and unicast of 4,096. Past it the oldest is found anew."""
MAX_SENDERS = 8192
"""Sources: broadcast and unicast of 4,096 senders. Past it the oldest sender gets a new source."""
MAX_OUTSIDE = 4096
"""Neighbours outside our networks that are remembered; further neighbours do not count as being on their link."""
RELEARN = 30.0
"""Seconds after which each variant is found anew, so that what was learnt of it has a date."""


class Sources:
    """The sources of datagrams. The receiving thread alone changes it.

    Attributes:
        known: the source of each variant, by the key that the reader of datagrams gives it; always the same dict.
        outside: neighbours outside our networks, by address and interface.
    """

    def __init__(self) -> None:
        self.known: dict[Hashable, Source] = {}
        self.outside: dict[tuple[str, int], Outside] = {}
        self._sources: dict[tuple[str, Link | None, bool, bool], Source] = {}
        self._links: tuple[Link, ...] = ()
        self._own: frozenset[str] = frozenset()
        self._broadcasts: list[tuple[Source, bool]] = []
        self._learnt = 0.0

    def set_links(self, links: Iterable[Link], own: frozenset[str]) -> None:
        """Take over other links and addresses of ours: every sender is found anew."""
        self._links, self._own = tuple(links), own
        self.known.clear()
        self.outside.clear()
        self._sources.clear()

    def has_ipv6(self, index: int) -> bool:
        """Return whether an interface has a link of IPv6."""
        return any(link.index == index and ":" in link.address for link in self._links)

    def relearn(self, now: float) -> None:
        """Find every variant anew, if that was not done a moment ago; no source becomes another object."""
        if now >= self._learnt + RELEARN:
            self._learnt = now
            self.known.clear()
            for place, one in list(self.outside.items()):
                if now >= one.at + MEMORY:
                    del self.outside[place]

    def find(self, place: Hashable, origin: Origin, now: float, *, port_fits: bool = True) -> Source:
        """Return the source of a datagram, and remember it for its variant.

        Args:
            place: the key to remember it by.
            origin: of the datagram.
            now: the time.
            port_fits: whether it was sent from the port that all nodes send from.
        """
        address, _, index, destination = origin[:4]
        here = [link for link in self._links if link.index == index and (":" in link.address) is (":" in address)]
        if ":" in address:
            # by its zone a link-local address belongs to the link; any other is beyond it, as that of a router would be
            address = with_zone(address, here[0].name if here else name_of(index))
            link = here[0] if here and here[0].holds(address) else None
            is_unicast = not destination.startswith("ff")
        else:
            link = next((link for link in here if link.holds(address)), None)
            if link is None and here:
                link = self._link_of_outsider(address, here[0], destination, now)
            is_unicast = destination in self._own
        sender = (address, link, is_unicast, port_fits)
        source = self._sources.get(sender)
        if source is None:
            if len(self._sources) >= MAX_SENDERS:
                del self._sources[next(iter(self._sources))]
            source = self._sources[sender] = Source(address, link, unicast=is_unicast, port_fits=port_fits)
        is_broadcast = link is not None and destination in (LIMITED, link.broadcast) and ":" not in address
        if is_broadcast and port_fits and address not in self._own:
            self._broadcasts.append((source, destination == LIMITED))
        if len(self.known) >= MAX_PLACES:
            del self.known[next(iter(self.known))]
        self.known[place] = source
        return source

    def broadcasts(self) -> list[tuple[Source, bool]]:
        """Return the sources of broadcasts noted since the last call, each with True if limited (else directed)."""
        noted, self._broadcasts = self._broadcasts, []
        return noted

    def _link_of_outsider(self, address: str, link: Link, destination: str, now: float) -> Link | None:
        place = (address, link.index)
        known = self.outside.get(place)
        is_near = known is not None and known.is_near
        if destination in self._own:
            return link if is_near else None
        if known is None and len(self.outside) >= MAX_OUTSIDE:
            return None
        if destination == LIMITED and not is_near:
            is_near = True
            self.known.clear()  # other datagrams from there are on the link too
        self.outside[place] = Outside(link, now, is_near)
        return link if is_near else None
