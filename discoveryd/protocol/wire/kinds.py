"""The message kinds: one row each in `KINDS`, by which a message travels plain and sealed.

A kind is a class of values that write their own datagram (`wire.messages`, `.talk`, `.why`, `.meet`), and a row: the
word it begins with on the wire, the letter it begins with inside an envelope, its fields in the order of the wire, and
how long it is at least when it is sealed. `decode` reads plain datagrams by these rows, and
`discoveryd.protocol.sealed.envelope` packs and unpacks by them. So a new kind is one row here and one handler in the
engine. The layouts are specified in `discoveryd.protocol`, those of messages in `discoveryd.protocol.messages`.

*Any bytes give a message or a* `WireError`, *nothing else, in linear time.*
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from discoveryd.errors import WireError
from discoveryd.protocol.wire.fields import FIELDS
from discoveryd.protocol.wire.meet import MAX_SEALED_INTRO, Intro, Meet
from discoveryd.protocol.wire.messages import (
    BARE,
    MAX_DATAGRAM,
    MAX_SEALED_ACK,
    MAX_SEALED_PING,
    MAX_SEALED_PONG,
    QUIET,
    REASON_LETTERS,
    SEALED,
    VERSION,
    WILL,
    BareHello,
    GoodbyeReason,
    Hello,
    Message,
    Ping,
    Pong,
    Will,
)
from discoveryd.protocol.wire.record import digest_of
from discoveryd.protocol.wire.talk import Ack, MessagePart, from_base64, to_base64
from discoveryd.protocol.wire.why import MAX_SEALED_SAY, Say, Why


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
            values |= {"solicit": b"s" in once, "record": record or None, "quiet": quiet}
            if b"g" in once:
                values |= {"goodbye": True, "goodbye_reason": _reason(once)}
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


def _reason(once: bytes) -> GoodbyeReason:
    """Return why a node leaves: ``stop`` where it does not say, or in a letter of a later release."""
    return next((reason for letter, reason in _REASONS if letter in once), "stop")


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


class _PaddedKind(Kind):
    """Is filled up to the length of its answer, plain by a field of zeros, sealed by what a seal is filled up with."""

    def shorten(self, rest: bytes, bound: bytes) -> bytes:  # noqa: ARG002
        """Return the fields after the head as they are sealed, without what fills up a plain message."""
        return b"|".join(rest.split(b"|")[: len(set(self.fields) - set(_SENDER))])


class _SenderKind(Kind):
    """Names its sender, and nothing else."""

    def lengthen(self, rest: bytes, bound: bytes) -> bytes:
        """Return the fields that `shorten` was given: those of a later release, or none."""
        return rest and super().lengthen(rest, bound)


_REASONS: Final = [(letter.encode("ascii"), reason) for reason, letter in REASON_LETTERS.items() if letter]
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
    _PaddedKind(b"WHY", b"Q", Why, (*_SENDER, "nonce", "about"), MAX_SEALED_SAY),
    Kind(
        b"SAY", b"S", Say,
        (
            "realm", "boot", "nonce", "heard_ms", "release", "network", "broadcast", "sent", "echoed", "drops", "state",
            "address", "last_ms",
        ), 0,
    ),
    _PaddedKind(b"MEET", b"E", Meet, (*_SENDER, "nonce", "after"), MAX_SEALED_INTRO),
    Kind(b"INTRO", b"I", Intro, ("realm", "boot", "nonce", "named"), 0),
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
