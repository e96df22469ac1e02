"""The record: what a node says of itself. It travels as JSON of at most 700 ASCII bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from discoveryd.errors import ConfigError, RecordTooLong, WireError

MAX_RECORD = 700
"""Bytes of an encoded record: with the longest head the full HELLO stays below 1024."""
MAX_NAME = 64
MAX_VALUE = 255
"""Characters of a name or tag key, and of a tag value."""
DEFAULT_PROTO = "tcp"
"""The transport of a service that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something a node offers.

    Attributes:
        name: what it is, such as ``http``.
        port: 1 to 65535, or 0 where a port means nothing.
        proto: the transport, ``tcp`` unless said otherwise.
        tags: more about it, text to text.
    """

    name: str
    port: int
    proto: str = DEFAULT_PROTO
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        problems = list(_service_problems(self.name, self.port, self.proto, self.tags))
        if problems:
            raise ConfigError(*problems)
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))

    def to_json(self) -> dict[str, Any]:
        """Give the service as it stands in every JSON of this project."""
        return {"name": self.name, "port": self.port, "proto": self.proto, "tags": dict(self.tags)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Name, tags and services of a node, checked and encoded once.

    Raises:
        ConfigError: a value is not allowed.
        RecordTooLong: the whole is over 700 bytes (says by how much).
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    services: tuple[Service, ...] = ()
    encoded: bytes = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems = list(_text_problems("name", self.name, MAX_NAME)) + list(_tag_problems(self.tags))
        if problems:
            raise ConfigError(*problems)
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        object.__setattr__(self, "services", tuple(self.services))
        encoded = _encode(self)
        if len(encoded) > MAX_RECORD:
            excess = len(encoded) - MAX_RECORD
            raise RecordTooLong(
                f"name, tags and services take {len(encoded)} bytes, {excess} more than "
                f"the {MAX_RECORD} that fit into a HELLO: shorten or remove some",
                excess,
            )
        object.__setattr__(self, "encoded", encoded)
        object.__setattr__(self, "digest", digest_of(encoded))


def digest_of(encoded: bytes) -> str:
    """Digest an encoded record: 16 hexadecimal digits, to tell versions apart (not a seal)."""
    return blake2b(encoded, digest_size=8).hexdigest()


def service_length(service: Service) -> int:
    """Count the bytes that one more service adds to a record."""
    return len(_written(_short(service))) + len(",")


def decode_record(encoded: bytes) -> Record:
    """Read a record off the wire. Any bytes give a `Record` or a `WireError`, in linear time.

    The digest of the result is that of the bytes received, also where a later version of the
    protocol put more into them than we know.

    Raises:
        WireError: ``malformed`` or ``too-long``.
    """
    if len(encoded) > MAX_RECORD:
        raise WireError("too-long", f"record of {len(encoded)} bytes")
    try:
        # RecursionError: brackets nested as deep as a datagram allows
        found = json.loads(encoded.decode("ascii"), parse_constant=_refuse)
        services = tuple(
            Service(
                name=one["name"],
                port=one["port"],
                proto=one.get("proto", DEFAULT_PROTO),
                tags=one.get("tags", {}),
            )
            for one in found.get("services", [])
        )
        record = Record(name=found["name"], tags=found.get("tags", {}), services=services)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise WireError("malformed", f"record: {error!r}") from None
    object.__setattr__(record, "encoded", encoded)
    object.__setattr__(record, "digest", digest_of(encoded))
    return record


def decode_again(encoded: bytes | None, digest: str, held: Record | None) -> Record | None:
    """Read the record of a HELLO, if it has one, unless it is the one we hold.

    Raises:
        WireError: ``malformed`` (also where it is not the one that the digest announces) or ``too-long``.
    """
    if encoded is None:
        return None
    if held is not None and held.encoded == encoded:
        return held
    record = decode_record(encoded)
    if record.digest != digest:
        raise WireError("malformed", "digest is not that of the record")
    return record


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON


def _encode(record: Record) -> bytes:
    """Encode as short as can be: what `decode_record` would assume is left out.

    So no record that fits into 700 bytes takes more when it is encoded again. ``|`` separates
    fields of a HELLO and is escaped too.
    """
    body: dict[str, Any] = {"name": record.name}
    if record.tags:
        body["tags"] = dict(record.tags)
    if record.services:
        body["services"] = [_short(one) for one in record.services]
    return _written(body)


def _short(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "port": service.port,
        **({} if service.proto == DEFAULT_PROTO else {"proto": service.proto}),
        **({"tags": dict(service.tags)} if service.tags else {}),
    }


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).replace("|", "\\u007c").encode("ascii")


def _text_problems(what: str, text: Any, longest: int) -> list[str]:
    # isprintable also refuses control characters, escapes and bidirectional marks:
    # what a peer says of itself ends on somebody's terminal
    if not isinstance(text, str) or not 0 < len(text) <= longest or not text.isprintable():
        return [f"{what}: must be 1 to {longest} printable characters, not {text!r:.80}"]
    return []


def _named(text: Any) -> str:
    """Name something by what may be its fault: the message ends on a terminal too."""
    named = f"{text!s:.40}"
    return named if named.isprintable() else ascii(named)[1:-1]


def _tag_problems(tags: Any, where: str = "tags") -> list[str]:
    if not isinstance(tags, Mapping):
        return [f"{where}: must be a mapping of text to text, not {tags!r:.80}"]
    found = []
    for key, value in tags.items():
        found += _text_problems(f"{where}: key", key, MAX_NAME)
        if value != "":
            found += _text_problems(f"{where}.{_named(key)}", value, MAX_VALUE)
    return found


def _service_problems(name: Any, port: Any, proto: Any, tags: Any) -> list[str]:
    found = _text_problems("services: name", name, MAX_NAME)
    if type(port) is not int or not 0 <= port <= 65535:
        found.append(f"services.{_named(name)}.port: must be 0 to 65535, not {port!r:.40}")
    found += _text_problems(f"services.{_named(name)}.proto", proto, 16)
    return found + _tag_problems(tags, f"services.{_named(name)}.tags")
