"""Names to rows of the table, kept up to date by looks at the table; and what a question sees of those rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from discoveryd.dns.names import HostNames, Instance, Labels, folded, names_of
from discoveryd.protocol.table.peer import Peer
from discoveryd.query.formats.names import far_addresses
from discoveryd.query.own_node import own_peer

if TYPE_CHECKING:
    from discoveryd.protocol.link import Link
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.row import Key, Row

TURN, LOOKED_AT = 50, 2000
"""Rows that changed, and rows in all, of one turn of a look at the table: about 1 ms with its lock held."""
OWN_RANK = 3
"""Of this node. A peer that seals has 2, one that answered a PING 1, any other 0."""


class Seen(NamedTuple):
    """A peer at the moment of a question.

    Attributes:
        peer: as it is listed.
        left: seconds until its ttl is over.
        rank: which of several with one name has it: those of the highest rank do.
    """

    peer: Peer
    left: float
    rank: int


class Index:
    """The names of all rows that are up. One thread uses it, the event loop.

    Args:
        zone: the domain in labels.
        with_self: whether this node has names too.

    Attributes:
        hosts: the names of each row.
        names: the rows of each name of a peer, without the zone.
        types: the rows of each type of a service.
        instances: the rows of each instance, with what they say of it.
        addresses: the rows that were heard from an address.
        between: names with others below them, and how many.
        links: those in use.
        version: changes with each change of a name.
        own: this node as its peers list it, None where it has no names.
    """

    def __init__(self, zone: Labels, *, with_self: bool) -> None:
        self.hosts: dict[Key, HostNames] = {}
        self.names: dict[Labels, dict[Key, None]] = {}
        self.types: dict[Labels, dict[Key, None]] = {}
        self.instances: dict[Labels, dict[Key, Instance]] = {}
        self.addresses: dict[str, dict[Key, None]] = {}
        self.between: Counter[Labels] = Counter()
        self.links: tuple[Link, ...] = ()
        self.version = 1
        self.own: Peer | None = None
        self._zone = zone
        self._with_self = with_self
        self._rows: dict[Key, tuple[Row, int]] = {}  # as they were looked at, with their stamps
        self._left: list[tuple[Key, Row]] = []  # to look at, the last one first
        self._is_looking = False
        self._heard_from: dict[Key, tuple[str, ...]] = {}
        self._own_key: Key | None = None

    # --- what changed ---------------------------------------------------------------------------

    def turn(self, node: Node, now: float) -> tuple[list[tuple[Key, Peer | None]], bool]:
        """Look at some rows of the table; to be called with the lock, again and again until it is over.

        Returns:
            those that changed, for `take`, None for one that is not up any more; whether it is over.
        """
        found: list[tuple[Key, Peer | None]] = []
        rows, by_key = self._rows, node.table.by_key
        if not self._is_looking:
            self._left, self._is_looking = list(by_key.items()), True
        least = max(0, len(self._left) - LOOKED_AT)
        while len(self._left) > least:
            key, row = self._left.pop()
            known = rows.get(key)
            if (known is None or known[1] != row.stamp or known[0] is not row) and by_key.get(key) is row:
                rows[key] = row, row.stamp
                found.append((key, row.lasting(now) if row.is_shown and now < row.expires else None))
                if len(found) >= TURN:
                    return found, False
        if self._left:
            return found, False
        for key in [key for key in rows if key not in by_key]:
            del rows[key]
            found.append((key, None))
        self.links = node.links
        self.own = own_peer(node, now, 0.0) if self._with_self else None
        self._is_looking = False
        return found, True

    def take(self, changes: Iterable[tuple[Key, Peer | None]]) -> None:
        """Take over what changed."""
        found = list(changes)
        own_key = (self.own.id, self.own.boot) if self.own else None
        if self._own_key is not None and self._own_key != own_key:  # another boot was drawn
            found.append((self._own_key, None))
        if own_key is not None:
            found.append((own_key, self.own))
        self._own_key = own_key
        for key, peer in found:
            names = None if peer is None else names_of(peer, self._zone)
            if names != self.hosts.get(key):
                self.version += 1
                self._forget(key)
                if names is not None:
                    self._put(key, names)
            self._note_addresses(key, () if peer is None else addresses_of(peer))

    def _put(self, key: Key, names: HostNames) -> None:
        self.hosts[key] = names
        for name in {folded(names.name), folded(names.alias)}:
            self.names.setdefault(name, {})[key] = None
            self._count(name, 1)
        for instance in names.instances:
            self.types.setdefault(instance.type, {})[key] = None
            self._count(instance.type, 1)
            for label in {instance.label, instance.alias}:
                self.instances.setdefault(folded((label, *instance.type)), {})[key] = instance

    def _forget(self, key: Key) -> None:
        names = self.hosts.pop(key, None)
        if names is None:
            return
        for name in {folded(names.name), folded(names.alias)}:
            _drop(self.names, name, key)
            self._count(name, -1)
        for instance in names.instances:
            _drop(self.types, instance.type, key)
            self._count(instance.type, -1)
            for label in {instance.label, instance.alias}:
                _drop(self.instances, folded((label, *instance.type)), key)

    def _count(self, name: Labels, by: int) -> None:
        for place in range(1, len(name)):
            self.between[name[place:]] += by
            if not self.between[name[place:]]:
                del self.between[name[place:]]

    def _note_addresses(self, key: Key, addresses: tuple[str, ...]) -> None:
        if self._heard_from.get(key, ()) == addresses:
            return
        for address in self._heard_from.pop(key, ()):
            _drop(self.addresses, address, key)
        if addresses:
            self._heard_from[key] = addresses
        for address in addresses:
            self.addresses.setdefault(address, {})[key] = None

    # --- what a question sees -------------------------------------------------------------------

    def look(self, node: Node, now: float, keys: Iterable[Key]) -> dict[Key, Seen]:
        """Return those rows that are up at this moment; to be called with the lock."""
        found = {}
        for key in keys:
            row = node.table.by_key.get(key)
            if row is not None and row.is_shown and now < row.expires:
                rank = 2 if row.sealed_with else int(row.proved)
                found[key] = Seen(row.lasting(now), row.expires - now, rank)
            elif self.own is not None and key == self._own_key:
                found[key] = Seen(self.own, self.own.expires_s, OWN_RANK)
        return found

    def is_near(self, address: str) -> bool:
        """Return whether an address is of the networks of our links."""
        return any(link.holds(address) for link in self.links)


def addresses_of(peer: Peer) -> tuple[str, ...]:
    """Return the addresses of a peer that any program can use, the best first."""
    return tuple(far_addresses({"address": peer.address, "addresses": peer.addresses}))


def _drop(held: dict[Labels, dict[Key, Any]] | dict[str, dict[Key, None]], name: Any, key: Key) -> None:
    """Take a row off a name, and the name away with its last row."""
    found: dict[Any, dict[Key, Any]] = held
    rows = found[name]
    del rows[key]
    if not rows:
        del found[name]
