"""The message kinds: one row each in `KINDS`, by which a message travels plain and sealed.

A kind is a class of values that write their own datagram, and a row: the word it begins with on the wire, the letter it
begins with inside an envelope, its fields in the order of the wire, and how long it is at least when it is sealed.
`decode` reads plain datagrams by these rows, and `discoveryd.protocol.sealed.envelope` packs and unpacks by them. So a
new kind is one row here and one handler in the engine. The layouts are specified in `discoveryd.protocol`,
those of messages in `discoveryd.protocol.messages`.

*Any bytes give a message or a* `WireError`, *nothing else, in linear time.*
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from discoveryd.errors import WireError
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.wire.fields import FIELDS, MOST
from discoveryd.protocol.wire.record import digest_of
from discoveryd.protocol.wire.talk import Ack, MessagePart, from_base64, to_base64

VERSION = b"2"
MAX_DATAGRAM = 1024
"""Bytes of any datagram: simple listeners use a buffer of this size."""
MAX_STEADY = 128
"""Bytes of a HELLO without its record."""
MAX_SEALED_PONG = 155
MAX_SEALED_PING = 158
"""Bytes: 39 around it, an id of 32, a counter of 16, and 68 for what is inside; then up to the next 4 of base 64."""
MAX_SEALED_ACK = 203
"""Bytes of an acknowledgement without an answer: 87 around it, and 86 inside, in base 64."""
MAX_SEALED_STEADY = 256
"""Bytes of a sealed HELLO without its record; 172 without lasting flags."""
SEALED = b"SEALED|"
"""The first bytes of an envelope, in which any kind but the bare HELLO may travel."""
QUIET = b"0"
"""The end of a HELLO with the record that says nothing new."""
WILL = b"WILL"
"""The word of a last will, which has a scope and a range of counters of its own when it is sealed."""
BARE = b"HELLO|"
"""All that the simplest sender has to say."""
DEAF, NO_ECHO = "d", "e"
"""Lasting flags: the sender hears nobody; its own broadcasts do not come back to it."""
ANYONE = "0" * 16
"""Stands for the node of a PING whose sender knows only the address."""

# --- the values -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """One HELLO. Its fields were checked when it was read.

    Attributes:
        realm: 1 to 16 of ``A-Z a-z 0-9 . _ -``.
        id: node id, 1 to 32 of the same.
        boot: 16 hexadecimal digits, random for each run.
        interval_ms: until the next HELLO, 1 to 600,000.
        ttl_ms: how long this one is valid, `interval_ms` to 3,600,000.
        digest: of the record, 16 hexadecimal digits.
        seq: 0 to 2^32-1, one more with each beat.
        lasting: letters of what holds for more than this HELLO, `DEAF` and `NO_ECHO`; unknown ones too.
        solicit: asks for a full HELLO by unicast.
        goodbye: the sender leaves.
        record: the encoded record, None in a steady HELLO.
        quiet: with the record, in its turn: as a steady one it need wake nobody.
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
    quiet: bool = False

    def encode(self) -> bytes:
        """Write the datagram; only a steady one, and a quiet one, end in a digit."""
        steady = (
            f"HELLO|2|{self.realm}|{self.id}|{self.boot}|{self.interval_ms}|{self.ttl_ms}"
            f"|{self.lasting}|{self.digest}|{self.seq}"
        ).encode("ascii")
        once = (b"s" if self.solicit else b"") + (b"g" if self.goodbye else b"")
        if self.record is not None:
            return b"%b|%b|%b|%b" % (steady, once, self.record, QUIET if self.quiet else b"")
        return b"%b|%b|" % (steady, once) if once else steady


@dataclass(frozen=True, slots=True)
class BareHello:
    """The HELLO of the simplest sender, which says nothing of itself."""

    def encode(self) -> bytes:
        """Write the datagram."""
        return BARE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """A last will: it is sent for a node whose process has died.

    Attributes:
        realm: of that node.
        id: its node id.
        boot: the run that is over.
    """

    realm: str
    id: str
    boot: str

    def encode(self) -> bytes:
        """Write the datagram."""
        return f"WILL|2|{self.realm}|{self.id}|{self.boot}|".encode("ascii")


Message = Hello | BareHello | Ping | Pong | MessagePart | Ack | Will


def mark(id: str, boot: str) -> str:
    """Return the name of one run of one node in a PING, 16 hexadecimal digits.

    A PONG has no room for an id, so only a question to both tells who answers: else anybody could say HELLO from the
    address and with the boot of another node, under an id that does not exist, and that node would answer for it.
    """
    return blake2b(f"{id}|{boot}".encode("ascii"), digest_size=8).hexdigest()


# --- the rows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One message kind: all fields are there each time, further ones are a later release's, and a bar ends it.

    Attributes:
        word: the first field on the wire.
        letter: the first field inside an envelope.
        message: makes the value from its fields.
        fields: attributes in the order of the wire, after the version; they begin with those of the sender.
        least: bytes of a sealed one at least, so that it is no shorter than the longest answer to it.
    """

    word: bytes
    letter: bytes
    message: Callable[..., Message]
    fields: tuple[str, ...]
    least: int

    def decode(self, fields: list[bytes]) -> Message:
        """Read a datagram that was split.

        Raises:
            WireError: ``malformed``.
        """
        if fields[-1]:
            raise WireError("malformed", "does not end in |")
        return self.message(**self._values(fields))

    def _values(self, fields: list[bytes]) -> dict[str, Any]:
        if len(fields) < len(self.fields) + 2:
            raise WireError("malformed", f"{len(fields)} fields, not {len(self.fields) + 2}")
        return {name: FIELDS[name](field) for name, field in zip(self.fields, fields[2:], strict=False)}

    def head(self, realm: bytes, id: bytes, boot: bytes) -> bytes:
        """Return the fields of a datagram that an envelope tells of its sender, and those before them."""
        if "id" in self.fields:
            return b"%b|2|%b|%b|%b|" % (self.word, realm, id, boot)
        return b"%b|2|%b|%b|" % (self.word, realm, boot)

    def shorten(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields after the head as they are sealed: without *to*, where the seal is bound to that node."""
        rest = rest.removesuffix(b"|")
        return rest.removesuffix(bound) if self.fields[-1] == "to" else rest

    def lengthen(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields that `shorten` was given."""
        return b"%b%b|" % (rest, bound if self.fields[-1] == "to" and rest.endswith(b"|") else b"")


class _HelloKind(Kind):
    """Ends in a digit where it is steady, else in the flags of this HELLO and the record, if it has one."""

    def decode(self, fields: list[bytes]) -> Hello:
        values = self._values(fields)
        if len(fields) > 10:
            once, record = fields[10], b"".join(fields[11:12])
            quiet = fields[-1] == QUIET and len(fields) > 12 and not once and bool(record)
            if len(fields) == 11 or (fields[-1] and not quiet):  # a packet filter would take it for one that may wait
                raise WireError("malformed", f"{len(fields)} fields that do not end in |")
            values |= {"solicit": b"s" in once, "goodbye": b"g" in once, "record": record or None, "quiet": quiet}
        hello = Hello(**values)
        if hello.ttl_ms < hello.interval_ms:
            raise WireError("malformed", f"ttl {hello.ttl_ms} shorter than interval {hello.interval_ms}")
        return hello

    def shorten(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields after the head as they are sealed: without the digest of a record that is there."""
        rest, quiet = _without_quiet(rest)
        rest = super().shorten(rest, bound)
        fields = rest.split(b"|", 6)
        if len(fields) == 7 and fields[3] == digest_of(fields[6]).encode("ascii"):
            fields[3] = b""
            rest = b"|".join(fields)
        return b"%b|%b" % (rest, quiet) if quiet else rest

    def lengthen(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields that `shorten` was given."""
        if rest.count(b"|") < 5:
            return rest
        rest, quiet = _without_quiet(rest)
        fields = rest.removesuffix(b"|").split(b"|", 6) if quiet else rest.split(b"|", 6)
        if len(fields) == 7 and not fields[3]:
            fields[3] = digest_of(fields[6]).encode("ascii")
        return super().lengthen(b"|".join(fields), bound) + quiet


def _without_quiet(rest: bytes) -> tuple[bytes, bytes]:
    """Return the fields after the head of a HELLO without the mark of a quiet one, and that mark."""
    is_quiet = rest.endswith(b"|" + QUIET) and rest.count(b"|") > 6
    return (rest[: -len(QUIET)], QUIET) if is_quiet else (rest, b"")


class _PayloadKind(Kind):
    """Ends in a payload, which is sealed as it is, and followed by a bar, as it may end in NULs."""

    def shorten(self, rest: bytes, bound: bytes) -> bytes:  # noqa: ARG002
        """Return the fields after the head as they are sealed, without what fills up a plain message."""
        *fields, payload = rest.split(b"|")[: self._inside]
        return b"|".join((*fields, from_base64(payload), b""))

    def lengthen(self, rest: bytes, bound: bytes) -> bytes:  # noqa: ARG002
        """Return the fields that `shorten` was given, but for what fills up a plain message."""
        *fields, payload = rest.split(b"|", self._inside - 1)
        return b"|".join((*fields, to_base64(payload.removesuffix(b"|")), b""))

    @property
    def _inside(self) -> int:
        return len(set(self.fields) - set(_SENDER))


class _SenderKind(Kind):
    """Says nothing but who sends it."""

    def lengthen(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields that `shorten` was given: those of a later release, or none."""
        return rest and super().lengthen(rest, bound)


_SENDER = ("realm", "id", "boot")
_ROWS = (
    _HelloKind(b"HELLO", b"H", Hello, (*_SENDER, "interval_ms", "ttl_ms", "lasting", "digest", "seq"), MAX_SEALED_PING),
    Kind(b"PING", b"P", Ping, (*_SENDER, "nonce", "to"), MAX_SEALED_PONG),
    Kind(b"PONG", b"A", Pong, ("realm", "boot", "nonce", "heard_ms", "held_us"), 0),
    _PayloadKind(
        b"MSG", b"M", MessagePart,
        (*_SENDER, "number", "part", "parts", "flags", "have", "name", "filter", "payload"), MAX_SEALED_ACK,
    ),
    _PayloadKind(
        b"ACK", b"K", Ack,
        ("realm", "boot", "to", "number", "status", "bitmap", "part", "parts", "payload"), 0,
    ),
    _SenderKind(WILL, b"W", Will, _SENDER, MAX_SEALED_PING),
)
KINDS: Final[dict[bytes, Kind]] = {kind.word: kind for kind in _ROWS}
"""All kinds but the bare HELLO, which has no fields and no seal."""
LETTERS: Final[dict[bytes, Kind]] = {kind.letter: kind for kind in _ROWS}


def decode(datagram: bytes) -> Message:
    """Read a plain datagram.

    Raises:
        WireError: ``malformed``, ``version`` or ``too-long``.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise WireError("too-long", f"{len(datagram)} bytes or more")
    fields = datagram.split(b"|")
    if len(fields) == 2 and is_bare(datagram):
        return BareHello()
    kind = KINDS.get(fields[0])
    if kind is None or len(fields) < 2:
        raise WireError("malformed", "does not begin with a known kind and |")
    if fields[1] != VERSION:
        raise WireError("version", f"{fields[1][:20]!r}")
    return kind.decode(fields)


def is_bare(datagram: bytes) -> bool:
    """Return whether a datagram is all that the simplest sender has to say."""
    return datagram.rstrip(b"\r\n\0") == BARE  # echo and C strings add these


def is_of_node(datagram: bytes) -> bool:
    """Return whether only a node says this: any kind, or an envelope, but not the bare HELLO."""
    word, bar, _ = datagram.partition(b"|")
    return bool(bar) and (word in KINDS or word + bar == SEALED) and not is_bare(datagram)
