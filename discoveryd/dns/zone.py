"""The zone: a question in, its answer out. Pure: the rows that it is about are looked at through a function.

The answer is authoritative below the domain. A name of no peer that is up is NXDOMAIN; a name that is there without
what is asked for, or with others below it, is NOERROR without an answer (RFC 8020). All else is REFUSED, so that a
resolver asks another server: also the reverse name of an address where no peer is, which may well be another machine's.

Where this node belongs to a site, the last label before the domain may be the name of a site: of this one, for the same
names once more, or of another, for a zone of its own (`discoveryd.dns.far`). A peer of this network with the whole name
comes first. Sites may well use the same addresses: one of this network, or of a peer that this node hears, is no other
site's, and one that peers of two sites have has no name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from discoveryd.dns.index import Index, Seen, addresses_of
from discoveryd.dns.names import BETWEEN, BROWSING, ENUMERATION, SELF_LABEL, Labels, folded, labels_of
from discoveryd.query.formats.names import far_addresses

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Key

MOST_ROWS = 128
"""Rows that one question looks at: of more a random choice, another one for each question."""
FEW = 4
"""Rows that are looked at to see whether a type of service is offered."""
SUSPECT, DEAF = 20, 10
"""What is added to the priority of a service of a peer that is overdue, and of one that does not hear this node."""
REVERSE: Labels = (b"in-addr", b"arpa")

Code = Literal["NOERROR", "NXDOMAIN", "REFUSED"]
Look = Callable[[Iterable["Key"]], Mapping["Key", Seen]]
"""Returns those of some rows that are up."""


class DnsQuestion(NamedTuple):
    """A question: a name as it was asked for, and the type of the records wanted, such as ``A``."""

    name: Labels
    kind: str


class ZoneRecord(NamedTuple):
    """A record of an answer.

    Attributes:
        owner: its whole name.
        kind: its type: A, AAAA, NS, PTR, SOA, SRV or TXT.
        ttl: seconds for which it may be kept.
        data: an address; texts; a name; priority, port and name; two names and a serial.
    """

    owner: Labels
    kind: str
    ttl: int
    data: Any


class DnsAnswer(NamedTuple):
    """An answer: its code, the records asked for, and what a resolver is told besides."""

    code: Code
    records: tuple[ZoneRecord, ...] = ()
    authority: tuple[ZoneRecord, ...] = ()
    additional: tuple[ZoneRecord, ...] = ()


REFUSED = DnsAnswer("REFUSED")


class Sites(Protocol):
    """The zones of sites (`discoveryd.dns.far.FarNames`), and for each how its rows are looked at."""

    def find(self, label: bytes, look: Look) -> tuple[Zone, Look] | None:
        """Return that of a site, also of this one, by its name."""

    def others(self, look: Look) -> Iterable[tuple[Zone, Look]]:
        """Return those of all other sites."""


class Zone:
    """A domain with the names of the peers that are up.

    Args:
        domain: such as ``peers.internal``.
        ttl: seconds for which an answer may be kept; less where a peer has less left.
        with_self: whether this node has names too.
        address: where the server is asked, None for any address of this node.
        random: for the choice among many.

    Attributes:
        labels: the domain.
        index: its names.
        sites: the zones of sites, None where there are none.
    """

    def __init__(self, domain: str, ttl: float, *, with_self: bool, address: str | None, random: Random) -> None:
        self.labels = folded(labels_of(domain))
        self._top = self  # the zone of the SOA in answers
        self.sites: Sites | None = None
        self.index = Index(self.labels, with_self=with_self)
        self._ttl = int(ttl)
        self._address = address
        self._random = random

    def below(self, site: str) -> Zone:
        """Return an empty zone below this one, for the peers of another site."""
        domain = b".".join((site.encode("ascii"), *self.labels)).decode("ascii")
        made = Zone(domain, self._ttl, with_self=False, address=None, random=self._random)
        made._top = self._top
        return made

    def answer(self, question: DnsQuestion, look: Look) -> DnsAnswer:
        """Return the answer to a question of class IN."""
        name = folded(question.name)
        if question.kind in ("ANY", "AXFR", "IXFR"):
            return REFUSED
        if name[-2:] == REVERSE:
            return self._reverse(question, name, look)
        below = len(name) - len(self.labels)
        if below < 0 or name[below:] != self.labels:
            return REFUSED
        name = name[:below]
        found = self._below(question, name, look) or self._in_site(question, name, look) or self._between(name)
        return found or DnsAnswer("NXDOMAIN", (), (self._start(),))

    def within(self, question: DnsQuestion, name: Labels, look: Look) -> DnsAnswer | None:
        """Return the answer to a question about a name of a site, None where nothing that is up has that name."""
        if name == SELF_LABEL:
            return None
        return (self._below(question, name, look) if name else self._reply(())) or self._between(name)

    def names_at(self, address: str, owner: Labels, look: Look) -> list[ZoneRecord]:
        """Return the names of the peers that are up at an address, as records of its reverse name."""
        keys = self.index.addresses.get(address)
        rows = [row for row in self._seen(keys, look) if address in row.peer.addresses] if keys else []
        return [ZoneRecord(owner, "PTR", self._for(row), self._host(row)) for row in _foremost(rows)]

    def _in_site(self, question: DnsQuestion, name: Labels, look: Look) -> DnsAnswer | None:
        """Return the answer to a question about a name whose last label is that of a site, None for no such name."""
        found = self.sites.find(name[-1], look) if self.sites else None
        return found[0].within(question, name[:-1], found[1]) if found else None

    def _between(self, name: Labels) -> DnsAnswer | None:
        """Return the answer for a name with others below it, None where there are none."""
        return self._reply(()) if name in self.index.between or name in BETWEEN else None

    def _below(self, question: DnsQuestion, name: Labels, look: Look) -> DnsAnswer | None:
        """Return the answer to a question about a name of the domain, None where nothing that is up has that name."""
        if name in ((), SELF_LABEL):
            return self._reply(self._of_zone(question, name))
        if name == ENUMERATION or name in BROWSING:
            return self._reply(self._of_browsing(question, name, look))
        if name in self.index.instances:
            rows = _foremost(self._seen(self.index.instances[name], look))
            records = list(self._of_instance(question, name, rows))
        elif name in self.index.types:
            rows = self._seen(self.index.types[name], look)
            records = list(self._of_type(question, name, rows))
        else:
            rows = _foremost(self._seen(self.index.names.get(name, ()), look))
            records = [one for row in rows for one in self._of_host(row, question.kind, question.name)]
        if not rows:
            return None
        targets = rows if question.kind == "SRV" and records else []
        extra = [one for row in targets for kind in ("A", "AAAA") for one in self._of_host(row, kind, self._host(row))]
        return self._reply(records, extra)

    def _reply(self, records: Iterable[ZoneRecord], extra: Iterable[ZoneRecord] = ()) -> DnsAnswer:
        found = tuple(records)
        return DnsAnswer("NOERROR", found, () if found else (self._start(),), tuple(extra))

    # --- what is there --------------------------------------------------------------------------

    def _of_zone(self, question: DnsQuestion, name: Labels) -> Iterator[ZoneRecord]:
        """Yield what is asked of the domain itself, or of its server."""
        if not name and question.kind == "SOA":
            yield self._start()._replace(owner=question.name)
        elif not name and question.kind == "NS":
            yield ZoneRecord(question.name, "NS", self._ttl, SELF_LABEL + self.labels)
        elif name and question.kind in ("A", "AAAA"):
            found = (self._address,) if self._address else [link.address for link in self.index.links]
            wanted = [one for one in found if (":" in one) == (question.kind == "AAAA")]
            usable = far_addresses({"address": "", "addresses": wanted})  # an address of IPv6 of a link needs a zone
            yield from (ZoneRecord(question.name, question.kind, self._ttl, one) for one in usable)

    def _of_browsing(self, question: DnsQuestion, name: Labels, look: Look) -> Iterator[ZoneRecord]:
        """Yield the types of services, or the domain to browse."""
        if question.kind != "PTR":
            return
        if name in BROWSING:
            yield ZoneRecord(question.name, "PTR", self._ttl, self.labels)
            return
        types = self._some(self.index.types)
        offered = {kind: list(islice(self.index.types[kind], FEW)) for kind in types}
        rows = look({key: None for keys in offered.values() for key in keys})
        for kind, keys in offered.items():
            if left := [row for key in keys if (row := rows.get(key))]:
                yield ZoneRecord(question.name, "PTR", self._for(*left), kind + self.labels)

    def _of_type(self, question: DnsQuestion, name: Labels, rows: list[Seen]) -> Iterator[ZoneRecord]:
        """Yield where a service is offered, or its instances."""
        for row in rows:
            for instance in self.index.hosts[_key(row)].instances:
                if instance.type != name:
                    continue
                if question.kind == "SRV":
                    yield self._service(question.name, row, instance.port)
                elif question.kind == "PTR":
                    label = instance.label if self._is_alone(row) else instance.alias
                    yield ZoneRecord(question.name, "PTR", self._for(row), (label, *name, *self.labels))

    def _of_instance(self, question: DnsQuestion, name: Labels, rows: list[Seen]) -> Iterator[ZoneRecord]:
        """Yield where an instance of a service is, or its tags."""
        for row in rows:
            instance = self.index.instances[name][_key(row)]
            if question.kind == "SRV":
                yield self._service(question.name, row, instance.port)
            elif question.kind == "TXT":  # RFC 6763, section 6.1: at least one text, be it empty
                yield ZoneRecord(question.name, "TXT", self._for(row), instance.txt or (b"",))

    def _of_host(self, row: Seen, kind: str, owner: Labels) -> Iterator[ZoneRecord]:
        """Yield the addresses of a peer, or its tags."""
        ttl = self._for(row)
        if kind in ("A", "AAAA"):
            wanted = [one for one in addresses_of(row.peer) if (":" in one) == (kind == "AAAA")]
            yield from (ZoneRecord(owner, kind, ttl, one) for one in wanted)
        elif kind == "TXT" and (txt := self.index.hosts[_key(row)].txt):
            yield ZoneRecord(owner, "TXT", ttl, txt)

    def _service(self, owner: Labels, row: Seen, port: int) -> ZoneRecord:
        priority = SUSPECT * (row.peer.state != "up") + DEAF * (row.peer.two_way is False)
        return ZoneRecord(owner, "SRV", self._for(row), (priority, port, self._host(row)))

    def _reverse(self, question: DnsQuestion, name: Labels, look: Look) -> DnsAnswer:
        """Return the names of an address: of a peer that is up, on one of our links or in exactly one other site."""
        address = b".".join(reversed(name[:-2])).decode("ascii", "replace")
        is_here = address in self.index.addresses
        zones = ((self, look),) if is_here else self.sites.others(look) if self.sites else ()
        found = [names for zone, seen in zones if (names := zone.names_at(address, question.name, seen))]
        if len(found) != 1 or self.index.is_near(address) != is_here:
            return REFUSED
        return self._reply(found[0] if question.kind == "PTR" else ())

    # --- parts of it ----------------------------------------------------------------------------

    def _some(self, keys: Iterable[Any]) -> list[Any]:
        found = list(keys)
        return found if len(found) <= MOST_ROWS else self._random.sample(found, MOST_ROWS)

    def _seen(self, keys: Iterable[Key], look: Look) -> list[Seen]:
        """Return the rows that are up, those that are overdue last."""
        found = [row for row in look(self._some(keys)).values() if _key(row) in self.index.hosts]
        return sorted(found, key=lambda row: (row.peer.state != "up", row.peer.two_way is False))

    def _host(self, row: Seen) -> Labels:
        """Return the whole name of a peer that means it alone."""
        names = self.index.hosts[_key(row)]
        return (names.name if self._is_alone(row) else names.alias) + self.labels

    def _is_alone(self, row: Seen) -> bool:
        """Return whether no other peer has its name."""
        return len(self.index.names[folded(self.index.hosts[_key(row)].name)]) == 1

    def _for(self, *rows: Seen) -> int:
        """Return the seconds for which something of these rows may be kept."""
        return max(0, min(self._ttl, *(int(row.left) for row in rows)))

    def _start(self) -> ZoneRecord:
        """Return the SOA, by which a resolver keeps what is not there as long as what is there."""
        top = self._top
        server = SELF_LABEL + top.labels
        return ZoneRecord(top.labels, "SOA", self._ttl, (server, (b"nobody", *top.labels), top.index.version))


def _key(row: Seen) -> Key:
    return row.peer.id, row.peer.boot


def _foremost(rows: list[Seen]) -> list[Seen]:
    """Return those of the highest rank: a name of this node, or of a peer that seals, is not for others to take."""
    best = max((row.rank for row in rows), default=0)
    return [row for row in rows if row.rank == best]
