"""What the section ``dns`` says: where names are asked for, below which domain, and for how long an answer holds."""

from __future__ import annotations

from dataclasses import dataclass

from discoveryd.config.listen import ListenSection
from discoveryd.errors import ConfigError
from discoveryd.query.formats.names import DOMAIN, MAX_DOMAIN, is_domain

MAX_TTL = 60.0
"""Seconds: a peer that left would be found for longer."""
_NOT_OURS = ("local", "localhost", "arpa")
"""Top domains with a meaning of their own: Multicast DNS, this machine, reverse names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSection(ListenSection):
    """Names of the peers for resolvers."""

    KEY, EXAMPLE, TAKES_IPV6 = "dns.listen", "127.0.0.1:3453", True
    zone: str = DOMAIN
    ttl: float = 0.0
    self: bool = True

    def __post_init__(self) -> None:
        ListenSection.__post_init__(self)
        problems = []
        if not is_domain(self.zone):
            problems.append(
                f"dns.zone: must be a domain such as {DOMAIN}, at most {MAX_DOMAIN} characters, not {self.zone!r:.200}"
            )
        elif self.zone.lower().rsplit(".", 1)[-1] in _NOT_OURS:
            why = "which resolvers do not ask a server for" if "arpa" not in self.zone.lower() else "of reverse names"
            problems.append(f"dns.zone: {self.zone!r} is a domain {why}: choose another, such as {DOMAIN}")
        if not 0 <= self.ttl <= MAX_TTL:
            problems.append(f"dns.ttl: must be 0s to {MAX_TTL:g}s, not {self.ttl:g}s")
        if problems:
            raise ConfigError(*problems)
