"""The record: the description of a node by itself. It travels as JSON of at most 700 ASCII bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from discoveryd.errors import ConfigError, RecordTooLong, WireError
from discoveryd.frozen import frozen
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.bounded import MAX_REUSED, MAX_REUSED_TAGS, reuse

MAX_RECORD = 700
"""Bytes of an encoded record: with the longest head the full HELLO stays below 1024."""
MAX_NAME = 64
MAX_VALUE = 255
"""Characters of a name or tag key, and of a tag value."""
DEFAULT_PROTO = "tcp"
"""The transport of a service that names none."""
_OPTIONAL: Final[dict[str, Any]] = {"proto": DEFAULT_PROTO, "tags": {}}
"""What a service has that does not name it: it is not sent."""


@lru_cache(MAX_REUSED_TAGS)
def tags_of(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Return tags that nobody can change, the same object for all peers that have these."""
    return MappingProxyType({reuse(key): reuse(value) for key, value in items})


@frozen
class Service:
    """A service that a node offers.

    Attributes:
        name: what it is, such as ``http``.
        port: 1 to 65535, or 0 where a port means nothing.
        proto: the transport, ``tcp`` by default.
        tags: more about it, text to text.
    """

    name: str
    port: int
    proto: str = DEFAULT_PROTO
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"services.{_named(self.name)}"
        problems = _text_problems("services: name", self.name, MAX_NAME)
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            problems.append(f"{where}.port: must be 0 to 65535, not {self.port!r:.40}")
        problems += _text_problems(f"{where}.proto", self.proto, 16) + _tag_problems(f"{where}.tags", self.tags)
        if problems:
            raise ConfigError(*problems)
        object.__setattr__(self, "tags", tags_of(tuple(self.tags.items())))

    def to_json(self) -> dict[str, Any]:
        """Return the service as it stands in every JSON of this project."""
        return {"name": self.name, "port": self.port, "proto": self.proto, "tags": dict(self.tags)}


@frozen
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
        problems = _text_problems("name", self.name, MAX_NAME) + _tag_problems("tags", self.tags)
        if problems:
            raise ConfigError(*problems)
        object.__setattr__(self, "tags", tags_of(tuple(self.tags.items())))
        object.__setattr__(self, "services", tuple(self.services))
        # as short as can be: what `decode_record` would assume is left out; so no record that fits into 700 bytes takes
        # more when it is encoded again
        services = [_shortest(service) for service in self.services]
        body = {"name": self.name, "tags": dict(self.tags), "services": services}
        encoded = _json({key: value for key, value in body.items() if value})
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
    """Return the digest of an encoded record: 16 hexadecimal digits that tell versions apart (not a seal)."""
    return blake2b(encoded, digest_size=8).hexdigest()


def service_length(service: Service) -> int:
    """Return the bytes that one more service adds to a record."""
    return len(_json(_shortest(service))) + len(",")


def decode_record(encoded: bytes) -> Record:
    """Read a record off the wire. Any bytes give a `Record` or a `WireError`, in linear time.

    The digest of the result is that of the bytes received, also where a later version of the protocol put more into
    them than this one knows.

    Raises:
        WireError: ``malformed`` or ``too-long``.
    """
    if len(encoded) > MAX_RECORD:
        raise WireError("too-long", f"record of {len(encoded)} bytes")
    try:
        # RecursionError: brackets nested as deep as a datagram allows
        found = json.loads(encoded.decode("ascii"), parse_constant=_refuse)
        services = tuple([_service(service) for service in found.get("services", [])])
        record = Record(name=found["name"], tags=found.get("tags", {}), services=services)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise WireError("malformed", f"record: {error!r}") from None
    object.__setattr__(record, "encoded", encoded)
    object.__setattr__(record, "digest", digest_of(encoded))
    return record


def _service(found: Mapping[str, Any]) -> Service:
    named = {key: found[key] for key in ("name", "port", "proto", "tags") if key in found}
    return Service(**named) if "tags" in named else service_without_tags(**named)


@lru_cache(MAX_REUSED, typed=True)  # True is no port, though it equals 1
def service_without_tags(name: str, port: int, proto: str = DEFAULT_PROTO) -> Service:
    """Return a service, the same object for all peers that offer it."""
    return Service(name=name, port=port, proto=proto)


def decode_again(encoded: bytes | None, digest: str, held: Record | None) -> Record | None:
    """Read the record of a HELLO, if it has one, unless it equals the one we hold.

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
    object.__setattr__(record, "digest", digest)  # the row has that text already
    return record


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON


def _shortest(service: Service) -> dict[str, Any]:
    return {key: value for key, value in service.to_json().items() if value != _OPTIONAL.get(key)}


def _json(body: dict[str, Any]) -> bytes:
    # a bar separates the fields of a HELLO
    return json.dumps(body, separators=(",", ":")).replace("|", "\\u007c").encode("ascii")


def _text_problems(what: str, text: Any, longest: int) -> list[str]:
    # isprintable also refuses control characters, escapes and bidirectional marks: the text ends on a terminal
    if not isinstance(text, str) or not 0 < len(text) <= longest or not text.isprintable():
        return [f"{what}: must be 1 to {longest} printable characters, not {text!r:.80}"]
    return []


def _named(text: Any) -> str:
    """Return a name that may itself be faulty, fit for a message: that ends on a terminal too."""
    named = f"{text!s:.40}"
    return named if named.isprintable() else ascii(named)[1:-1]


def _tag_problems(where: str, tags: Any) -> list[str]:
    if not isinstance(tags, Mapping):
        return [f"{where}: must be a mapping of text to text, not {tags!r:.80}"]
    found = []
    for key, value in tags.items():
        found += _text_problems(f"{where}: key", key, MAX_NAME)
        if value != "":
            found += _text_problems(f"{where}.{_named(key)}", value, MAX_VALUE)
    return found
