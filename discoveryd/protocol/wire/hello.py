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

VERSION = b"2"
MAX_LASTING = 16
"""Letters of lasting flags: as many as there may ever be."""
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
        lasting: letters of what holds for more than this HELLO, in the order of the sender; unknown ones too.
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
    lasting: str = ""
    solicit: bool = False
    goodbye: bool = False
    record: bytes | None = None

    def encode(self) -> bytes:
        """Write the datagram; only a steady one ends in a digit."""
        steady = (
            f"HELLO|2|{self.realm}|{self.id}|{self.boot}|{self.interval_ms}|{self.ttl_ms}"
            f"|{self.lasting}|{self.digest}|{self.seq}"
        ).encode("ascii")
        once = (b"s" if self.solicit else b"") + (b"g" if self.goodbye else b"")
        if self.record is not None:
            return b"%b|%b|%b|" % (steady, once, self.record)
        return b"%b|%b|" % (steady, once) if once else steady


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
    if len(fields) > 10 and (len(fields) == 11 or fields[-1]):  # a packet filter would take it for a steady one
        raise WireError("malformed", f"{len(fields)} fields that do not end in |")
    once = fields[10] if len(fields) > 10 else b""
    hello = Hello(
        realm=read_word(fields[2], MAX_REALM, "realm"),
        id=read_word(fields[3], MAX_ID, "id"),
        boot=read_hex(fields[4], "boot"),
        interval_ms=read_number(fields[5], 1, 600_000, "interval"),
        ttl_ms=read_number(fields[6], 1, 3_600_000, "ttl"),
        # letters we do not know are a later release's, and so are fields after the record
        lasting=read_letters(fields[7], "flags"),
        solicit=b"s" in once,
        goodbye=b"g" in once,
        digest=read_hex(fields[8], "digest"),
        seq=read_number(fields[9], 0, 0xFFFFFFFF, "seq"),
        record=fields[11] or None if len(fields) > 11 else None,
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


def read_letters(field: bytes, what: str) -> str:
    """Read flags, letters only."""
    if field and (len(field) > MAX_LASTING or not field.isalpha()):
        raise WireError("malformed", f"{what} {field[:40]!r}")
    return field.decode("ascii")


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
