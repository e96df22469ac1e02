"""What the section ``sites`` says: which site this node belongs to, and by which servers sites tell of each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.query.fields import MAX_GLOB

MAX_SITE = 32
"""Characters of the name of a site: a label of DNS and a token of a NATS subject at once."""
MAX_SERVERS = 16
MAX_FOLLOWED = 64
MAX_GATEWAYS = 8
MAX_ROWS = 1_000_000
ALL = "all"
"""What asks for every site, so that none may be called that."""
SPEAKS_TAG = "site-gateway"
"""The tag by which a node says that it can speak for its site: its value is the name of the site."""
_PATTERN = re.compile(f"[a-z0-9*?-]{{1,{MAX_SITE}}}")
_SITE = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SERVER = re.compile(r"(nats|tls)://((?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)/?")


@frozen
class FollowRule:
    """Peers of other sites that this node wants to know; a peer is kept if any rule accepts it.

    Attributes:
        site: glob pattern for the name of the site.
        name: glob pattern for the name of a peer.
        tags: each of these, to the letter.
        service: name of a service that the peer offers.
    """

    site: str
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if not _PATTERN.fullmatch(self.site):
            allowed = "the name of a site, or a pattern such as de-*, of a-z 0-9 - * ?"
            problems.append(f"site: must be {allowed}, not {self.site!r:.80}")
        if self.name is not None and not 1 <= len(self.name) <= MAX_GLOB:
            problems.append(f"name: is a glob of 1 to {MAX_GLOB} characters, not {len(self.name)}")
        if problems:
            raise ConfigError(*problems)

    def to_json(self) -> dict[str, object]:
        """Return the keys that are given, as the configuration has them."""
        kept = {"site": self.site, "name": self.name, "tags": dict(self.tags), "service": self.service}
        return {key: value for key, value in kept.items() if value}


@frozen
class SiteAllowRule:
    """Messages that nodes of other sites may send to nodes of this one; all others are refused.

    Attributes:
        site: glob pattern for the name of the site.
        send: glob patterns for the names of messages.
        ask: glob patterns for the names of questions.
    """

    site: str
    send: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if not _PATTERN.fullmatch(self.site):
            allowed = "the name of a site, or a pattern such as de-*, of a-z 0-9 - * ?"
            problems.append(f"site: must be {allowed}, not {self.site!r:.80}")
        if not self.send and not self.ask:
            problems.append("site: say what it may: send, ask, or both, as in {site: paris, ask: [info]}")
        for key, names in (("send", self.send), ("ask", self.ask)):
            if len(names) > MAX_FOLLOWED:
                problems.append(f"{key}: {len(names)} names, at most {MAX_FOLLOWED}: use patterns such as web-*")
            wanted = "the name of a message, or a pattern, of a-z 0-9 - * ?"
            problems += [f"{key}: must be {wanted}, not {name!r:.80}" for name in names if not _PATTERN.fullmatch(name)]
        if problems:
            raise ConfigError(*problems)

    def allows(self, site: str, name: str, *, is_question: bool) -> bool:
        """Return whether a message of a site is one of these."""
        names = self.ask if is_question else self.send
        return fnmatchcase(site, self.site) and any(fnmatchcase(name, one) for one in names)

    def to_json(self) -> dict[str, object]:
        """Return the keys that are given, as the configuration has them."""
        kept = {"site": self.site, "send": list(self.send), "ask": list(self.ask)}
        return {key: value for key, value in kept.items() if value}


@frozen
class SitesSection:
    """The site of this node, and how its peers are told to other sites."""

    name: str = ""
    """Empty: this network has no other sites, and nothing is connected to."""
    servers: tuple[str, ...] = ()
    credentials: str = ""
    ca: str = ""
    gateways: int = 2
    speaks: bool = True
    follow: tuple[FollowRule, ...] = ()
    """Empty: all sites, all peers."""
    allow: tuple[SiteAllowRule, ...] = ()
    """Empty: no message of another site is taken."""
    rows: int = 20_000

    def __post_init__(self) -> None:
        problems = [*self._server_problems(), *self._follow_problems()]
        if self.name and (self.name == ALL or not is_site(self.name)):
            problems.append(f"sites.name: must be {_ALLOWED}, and not {ALL!r}, not {self.name!r:.80}")
        for key, path in (("credentials", self.credentials), ("ca", self.ca)):
            if "\0" in path:
                problems.append(f"sites.{key}: {path!r:.200} is no file name")
        for key, most in (("gateways", MAX_GATEWAYS), ("rows", MAX_ROWS)):
            if not 1 <= getattr(self, key) <= most:
                problems.append(f"sites.{key}: must be 1 to {most}, not {getattr(self, key)}")
        if problems:
            raise ConfigError(*problems)

    def _server_problems(self) -> list[str]:
        problems = [fault for server in self.servers if (fault := _server_fault(server))]
        if self.name and not self.servers:
            problems.append('sites.name: a site needs a NATS server under servers, such as ["nats://127.0.0.1:4222"]')
        if self.servers and not self.name:
            problems.append("sites.servers: these are for a site with a name, such as berlin: set sites.name")
        if len(self.servers) > MAX_SERVERS:
            problems.append(f"sites.servers: {len(self.servers)} servers, at most {MAX_SERVERS}")
        if self.ca and not any(server.startswith("tls:") for server in self.servers):
            problems.append("sites.ca: is for servers with tls://, and there is none: nothing would be encrypted")
        return problems

    def _follow_problems(self) -> list[str]:
        problems = []
        if len(self.follow) > MAX_FOLLOWED:
            problems.append(f"sites.follow: {len(self.follow)} entries, at most {MAX_FOLLOWED}")
        if self.name in [rule.site for rule in self.follow]:
            problems.append(f"sites.follow: {self.name} is the site of this node, which knows its peers first-hand")
        if len(self.allow) > MAX_FOLLOWED:
            problems.append(f"sites.allow: {len(self.allow)} rules, at most {MAX_FOLLOWED}: use patterns such as de-*")
        return problems

    @property
    def is_on(self) -> bool:
        """Whether there are other sites."""
        return bool(self.name)


def is_site(text: str) -> bool:
    """Return whether a site may have this name: it is a label of a domain, and a token of a subject of NATS."""
    return len(text) <= MAX_SITE and _SITE.fullmatch(text) is not None


_ALLOWED = f"1 to {MAX_SITE} of a-z 0-9 - (no - at an end)"


def _server_fault(server: str) -> str:
    """Return what is wrong with the address of a server, empty if nothing."""
    if "@" in server:
        why = "has a user or a password in it: name a file under sites.credentials"
        return f"sites.servers: {server.partition('://')[0]:.10}://...@{server.rpartition('@')[2]:.80} {why}"
    match = _SERVER.fullmatch(server)
    if match and (match[3] is None or 1 <= int(match[3]) <= 65535):
        return ""
    return f"sites.servers: must be nats://HOST:PORT or tls://HOST:PORT, not {server!r:.80}"
