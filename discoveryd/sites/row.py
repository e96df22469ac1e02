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
MAX_TEXT = 255


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


def read_row(key: str, text: str) -> dict[str, Any]:
    """Return what the text says of a peer, under the names that `discoveryd.protocol.table.peer.Peer` has.

    Raises:
        WireError: ``malformed``: the text is not one that `encode_row` returns.
    """
    id, _, boot = key.partition(" ")
    try:
        fields: list[Any] = loads(text.encode("ascii"))
        name, addresses, tags, services, sealed, clone = [*fields, *_EMPTY[len(fields) :]]
        _check_lists(fields, addresses, services)
        found = {
            "id": _text(id), "name": None if name is None else _text(name), "kind": "node" if boot else "bare",
            "address": addresses[0] if addresses else "", "addresses": [_text(one) for one in addresses], "boot": boot,
            "services": [_read_service(*one) for one in services], "tags": _tags(tags), "clone": clone is True,
            "key": _text(sealed) if sealed else None,
        }  # fmt: skip
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise WireError("malformed", f"row {key:.40}") from None
    return found


_EMPTY: list[Any] = [None, [], {}, [], "", False]


def _service(service: Service) -> list[Any]:
    fields: list[Any] = [service.name, service.port, service.proto, dict(service.tags)]
    if not fields[3]:
        fields.pop()
        if fields[2] == DEFAULT_PROTO:
            fields.pop()
    return fields


def _read_service(
    name: str, port: int, proto: str = DEFAULT_PROTO, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    if type(port) is not int:
        raise TypeError(port)
    return {"name": _text(name), "port": port, "proto": _text(proto), "tags": _tags(tags or {})}


def _check_lists(*fields: object) -> None:
    if any(type(one) is not list for one in fields):
        raise TypeError(fields)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {_text(key): _text(value) if value else "" for key, value in tags.items()}


def _text(text: str) -> str:
    # isprintable also refuses escapes: the text ends on a terminal
    if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
        raise ValueError(text)
    return text
