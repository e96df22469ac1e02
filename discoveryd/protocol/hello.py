"""HELLO: what every node says, again and again. The layout is specified in `discoveryd.protocol`."""

from __future__ import annotations

from dataclasses import dataclass

from discoveryd.errors import WireError
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM, is_word

MAX_DATAGRAM = 1024
"""Bytes of any datagram: simple listeners use a buffer of this size."""
MAX_STEADY = 128
"""Bytes of a HELLO without its record."""
BARE = b"HELLO|"
"""All that the simplest sender has to say."""

VERSION = b"1"
_HEX = frozenset(b"0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """One HELLO. Whoever holds one need not check it again.

    Attributes:
        realm: 1 to 16 of ``A-Z a-z 0-9 . _ -``.
        id: node id, 1 to 32 of the same.
        boot: 16 hexadecimal digits, random for each run.
        interval_ms: until the next HELLO, 1 to 600,000.
        ttl_ms: how long this one is valid, `interval_ms` to 3,600,000.
        digest: of the record, 16 hexadecimal digits.
        seq: 0 to 2^32-1, one more with each beat.
        solicit: asks for a full HELLO by unicast.
        goodbye: the sender leaves.
        record: the encoded record, None in a steady HELLO.
    """

    realm: str
    id: str
    boot: str
    interval_ms: int
    ttl_ms: int
    digest: str
    seq: int
    solicit: bool = False
    goodbye: bool = False
    record: bytes | None = None

    def encode(self) -> bytes:
        """Write the datagram."""
        flags = ("s" if self.solicit else "") + ("g" if self.goodbye else "")
        head = (
            f"HELLO|1|{self.realm}|{self.id}|{self.boot}|{self.interval_ms}|{self.ttl_ms}"
            f"|{flags}|{self.digest}|{self.seq}"
        ).encode("ascii")
        return head if self.record is None else b"%b|%b" % (head, self.record)


def decode_hello(datagram: bytes) -> Hello | None:
    """Read a HELLO. Any bytes give a `Hello`, None (a bare one) or a `WireError`, in linear time.

    Raises:
        WireError: ``malformed``, ``version`` or ``too-long``.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise WireError("too-long", f"{len(datagram)} bytes or more")
    if is_bare(datagram):
        return None
    fields = datagram.split(b"|")
    if fields[0] != b"HELLO" or len(fields) < 2:
        raise WireError("malformed", "does not begin with HELLO|")
    if fields[1] != VERSION:
        raise WireError("version", f"{fields[1][:20]!r}")
    if len(fields) < 10:
        raise WireError("malformed", f"{len(fields)} fields, not 10")
    flags = fields[7]
    hello = Hello(
        realm=read_word(fields[2], MAX_REALM, "realm"),
        id=read_word(fields[3], MAX_ID, "id"),
        boot=read_hex(fields[4], "boot"),
        interval_ms=read_number(fields[5], 1, 600_000, "interval"),
        ttl_ms=read_number(fields[6], 1, 3_600_000, "ttl"),
        # letters we do not know are a later version's
        solicit=b"s" in flags,
        goodbye=b"g" in flags,
        digest=read_hex(fields[8], "digest"),
        seq=read_number(fields[9], 0, 0xFFFFFFFF, "seq"),
        # and so are fields after the record
        record=fields[10] if len(fields) > 10 and fields[10] else None,
    )
    if hello.ttl_ms < hello.interval_ms:
        raise WireError("malformed", f"ttl {hello.ttl_ms} shorter than interval {hello.interval_ms}")
    return hello


def is_bare(datagram: bytes) -> bool:
    """Return whether a datagram is all that the simplest sender has to say."""
    return datagram.rstrip(b"\r\n\0") == BARE  # echo and C strings add these


def read_word(field: bytes, longest: int, what: str) -> str:
    """Read a field of letters, digits and ``. _ -``."""
    text = field.decode("ascii", "replace")
    if not is_word(text, longest):
        raise WireError("malformed", f"{what} {text[:40]!r}")
    return text


def read_hex(field: bytes, what: str) -> str:
    """Read 64 bits as 16 lower-case hexadecimal digits."""
    if len(field) != 16 or not _HEX.issuperset(field):
        raise WireError("malformed", f"{what} {field[:40]!r}")
    return field.decode("ascii")


def read_number(field: bytes, least: int, most: int, what: str) -> int:
    """Read a decimal number within its range, digits only."""
    if 0 < len(field) <= 10 and field.isdigit():
        number = int(field)
        if least <= number <= most:
            return number
    raise WireError("malformed", f"{what} {field[:40]!r}")
