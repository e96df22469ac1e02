"""The fields of the message kinds: each is read strictly, whatever its bytes."""

import re
from collections.abc import Callable
from typing import Any, Final

from discoveryd.errors import WireError
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM
from discoveryd.protocol.wire.meet import MAX_NAMED
from discoveryd.protocol.wire.talk import MAX_FILTER, MAX_NAME, MAX_PARTS, from_base64, read_bitmap
from discoveryd.protocol.wire.why import MAX_ABOUT, MAX_ADDRESS, MAX_DROPS, MAX_RELEASE, MOST_SENT

MOST = 9_999_999
"""Milliseconds since a HELLO, and microseconds that a PING lay, that an answer can tell: more counts as this."""


def _text(what: str, pattern: bytes) -> Callable[[bytes], str]:
    is_right = re.compile(pattern).fullmatch

    def read(field: bytes) -> str:
        if not is_right(field):
            raise WireError("malformed", f"{what} {field[:40]!r}")
        return field.decode("ascii")

    return read


def _number(what: str, least: int, most: int) -> Callable[[bytes], int]:
    def read(field: bytes) -> int:
        number = int(field) if field.isdigit() and len(field) <= 10 else -1
        if least <= number <= most:
            return number
        raise WireError("malformed", f"{what} {field[:40]!r}")

    return read


_WORD, _HEX = rb"[A-Za-z0-9._-]{1,%d}", rb"[0-9a-f]{16}"
_heard = _number("heard", 0, MOST)
_bits = _text("bitmap", rb"[0-9a-f]{0,%d}" % (MAX_PARTS // 4))

FIELDS: Final[dict[str, Callable[[bytes], Any]]] = {
    "realm": _text("realm", _WORD % MAX_REALM),
    "id": _text("id", _WORD % MAX_ID),
    "boot": _text("boot", _HEX),
    "interval_ms": _number("interval", 1, 600_000),
    "ttl_ms": _number("ttl", 1, 3_600_000),
    "lasting": _text("flags", rb"[A-Za-z]{0,16}"),
    "digest": _text("digest", _HEX),
    "seq": _number("seq", 0, 0xFFFFFFFF),
    "nonce": _text("nonce", _HEX),
    "to": _text("to", _HEX),
    "heard_ms": lambda field: None if field == b"-" else _heard(field),
    "held_us": _number("held", 0, MOST),
    "number": _number("number", 1, 0xFFFFFFFF),
    "part": _number("part", 0, MAX_PARTS - 1),
    "parts": _number("parts", 0, MAX_PARTS),
    "flags": _text("flags", rb"[A-Za-z]{0,16}"),
    "have": lambda field: read_bitmap(_bits(field)),
    "name": _text("name", rb"[a-z0-9-]{0,%d}" % MAX_NAME),
    "filter": _text("filter", rb"[A-Za-z0-9_-]{0,%d}" % MAX_FILTER),
    "payload": from_base64,
    "status": _text("status", rb"[a-z]"),
    "bitmap": lambda field: read_bitmap(_bits(field)),
    "about": _text("about", rb"[A-Za-z0-9.:%%_-]{0,%d}" % MAX_ABOUT),
    "release": _text("release", rb"[A-Za-z0-9.+_-]{0,%d}" % MAX_RELEASE),
    "network": _text("network", rb"[0-9a-f.:/]{0,%d}" % MAX_ADDRESS),
    "broadcast": _text("broadcast", rb"[0-9a-f.:]{0,%d}" % MAX_ADDRESS),
    "sent": _number("sent", 0, MOST_SENT),
    "echoed": _number("echoed", 0, MOST_SENT),
    "drops": _text("drops", rb"[A-Za-z0-9:,_-]{0,%d}" % MAX_DROPS),
    "state": _text("state", rb"[a-z]{0,8}"),
    "address": _text("address", rb"[0-9a-f.:]{0,%d}" % MAX_ADDRESS),
    "after": _text("after", _HEX),
    "named": _text("named", rb"[A-Za-z0-9.:,;_-]{0,%d}" % MAX_NAMED),
    "last_ms": lambda field: None if field == b"-" else _heard(field),
}
"""Reads the field of that name, which ends in its unit where there is one; any bytes give a value or a `WireError`."""
