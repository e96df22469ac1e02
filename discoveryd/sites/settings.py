"""What is configured for the exchange between sites, as checked values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from fnmatch import translate
from typing import Any

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen

MAX_SITE = 32
"""Characters of the name of a site: a part of NATS subjects, of DNS names, and of names of hooks."""
MAX_GATEWAYS = 8
GATEWAY_TAG = "site-gateway"
"""A node with this tag in its record can be a gateway of the site that is the value of the tag."""

_is_site = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?").fullmatch


def is_site(name: object) -> bool:
    """Return whether a value is the name of a site."""
    return isinstance(name, str) and _is_site(name) is not None


@frozen
class Follow:
    """Peers of other sites to keep. Each condition that is given must hold.

    Attributes:
        site: glob for the name of the site.
        name: glob for the name of the peer; empty for all peers.
        tags: each of these, to the letter.
        service: name of a service that the peer offers; empty for all peers.
    """

    site: str = "*"
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    _site: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _name: re.Pattern[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_site", re.compile(translate(self.site)))
        if self.name:
            object.__setattr__(self, "_name", re.compile(translate(self.name)))

    @property
    def is_whole(self) -> bool:
        """Whether it is about all peers of its sites."""
        return not (self.name or self.tags or self.service)

    def is_about(self, site: str) -> bool:
        """Return whether it is about a site."""
        return self._site.match(site) is not None

    def accepts(self, peer: Mapping[str, Any]) -> bool:
        """Return whether a peer of such a site, as JSON, is to be kept."""
        if self._name is not None and not self._name.match(peer["name"] or ""):
            return False
        if self.service and all(service["name"] != self.service for service in peer["services"]):
            return False
        return all(peer["tags"].get(key) == value for key, value in self.tags.items())


@frozen
class SiteSettings:
    """The part of one node in the exchange between sites.

    Attributes:
        site: name of the site of this node.
        realm: of this node; sites of other realms are not heard.
        gateways: nodes of the site that speak for it at a time; the others stand by.
        can_speak: whether this node can be a gateway.
        follow: peers of other sites to keep; of a site that no entry is about only the existence is known.
        interval: seconds between two beats of a gateway, while few gateways are heard.
        ttl: seconds for which the proved word of a site holds; it stretches with the interval.
        beats: beats a second that a node hears at most: with more gateways the intervals stretch.
        rows: peers of other sites that are kept, of all sites together.
        sites: other sites that are kept.
        remember: seconds for which a peer that is gone is remembered.

    Raises:
        ConfigError: with every fault.
    """

    site: str
    realm: str = "default"
    gateways: int = 2
    can_speak: bool = True
    follow: tuple[Follow, ...] = (Follow(),)
    interval: float = 2.0
    ttl: float = 10.0
    beats: float = 20.0
    rows: int = 20_000
    sites: int = 128
    remember: float = 3600.0

    def __post_init__(self) -> None:
        found = []
        if not is_site(self.site):
            found.append(
                f"sites.name: must be 1 to {MAX_SITE} of a-z 0-9 - _, beginning and ending with a letter or digit, "
                f"not {self.site!r:.80}"
            )
        if not 1 <= self.gateways <= MAX_GATEWAYS:
            found.append(f"sites.gateways: must be 1 to {MAX_GATEWAYS}, not {self.gateways!r:.40}")
        if found:
            raise ConfigError(*found)
