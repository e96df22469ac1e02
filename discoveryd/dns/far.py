"""The names of the peers of other sites: for each site a zone of its own, below the name of the site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from discoveryd.dns.index import TURN, Seen
from discoveryd.dns.zone import Look, Zone
from discoveryd.protocol.table.peer import peer_from_json

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Key


class FarPeers(Protocol):
    """What knows the peers of other sites (`discoveryd.sites.desk`); a key is id and boot with a blank between them."""

    site: str
    """That of this node."""

    def followed(self) -> Collection[str]:
        """Return the names of the other sites whose peers are kept."""

    def live(self, site: str) -> Mapping[str, str]:
        """Return key and text of the peers of a site that are up, while it is unreachable of those that were."""

    def read(self, key: str, text: str) -> Mapping[str, Any]:
        """Return such a peer as JSON, whether or not it is up."""

    def look(self, site: str, keys: Iterable[str]) -> Iterable[Mapping[str, Any]]:
        """Return some peers of a site as JSON, in the state that is true at this moment."""


class FarNames:
    """The zones of other sites, each kept up to date by looks at its peers. One thread uses it, the event loop.

    Args:
        home: the zone of this site.
        peers: returns what knows the peers of other sites, None where there are no sites.

    Attributes:
        zones: by the name of the site.
    """

    def __init__(self, home: Zone, peers: Callable[[], FarPeers | None]) -> None:
        self.zones: dict[str, Zone] = {}
        self._home = home
        self._peers = peers
        self._known: dict[str, Mapping[str, str]] = {}

    def find(self, label: bytes, look: Look) -> tuple[Zone, Look] | None:
        """Return the zone of a site and how its rows are looked at; None for a site that is not followed.

        Args:
            label: the name of the site.
            look: at rows of this network.
        """
        peers, site = self._peers(), label.decode("ascii", "replace")
        if peers is None:
            return None
        if site == peers.site:
            return self._home, look
        zone = self.zones.get(site)
        return (zone, partial(_look, peers, site, look)) if zone else None

    def others(self, look: Look) -> Iterator[tuple[Zone, Look]]:
        """Iterate over the zones of all other sites that are followed, and how their rows are looked at."""
        peers = self._peers()
        if peers is not None:
            for site, zone in self.zones.items():
                yield zone, partial(_look, peers, site, look)

    def refresh(self) -> Iterator[None]:
        """Take over what changed, a turn with each step."""
        peers = self._peers()
        followed = () if peers is None else peers.followed()
        for site in [site for site in self.zones if site not in followed]:
            del self.zones[site]
            self._known.pop(site, None)
        for site in followed:
            assert peers is not None
            zone = self.zones.get(site)
            if zone is None:
                zone = self.zones[site] = self._home.below(site)
            known, live = self._known.get(site, {}), peers.live(site)
            zone.index.take([(_split(key), None) for key in known if key not in live])
            new = [(key, text) for key, text in live.items() if known.get(key) != text]
            for start in range(0, len(new), TURN):
                some = new[start : start + TURN]
                zone.index.take([(_split(key), peer_from_json(peers.read(key, text))) for key, text in some])
                yield
            self._known[site] = live
            yield


def _look(peers: FarPeers, site: str, look: Look, keys: Iterable[Key]) -> Mapping[Key, Seen]:
    """Return those rows of a site that are up; what this node hears itself comes before what a gateway says."""
    wanted = list(keys)
    rows = peers.look(site, [f"{id} {boot}" for id, boot in wanted])
    found = [peer_from_json(row) for row in rows if row["state"] == "up" and row["expires_s"] > 0]
    return {**{(peer.id, peer.boot): Seen(peer, peer.expires_s, 1 + bool(peer.key)) for peer in found}, **look(wanted)}


def _split(key: str) -> Key:
    id, _, boot = key.partition(" ")
    return id, boot
