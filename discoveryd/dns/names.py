"""The names that a peer has in the zone; what can be no name there is left out, and counted."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from discoveryd.query.formats.names import candidates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discoveryd.protocol.table.peer import Peer
    from discoveryd.protocol.table.row import Key
    from discoveryd.protocol.wire.record import Service

Labels = tuple[bytes, ...]
"""A name, or the part of it before the zone, in labels."""

LONGEST = 253
"""Characters of a name with the dots between its labels (RFC 1035)."""
MAX_LABEL = 63
TEXT = 255
"""Bytes of a label, and of one text of a TXT record."""
SELF_LABEL: Labels = (b"discoveryd",)
"""The server itself, in NS and SOA; no peer can have that name (`discoveryd.query.formats.names`)."""
ENUMERATION: Labels = (b"_services", b"_dns-sd", b"_udp")
BETWEEN: frozenset[Labels] = frozenset((ENUMERATION[1:], ENUMERATION[2:]))
BROWSING: tuple[Labels, ...] = tuple((name, b"_dns-sd", b"_udp") for name in (b"b", b"db", b"lb"))
"""Names by which clients of DNS-SD find the types of services, and the domains to browse (RFC 6763, sections 9, 11),
and those with such names below them."""

_SERVICE = re.compile("_?[A-Za-z0-9](?:[A-Za-z0-9_-]{0,60}[A-Za-z0-9])?")
_OURS = b"_dns-sd"


class Instance(NamedTuple):
    """A service of a peer.

    Attributes:
        type: such as ``_http._tcp``, in small letters.
        label: of the instance before that; others may have the same.
        alias: that of this run of the peer alone.
        port: where it listens.
        txt: its tags.
    """

    type: Labels
    label: bytes
    alias: bytes
    port: int
    txt: tuple[bytes, ...]


class HostNames(NamedTuple):
    """The names of a peer in the zone.

    Attributes:
        key: of its row.
        name: as exports have it; others may have the same.
        alias: ``name-<boot4>``, which means this run of it alone; the name once more where there is no boot.
        txt: its tags.
        instances: its services.
        left_out: services and tags that cannot be told.
    """

    key: Key
    name: Labels
    alias: Labels
    txt: tuple[bytes, ...]
    instances: tuple[Instance, ...]
    left_out: int


def labels_of(text: str) -> Labels:
    """Return a name in labels, as it is written."""
    return tuple(text.encode("ascii").split(b"."))


def folded(labels: Labels) -> Labels:
    """Return labels in small letters, for comparison."""
    return tuple([label.lower() for label in labels])


def length(labels: Labels) -> int:
    """Return the characters of a name with its dots."""
    return sum(map(len, labels)) + max(len(labels) - 1, 0)


def names_of(peer: Peer, zone: Labels) -> HostNames:
    """Return the names of a peer, or of this node, in a zone."""
    wanted = {"kind": peer.kind, "address": peer.address, "name": peer.name, "id": peer.id, "boot": peer.boot}
    first, second = islice(candidates(wanted), 2)
    name, alias = labels_of(first), labels_of(second if peer.boot else first)
    txt, too_long = texts(peer.tags)
    found: dict[tuple[Labels, bytes], Instance] = {}
    for service in peer.services:
        instance = _instance(service, (first, second if peer.boot else first), found)
        if instance is not None and _fits(instance, zone):
            found[instance.type, instance.label] = instance
    left_out = too_long + len(peer.services) - len(found)
    left_out += sum(texts(service.tags)[1] for service in peer.services)
    return HostNames((peer.id, peer.boot), name, alias, txt, tuple(found.values()), left_out)


def _fits(instance: Instance, zone: Labels) -> bool:
    return length((max(instance.label, instance.alias, key=len), *instance.type, *zone)) <= LONGEST


def texts(tags: Mapping[str, str]) -> tuple[tuple[bytes, ...], int]:
    """Return tags as texts ``key=value``, and how many cannot be one: a cut value would be another one."""
    found = [f"{key}={value}".encode() for key, value in tags.items() if "=" not in key]
    fitting = tuple(text for text in found if len(text) <= TEXT)
    return fitting, len(tags) - len(fitting)


def _instance(
    service: Service, names: tuple[str, str], found: Mapping[tuple[Labels, bytes], Instance]
) -> Instance | None:
    """Return a service of a peer with a name and an alias as an instance, None where it can be none."""
    if not (service.port and _SERVICE.fullmatch(service.name) and _SERVICE.fullmatch(service.proto)):
        return None
    kind = tuple(f"_{text.removeprefix('_').lower()}".encode("ascii") for text in (service.name, service.proto))
    is_second = (kind, names[0].encode("ascii")) in found
    # a colon is in no name of a peer
    label, alias = (f"{name}:{service.port}".encode("ascii") if is_second else name.encode("ascii") for name in names)
    if kind[0] == _OURS or max(len(label), len(alias)) > MAX_LABEL or (kind, label) in found:
        return None
    return Instance(kind, label, alias, service.port, texts(service.tags)[0])
