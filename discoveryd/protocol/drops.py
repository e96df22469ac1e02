"""Dropped datagrams: what each reason means and what to do about it, and counts by reason and interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

DROP_REASONS: Final[dict[str, str]] = {
    "malformed": (
        "Not a HELLO, PING or PONG as specified: some other program uses this UDP port, or a datagram was damaged. "
        "Look at it with tcpdump."
    ),
    "version": "Sent by another version of the protocol: bring both nodes to the same release.",
    "too-long": "Longer than a HELLO can be: some other program uses this UDP port.",
    "other-realm": (
        "Sent by a node of another realm. Intended if several groups share this network; otherwise give both nodes the "
        "same hello.realm."
    ),
    "own-echo": "Our own HELLO came back. Normal on broadcast links; nothing to do.",
    "own-boot": (
        "Not sent by this node, but in the name of its present run: by a machine that was cloned with its memory, or "
        "forged. Its address was asked; if a node answers there this one goes on under a new boot (without keys once "
        "in 10 minutes) and both are listed as clones: give one of them its own id: discoveryd reset-id."
    ),
    "stale": (
        "A HELLO of a peer, or of a run of it, that is gone: not newer than its last one or its goodbye, or of a run "
        "that was replaced, which is asked whether it lives. A few are normal; many mean that a loop, a relay or a "
        "recording repeats them."
    ),
    "sealed": (
        "Sealed by a node that has keys, while this one has none: copy its key file here and name it under "
        "security.keys."
    ),
    "unknown-key": (
        "Sealed with a key that is not here. Compare the key id with those of security.keys, and copy the key file "
        "that is missing. Normal while a fleet changes its key, for the new key's first minutes."
    ),
    "bad-seal": (
        "Altered on its way, sealed for another realm or for another node, or forged. Compare hello.realm first; if "
        "they are the same, find out who has the address."
    ),
    "unbound": (
        "Sealed by a node that takes us to be on its link while we do not, or the other way round, and so bound to "
        "nothing that could be checked: give both the same network prefix. Where a router in between shows the sender "
        "under an address of our own link (NAT), name each other under hello.seeds over a route without translation."
    ),
    "replayed": (
        "A sealed datagram that was heard before. A few are normal where a network duplicates; many mean that somebody "
        "repeats recordings."
    ),
    "unproven": (
        "From a run of a node that has to answer a PING first, and was asked: it seals and was not known yet, or would "
        "replace one that answered, or is one of too many newcomers. It is listed as soon as it answers. A few for "
        "each start are normal; many mean that somebody forges, or repeats what was recorded."
    ),
    "plain": (
        "Not sealed, while security.mode is require: give its sender the key, or find out who it is. Bare peers are "
        "dropped under this reason too."
    ),
    "downgrade": (
        "Not sealed, in the name (id or boot) of a peer that seals. Normal while security.mode is accept and one node "
        "of the network still speaks plain: then all say everything twice. Also of a node that lost its keys, until it "
        "is not taken for sealed any longer (a ttl). Otherwise forged."
    ),
    "table-full": (
        "A newcomer was refused because the table holds limits.peers live peers, or limits.routed plain ones from "
        "beyond the links that are no seeds: raise that, or find out who forges so many."
    ),
    "rate": (
        "One source sent more than limits.newcomers new peers or limits.source_datagrams datagrams, or asked for more "
        "than limits.answers answers, a second: look at that source, it restarts in a loop or forges."
    ),
    "flood": (
        "More than limits.datagrams came in a second: until that ends only peers that were known before, or that "
        "answer a PING, are heard. Look for who forges HELLOs, or for a loop in the network."
    ),
    "off-link": (
        "A question from an address that is neither on one of our links nor a seed, and not sealed, was not answered: "
        "add it to hello.seeds if it is a peer."
    ),
    "unexpected": (
        "A PONG to no PING of ours, of another boot or from another address than was asked, or one that came after 10 "
        "s. Or a PING for another node, or for a run of this one that is over."
    ),
    "impossible-source": (
        "From an address that no machine can have: 0.0.0.0/8, multicast, broadcast, or a loopback address outside "
        "loopback mode. Forged, or sent before its machine had an address."
    ),
    "foreign-port": (
        "A HELLO, PING, PONG or SEALED from another source port than hello.port, on one of our links. No node sends "
        "that: a program forges, or a NAT on the way changes ports, which is not supported."
    ),
    "excluded": "Came in by an interface that hello.interfaces excludes.",
    "kernel": (
        "The receive buffer of the socket overflowed before the daemon could read it: too many datagrams at once, or "
        "too little processor time."
    ),
    "send-failed": "The kernel would not send: see the link's last error in the status.",
}
"""Each reason for people: its meaning, and the remedy.

A reason in capitals, such as ``ECONNREFUSED``, is an error that the kernel reported on receiving.
"""

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
