"""A peer of another site: the text in which it travels and is kept, and its JSON.

The text is a JSON array: name, addresses, tags, services, id of the key, whether it is a clone. What is empty at the
end is left out, so that a row takes few bytes where tens of thousands are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import WireError
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.wire.record import DEFAULT_PROTO, Service
from discoveryd.query.json_text import dumps, loads

MAX_ROW = 2048
"""Characters of the text of a peer: a record of 700 bytes, and 16 addresses."""
MAX_KEY = 128
MAX_TEXT, MAX_PORT = 255, 65_535
_NO_TAGS: Mapping[str, str] = {}


def key_of(id: str, boot: str) -> str:
    """Return the key of a peer: id and boot; the boot of a bare peer is empty."""
    return f"{id} {boot}"


def encode_row(
    name: str | None, addresses: Iterable[str], tags: Mapping[str, str], services: Iterable[Service], key: str,
    *, clone: bool,
) -> str:  # fmt: skip
    """Return the text of a peer."""
    fields: list[Any] = [name, list(addresses), dict(tags), [_service(one) for one in services], key, clone]
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    return dumps(fields)


def mark(key: str, text: str) -> int:
    """Return the part of a row in the digest of its set: the digest is the sum, whatever the order."""
    return int.from_bytes(blake2b(f"{key} {text}".encode("ascii"), digest_size=8).digest(), "big")


def open_row(text: str) -> list[Any]:
    """Return name, addresses, tags, services, id of the key, and whether it is a clone, of a text that was checked."""
    fields: list[Any] = loads(text.encode("ascii"))
    return [*fields, *_EMPTY[len(fields) :]]


def read_row(key: str, text: str) -> dict[str, Any]:
    """Return what a text that was checked says of a peer, under the names that a `Peer` has."""
    id, _, boot = key.partition(" ")
    name, addresses, tags, services, sealed, clone = open_row(text)
    return {
        "id": id, "name": name, "kind": "node" if boot else "bare", "address": addresses[0] if addresses else "",
        "addresses": addresses, "boot": boot, "services": [read_service(*one) for one in services], "tags": tags,
        "clone": clone, "key": sealed or None,
    }  # fmt: skip


def read_service(
    name: str, port: int, proto: str = DEFAULT_PROTO, tags: Mapping[str, str] = _NO_TAGS
) -> dict[str, Any]:
    """Return a service as JSON, of its fields in the text of a peer."""
    return {"name": name, "port": port, "proto": proto, "tags": dict(tags)}


def check_row(key: str, text: str) -> None:
    """Check what a gateway says of a peer, once, before it is kept.

    Raises:
        WireError: ``malformed``: it is not what `encode_row` returns.
    """
    try:
        name, addresses, tags, services, sealed, clone = open_row(text)
        id, _, boot = key.partition(" ")
        texts = [id, *([boot] if boot else ()), *(() if name is None else [name]), *([sealed] if sealed else ())]
        _check(type(clone) is bool, type(addresses) is list, type(services) is list, text.startswith("["))
        for service in services:
            found = read_service(*service)
            _check(type(found["port"]) is int and 0 <= found["port"] <= MAX_PORT)
            texts += [found["name"], found["proto"]]
            _check_tags(found["tags"])
        _check_tags(tags)
        for one in (*texts, *addresses):
            _check(0 < len(one) <= MAX_TEXT and one.isprintable())
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise WireError("malformed", f"row {key:.40}") from None


def _check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        _check(0 < len(key) <= MAX_TEXT and key.isprintable(), len(value) <= MAX_TEXT and value.isprintable())


def _check(*claims: bool) -> None:
    # isprintable also refuses escapes: the text ends on a terminal
    if not all(claims):
        raise ValueError


_EMPTY: list[Any] = [None, [], {}, [], "", False]


def _service(service: Service) -> list[Any]:
    fields: list[Any] = [service.name, service.port, service.proto, dict(service.tags)]
    if not fields[3]:
        fields.pop()
        if fields[2] == DEFAULT_PROTO:
            fields.pop()
    return fields
