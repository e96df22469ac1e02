"""What can be set, with its default, unit, reason and the consequence of changing it."""

from __future__ import annotations

from dataclasses import MISSING, field, fields

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.addresses import FAMILIES, is_ipv4
from discoveryd.protocol.hosts import faulty_networks, faulty_seeds

PORT = 3400
"""UDP port of HELLOs, source and destination both, and TCP port of the query socket."""

MAX_REALM = 16
MAX_ID = 32
"""Longest realm and node id, bytes: with both at their longest the steady HELLO still fits in 128."""

MAX_INTERVAL = 600.0
MAX_TTL = 3600.0
"""Longest interval and ttl that can be announced, seconds."""

_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def is_word(text: str, longest: int) -> bool:
    """Return whether `text` can stand in a field of a datagram: 1 to `longest` of ``A-Z a-z 0-9 . _ -``."""
    return 0 < len(text) <= longest and _WORD.issuperset(text)


@frozen
class Limits:
    """What bounds a node. Past each bound something is refused and counted, never a live peer dropped."""

    peers: int = 4096
    """Rows in the table. Full: the longest gone row makes room; if all are alive the newcomer is
    refused (drop reason ``table-full``). A row costs about 3 kB."""
    remember: float = 3600.0
    """Seconds a row stays, for ``list --all``, after its peer went down or left."""
    newcomers: int = 50
    """New rows per second from one source address (a forger's speed limit; drop reason ``rate``)."""
    routed: int = 1024
    """Live peers that were first heard from beyond our links, plain, and are no seeds (drop reason ``table-full``);
    peers that seal and seeds are bounded by `peers` alone."""
    source_datagrams: int = 500
    """Datagrams per second from one source address that take a closer look: all but the steady HELLOs of peers
    that are listed (drop reason ``rate``). A node has about 10 to say in its first second, so this is room for
    the 50 `newcomers` of one address."""
    datagrams: int = 4000
    """Datagrams per second, from all sources together, past which it is a flood: then only peers that
    were known before, or answered a PING, are heard, and a sample of others (drop reason ``flood``)."""
    answers: int = 8
    """Datagrams per second sent in answer to one source address, so that nobody can amplify through us."""
    subscriber_events: int = 10_000
    """Events that may wait for one subscriber before it is told that it lagged."""
    query_connections: int = 64
    """Query connections that have asked something. One more takes the place of one of the user with most, first
    of one that waits for nothing. Where the newcomer's own user has most, and all of those watch, it is told so
    and closed. As many more may be open that have asked nothing yet; then the first of these is closed."""
    query_connections_per_user: int = 0
    """Those of one user (from another machine: of one address); 0 is half of `query_connections`. One more takes the
    place of another of them in the same way."""
    watchers: int = 48
    """Query connections that watch; of one user in proportion. One more is refused, and may go on asking: so some
    connections are always left for questions that are soon answered."""
    query_line: int = 4096
    """Bytes of one request line."""
    query_idle: float = 300.0
    """Seconds a connection may stay silent, unless it watches."""
    query_backlog: int = 4 * 1024 * 1024
    """Bytes that may wait for a slow reader before it is disconnected."""
    hooks: int = 4
    """Hooks that run at the same time, processes."""
    hook_timeout: float = 10.0
    """Seconds one run of a hook may take; then it and what it started are ended."""
    hook_queue: int = 4096
    """Peers whose newest event may wait for one hook; past it the events of further ones are dropped.
    As many as `peers`: a whole table may come or go at once. About 3 kB each."""
    registrations: int = 64
    """Services that programs may register over the query socket together; their connections count
    here, not under `query_connections`. All of a node have to fit into its 700 bytes anyway."""

    @property
    def connections_per_user(self) -> int:
        """Query connections of one user, with the default worked out."""
        return self.query_connections_per_user or max(1, self.query_connections // 2)

    @property
    def watchers_per_user(self) -> int:
        """Those of one user that may watch: as large a part as of all."""
        return self.connections_per_user * self.watchers // self.query_connections

    def __post_init__(self) -> None:
        check_types(self, "limits")
        problems = []
        for one in fields(self):
            value, least = getattr(self, one.name), LEAST.get(one.name, 1)
            if not value >= least:  # so that nan is refused too
                unit = "s" if isinstance(one.default, float) else ""
                problems.append(f"limits.{one.name}: must be at least {least}{unit}, not {value}")
        if problems:
            raise ConfigError(*problems)


LEAST = {
    "remember": 0, "routed": 0, "source_datagrams": 10, "datagrams": 100, "query_connections_per_user": 0,
    "watchers": 0, "query_line": 64, "query_backlog": 65536, "hook_timeout": 0.1, "registrations": 0,
}  # fmt: skip
"""The lowest value of each limit that may be lower than 1, or has to be higher."""


@frozen
class MessageLimits:
    """What bounds the messages of a node; other bounds are in `discoveryd.protocol.messages`."""

    budget: int = 500
    """Datagrams of messages and acknowledgements a second that this node sends. More: a long message arrives sooner,
    and may crowd out others on a slow link."""
    rate: int = 20
    """Messages a second of one peer, and twice as many at once; any further ones are refused (``busy``)."""

    def __post_init__(self) -> None:
        check_types(self, "messages")
        problems = [
            f"messages.{key}: must be at least {least}, not {getattr(self, key)}"
            for key, least in (("budget", 10), ("rate", 1))
            if getattr(self, key) < least
        ]
        if problems:
            raise ConfigError(*problems)


@frozen
class Parameters:
    """How a node speaks. Times are in seconds.

    Raises:
        ConfigError: with every value that is out of its range.
    """

    port: int = PORT
    """UDP port. All nodes of a network use the same."""
    interval: float = 0.8
    """Time between two HELLOs, jittered by ±10 %. Shorter: losses are seen sooner, more traffic."""
    ttl: float = 4.0
    """How long one HELLO vouches for this node (5 intervals). Longer: fewer false alarms, but a crash
    is noticed later."""
    bare_ttl: float = 4.0
    """The same for senders of a plain ``HELLO|``, which announce none."""
    budget: int = 200
    """HELLOs per second that all nodes of a segment together may send: with more than budget times
    interval nodes the interval stretches, and the ttl with it."""
    families: tuple[str, ...] = FAMILIES
    """Families of addresses to speak: ``ipv4``, ``ipv6``. One alone: a little less traffic, and where it is filtered
    nothing else finds the peers."""
    interfaces: tuple[str, ...] = ("*",)
    """Name patterns, the last that matches decides; ``!`` before one excludes. ``*`` means every
    interface except loopback and those of containers."""
    seeds: tuple[str, ...] = ()
    """Addresses or host names, with ``:port`` where that is another, greeted by unicast: for peers where no broadcast
    reaches. `Discovery` resolves the names; another driver of a `Node` tells it (`Node.resolve_seed`)."""
    routed_budget: int = 200
    """HELLOs per second that this node sends to peers beyond its links, and to seeds: with more than nine tenths of it
    times interval peers there the interval stretches, and the ttl with it."""
    introduce: tuple[str, ...] = ()
    """Networks such as ``10.0.0.0/8`` whose nodes name each other their peers where nothing is sealed. Peers that seal
    do so in any case."""
    realm: str = "default"
    """Nodes of another realm are not listed: several groups can share one LAN."""
    loopback: str = ""
    """An own address within 127.0.0.0/8, to try several daemons on one machine: HELLOs stay on
    loopback, the UDP port is shared, `interfaces` is not looked at."""
    last_will: bool = False
    """Whether `Discovery.start` forks a witness, a small process that tells the others at once when this one has died.
    The daemon has one unless ``hello.last_will`` is off. Fork before there are other threads."""
    limits: Limits = field(default_factory=Limits)
    messages: MessageLimits = field(default_factory=MessageLimits)

    @property
    def spoken(self) -> tuple[str, ...]:
        """The families that are spoken: in loopback mode IPv4 alone."""
        return ("ipv4",) if self.loopback else self.families

    def __post_init__(self) -> None:
        check_types(self, "hello")
        found = []
        if not 1 <= self.port <= 65535:
            found.append(f"hello.port: must be 1 to 65535, not {self.port}")
        if not 0.05 <= self.interval <= MAX_INTERVAL:
            found.append(f"hello.interval: must be 50ms to 10m, not {self.interval:g}s")
        if not self.interval * 2 <= self.ttl <= MAX_TTL:
            found.append(f"hello.ttl: must be at least twice the interval ({self.interval * 2:g}s) "
                         f"and at most 1h, not {self.ttl:g}s")  # fmt: skip
        if not 0.1 <= self.bare_ttl <= MAX_TTL:
            found.append(f"hello.bare_ttl: must be 100ms to 1h, not {self.bare_ttl:g}s")
        found += [
            f"hello.{key}: must be 1 to 100000 HELLOs a second, not {getattr(self, key)}"
            for key in ("budget", "routed_budget")
            if not 1 <= getattr(self, key) <= 100_000
        ]
        if not self.families or len(set(self.families)) < len(self.families) or set(self.families) - set(FAMILIES):
            found.append(f"hello.families: must be ipv4, ipv6 or both, each once, not {list(self.families)!r:.80}")
        if not is_word(self.realm, MAX_REALM):
            found.append(f"hello.realm: must be 1 to {MAX_REALM} of A-Z a-z 0-9 . _ -, not {self.realm!r}")
        found += [f"hello.introduce: {problem}" for problem in faulty_networks(self.introduce)]
        found += [f"hello.seeds: {problem}" for problem in faulty_seeds(self.seeds)]
        if self.loopback and not (is_ipv4(self.loopback) and self.loopback.startswith("127.")
                                  and self.loopback != "127.255.255.255"):  # fmt: skip
            found.append(f"hello.loopback: must be an address of 127.0.0.0/8 such as 127.0.0.2, "
                         f"or empty, not {self.loopback!r}")  # fmt: skip
        if found:
            raise ConfigError(*found)


def check_types(given: Limits | MessageLimits | Parameters, section: str) -> None:
    """Refuse values of another type than the default: compared with numbers they would fail without a word of why.

    Raises:
        ConfigError: with every one of them.
    """
    problems = []
    for one in fields(given):
        value = getattr(given, one.name)
        default = one.default_factory if one.default is MISSING else type(one.default)
        kinds, wanted = _KINDS[default]
        if isinstance(value, bool) is not (bool in kinds) or not isinstance(value, kinds) or (
            isinstance(value, tuple) and not all(isinstance(item, str) for item in value)
        ):  # fmt: skip
            problems.append(f"{section}.{one.name}: must be {wanted}, not {value!r:.80}")
    if problems:
        raise ConfigError(*problems)


_KINDS: dict[object, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number (of seconds) such as 0.8"),
    str: ((str,), "a text"),
    tuple: ((tuple,), "a tuple of texts"),
    Limits: ((Limits,), "a Limits"),
    MessageLimits: ((MessageLimits,), "a MessageLimits"),
}
