"""What the section ``dns`` says: where names are asked for, below which domain, and for how long an answer holds."""

from __future__ import annotations

from collections.abc import Iterator

from discoveryd.config.listen import ListenSection
from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen

ZONE = "peers.internal"
"""That of exports: `.internal` is reserved for private networks."""
MAX_TTL = 60.0
"""Seconds: a peer that left would be found for longer."""
_NOT_OURS = ("local", "localhost", "arpa")
"""Top domains with a meaning of their own: Multicast DNS, this machine, reverse names."""


@frozen
class DnsSection(ListenSection):
    """Names of the peers for resolvers."""

    KEY, EXAMPLE, TAKES_IPV6 = "dns.listen", "127.0.0.1:3453", True
    zone: str = ZONE
    ttl: float = 0.0
    self: bool = True

    def __post_init__(self) -> None:
        ListenSection.__post_init__(self)
        problems = [] if self.zone == ZONE else [*_zone_problems(self.zone)]
        if not 0 <= self.ttl <= MAX_TTL:
            problems.append(f"dns.ttl: must be 0s to {MAX_TTL:g}s, not {self.ttl:g}s")
        if problems:
            raise ConfigError(*problems)


def _zone_problems(zone: str) -> Iterator[str]:
    from discoveryd.query.formats.names import MAX_DOMAIN, is_domain  # noqa: PLC0415 - most have the default

    if not is_domain(zone):
        yield f"dns.zone: must be a domain such as {ZONE}, at most {MAX_DOMAIN} characters, not {zone!r:.200}"
    elif zone.lower().rsplit(".", 1)[-1] in _NOT_OURS:
        why = "of reverse names" if zone.lower().endswith("arpa") else "which resolvers do not ask a server for"
        yield f"dns.zone: {zone!r} is a domain {why}: choose another, such as {ZONE}"
