"""PING and PONG: whether one peer is there, how far away, and whether it hears us."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from discoveryd.errors import WireError
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM
from discoveryd.protocol.wire.hello import MAX_DATAGRAM, VERSION, read_hex, read_number, read_word

ANYONE = "0" * 16
"""Stands for the node of a PING whose sender knows only the address."""
MOST = 9_999_999
"""Milliseconds since a HELLO, and microseconds that a PING lay, that a PONG can tell: longer counts as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A question to one node: are you there?

    Attributes:
        realm: of the sender.
        id: node id of the sender.
        boot: of the sender.
        nonce: 16 hexadecimal digits, which the answer repeats.
        to: the node that is meant: its `mark`, its boot where the PING is sealed for that, or `ANYONE`.
    """

    realm: str
    id: str
    boot: str
    nonce: str
    to: str = ANYONE

    def encode(self) -> bytes:
        """Write the datagram."""
        return f"PING|2|{self.realm}|{self.id}|{self.boot}|{self.nonce}|{self.to}|".encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer, always shorter than its PING.

    Attributes:
        realm: of the answering node.
        boot: of the answering node.
        nonce: that of the PING.
        heard_ms: how long ago it last heard a HELLO of the pinger, None for never.
        held_us: how long the PING lay with it before the answer was written.
    """

    realm: str
    boot: str
    nonce: str
    heard_ms: int | None
    held_us: int = 0

    def encode(self) -> bytes:
        """Write the datagram."""
        heard = "-" if self.heard_ms is None else min(self.heard_ms, MOST)
        held = min(max(self.held_us, 0), MOST)
        return f"PONG|2|{self.realm}|{self.boot}|{self.nonce}|{heard}|{held}|".encode("ascii")


def mark(id: str, boot: str) -> str:
    """Return what a PING names one run of one node by, 16 hexadecimal digits.

    A PONG has no room for an id, so only a question to both tells who answers: else anybody could say HELLO from the
    address and with the boot of another node, under an id that does not exist, and that node would answer for it.
    """
    return blake2b(f"{id}|{boot}".encode("ascii"), digest_size=8).hexdigest()


def decode_probe(datagram: bytes) -> Ping | Pong:
    """Read a PING or a PONG. Any bytes give one of them or a `WireError`, in linear time.

    Raises:
        WireError: ``malformed``, ``version`` or ``too-long``.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise WireError("too-long", f"{len(datagram)} bytes or more")
    fields = datagram.split(b"|")
    kind = fields[0]
    if kind not in (b"PING", b"PONG") or len(fields) < 2:
        raise WireError("malformed", "neither HELLO| nor PING| nor PONG|")
    if fields[1] != VERSION:
        raise WireError("version", f"{fields[1][:20]!r}")
    if fields[-1]:
        raise WireError("malformed", "does not end in |")
    if kind == b"PING" and len(fields) >= 8:
        return Ping(
            realm=read_word(fields[2], MAX_REALM, "realm"),
            id=read_word(fields[3], MAX_ID, "id"),
            boot=read_hex(fields[4], "boot"),
            nonce=read_hex(fields[5], "nonce"),
            to=read_hex(fields[6], "to"),
        )
    if kind == b"PONG" and len(fields) >= 8:
        return Pong(
            realm=read_word(fields[2], MAX_REALM, "realm"),
            boot=read_hex(fields[3], "boot"),
            nonce=read_hex(fields[4], "nonce"),
            heard_ms=None if fields[5] == b"-" else read_number(fields[5], 0, MOST, "heard"),
            held_us=read_number(fields[6], 0, MOST, "held"),
        )
    raise WireError("malformed", f"{len(fields)} fields")
