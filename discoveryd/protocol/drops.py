"""Dropped datagrams: what each reason means and what to do, counts by reason and interface, and the latest sources."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from discoveryd.protocol.bounded import put_last

DROP_REASONS: Final[dict[str, str]] = {
    "malformed": "Nothing that a node says: another program uses this UDP port, or it was damaged. Look with tcpdump.",
    "version": "Sent by another version of the protocol: bring both nodes to the same release.",
    "too-long": "Longer than a datagram can be: another program uses this UDP port. Or a long message, not sealed.",
    "other-realm": "Sent in another realm. Intended where several groups share a network; else use one hello.realm.",
    "own-echo": "Our own HELLO came back. Normal on broadcast links; nothing to do.",
    "own-boot": (
        "Not sent by this node, but under its present boot: by a machine that was cloned with its memory, or forged. "
        "If a node answers at that address, this one takes a new boot (without keys once in 10 minutes) and both are "
        "listed as clones: give one its own id with discoveryd reset-id."
    ),
    "stale": (
        "A HELLO of a run that is gone: not newer than its last one or its goodbye, or of a replaced run, which is "
        "asked whether it lives; or a message long over. A few are normal; many mean that a loop, a relay or a "
        "recording repeats them."
    ),
    "sealed": "Sealed by a node that has keys, while this one has none: copy its key file, list it in security.keys.",
    "unknown-key": (
        "Sealed with a key that is not here. Compare the key id with those of security.keys, and copy the missing key "
        "file. Normal for a few minutes while a fleet changes its key."
    ),
    "bad-seal": (
        "Altered on its way, sealed for another realm or node, or forged. Compare hello.realm first; if both have the "
        "same, find out which machine has the address."
    ),
    "unbound": (
        "Sealed by a node that is on our link in its view but not in ours, or the other way round: give both the same "
        "network prefix. Where a router shows the sender under an address of our own link (NAT), name each other under "
        "hello.seeds over a route without translation."
    ),
    "replayed": "A sealed datagram heard before. A few are normal where a network duplicates; many are recordings.",
    "unproven": (
        "From a boot that was sent a PING and has to answer it first: it seals and was not known yet, or would replace "
        "one that answered, or is one of too many newcomers. It is listed once it answers. A few for each start are "
        "normal; many are forged, or recordings."
    ),
    "plain": "Not sealed, but security.mode is require: give the sender the key or find out who it is. Bare peers too.",
    "downgrade": (
        "Not sealed, with the id or boot of a peer that seals. Normal in security.mode accept while one node still "
        "sends plain, for then all send both; and for a ttl after a node lost its keys. Otherwise forged."
    ),
    "table-full": (
        "The table holds limits.peers live peers, or limits.routed plain ones from beyond the links that are no seeds: "
        "raise that, or find out who forges so many."
    ),
    "rate": (
        "One source sent more than limits.newcomers new peers or limits.source_datagrams datagrams a second, or asked "
        "for more than limits.answers answers: look at that source, it restarts in a loop or forges."
    ),
    "flood": (
        "More than limits.datagrams came in a second: until that ends, only peers known before, or that answer a PING, "
        "are heard. Look for forged HELLOs, or for a loop in the network."
    ),
    "message-crowd": (
        "A part of a message, 8 others of its sender being incomplete here, or 64 of all: it comes again. A few are "
        "normal where many long messages are sent at once."
    ),
    "off-link": "Asked in plain from neither a link of ours nor a seed: add it to hello.seeds if it is a peer.",
    "unexpected": (
        "A PONG to no PING of ours, of another boot or address, or after 10 s; a PING for another node or old boot; "
        "an acknowledgement of no message of ours, or an answer to no question of ours."
    ),
    "impossible-source": (
        "From an address that no machine can have: 0.0.0.0/8, multicast, broadcast, or loopback outside loopback mode. "
        "Forged, or sent before its machine had an address."
    ),
    "foreign-port": (
        "Sent on a link of ours from another port than hello.port, as no node does: by a program that forges, or "
        "through a NAT that changes ports, which is not supported."
    ),
    "hop-limit": (
        "Claims to come from our link by IPv6, and has passed a router: nobody beyond a link speaks for a node on it. "
        "Forged, or sent through a tunnel that takes one off."
    ),
    "excluded": "Came in by an interface that hello.interfaces excludes.",
    "kernel": "The receive buffer overflowed before it was read: too many datagrams at once, or too little CPU time.",
    "send-failed": "The kernel would not send: see the link's last error in the status.",
}
"""Each reason for people: its meaning, and the remedy.

A reason in capitals, such as ``ECONNREFUSED``, is an error that the kernel reported on receiving.
"""

SOURCES_BY_REASON, MOST_SOURCES = 16, 256
"""Sources remembered of each reason, the latest, so that a flood of one reason hides nothing of another; and told of
all."""
MAX_DETAIL = 80
"""Characters of what they said."""
MAX_NAMES = 64
"""Interfaces that are counted one by one, for containers bring new ones without end; past it they count as `OTHERS`."""
OTHERS = "others"


class Drops(Counter[tuple[str, str]]):
    """Counts dropped datagrams by reason and interface.

    When there are too many interfaces, the counts of those that are gone by then move to `OTHERS`.

    Args:
        counted: what to begin with.
    """

    def __init__(self, counted: Mapping[tuple[str, str], int] = MappingProxyType({})) -> None:
        super().__init__(counted)
        self._names = {name for _, name in counted}
        self._present: Callable[[], Iterable[str]] | None = None

    def count(self, reason: str, name: str) -> None:
        """Count one more datagram."""
        if name not in self._names:
            if len(self._names) >= MAX_NAMES:
                self._fold()
            if len(self._names) >= MAX_NAMES:
                name = OTHERS
            else:
                self._names.add(name)
        self[reason, name] += 1

    def changed(self, present: Callable[[], Iterable[str]]) -> None:
        """Expect that interfaces are gone; `present` returns those there are, and is called at most once."""
        self._present = present

    def _fold(self) -> None:
        if self._present is None:
            return
        gone = self._names.difference(self._present())
        self._present = None
        self._names -= gone
        for key in [key for key in self if key[1] in gone]:
            self[key[0], OTHERS] += self.pop(key)


@dataclass(slots=True, eq=False)
class DropSource:
    """An address from which datagrams were dropped for one reason.

    Attributes:
        address: where they came from.
        link: the interface it was last heard on, ``-`` for none of ours.
        detail: what it said last that was wrong, such as its realm.
        count: how many were dropped.
        last: when.
    """

    address: str
    link: str
    detail: str
    count: int
    last: float


class DropSources:
    """The latest sources of what was dropped, by reason."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, DropSource]] = {}

    def note(self, reason: str, address: str, link: str, detail: str, now: float) -> None:
        """Note one more datagram."""
        sources = self._sources.setdefault(reason, {})
        known = sources.get(address)
        count = 1 if known is None else known.count + 1
        put_last(sources, address, DropSource(address, link, detail[:MAX_DETAIL], count, now), SOURCES_BY_REASON)

    def latest(self) -> list[tuple[str, DropSource]]:
        """Return the sources with their reason, the latest first, `MOST_SOURCES` at most."""
        found = [(reason, source) for reason, sources in self._sources.items() for source in sources.values()]
        return sorted(found, key=lambda one: -one[1].last)[:MOST_SOURCES]
