"""What the messages between sites say, and their bytes.

A body is a JSON object on one line, and after it what belongs to it: rows, a question, an answer. Rows are lines of a
key, a tab, and the text of the peer (`discoveryd.sites.row`), or the letter of an end:

- ``d``: the peer is down, for it is silent; ``x``: it is down, for its process died;
- ``l``: it left, or ``l:r``: with the letter of the reason in its goodbye (`REASON_LETTERS`), an unknown one for none;
- ``r``: a new boot, which is told too, replaced it;
- ``o``: omitted, because the gateway no longer lists it, for whatever reason.

Where they are many they are compressed (zlib). A reader stops at `MAX_TEXT` bytes, whatever they would unpack to.

*Any bytes give a message or a* `WireError`, *nothing else, in linear time.*
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any, Literal, NamedTuple

from discoveryd.errors import WireError
from discoveryd.frozen import frozen
from discoveryd.protocol.wire.messages import REASON_LETTERS, GoodbyeReason
from discoveryd.query.json_text import dumps, loads
from discoveryd.sites.row import MAX_KEY, MAX_ROW, check_row
from discoveryd.sites.settings import is_site

Change = tuple[str, str]
"""Key of a peer, and its text or the letter of its end."""

EndState = Literal["down", "died", "left", "replaced", "unknown"]
_LETTERS: Mapping[EndState, str] = {"down": "d", "died": "x", "left": "l", "replaced": "r", "unknown": "o"}
_REASONS: Mapping[str, GoodbyeReason] = {letter: reason for reason, letter in REASON_LETTERS.items()}


class End(NamedTuple):
    """The end of a peer; the reason is that of its goodbye, where it left."""

    state: EndState
    reason: GoodbyeReason = "stop"


ENDS: Mapping[str, End] = {letter: End(state) for state, letter in _LETTERS.items()} | {
    f"l:{letter}": End("left", _REASONS.get(letter, "stop")) for letter in "abcdefghijklmnopqrstuvwxyz"
}
"""What stands for an end in place of the text of a peer."""
MAX_BODY = 65_536
"""Bytes of a question or an answer."""
MAX_LINES = 98_304
"""Bytes of the rows of one message, before they are compressed."""
MAX_TEXT = 2 * MAX_LINES
MAX_PARTS = 1024
MAX_SET = 100_000
"""Peers of one site: in `MAX_PARTS` parts there is room for so many with the longest records."""
MAX_ENDS = 256
"""Peers that are gone of which a snapshot tells."""
MAX_ECHOES = 64
"""Sites whose nonces one beat echoes; with more sites they take turns."""
COMPRESS = 512
"""Bytes from which on rows are compressed."""

_is_nonce = re.compile("[A-Za-z0-9_-]{8}").fullmatch
_is_hex = re.compile("[0-9a-f]{16}").fullmatch

Echo = Mapping[str, tuple[str, ...]]
"""Site -> the last nonces that were heard from it."""


@frozen
class Beat:
    """A gateway says that it lives, and what its set is.

    Attributes:
        name: of the node.
        boot: of the node.
        hello: seq of its last HELLO.
        set: number of the last change of its set.
        count: peers in the set.
        digest: of the set.
        nonce: fresh; to be echoed.
        interval: seconds to its next beat.
        asks: whether it wants answers at once, because it lacks an echo of its own nonces.
        echo: the nonces it heard.
    """

    name: str
    boot: str
    hello: int
    set: int
    count: int
    digest: int
    nonce: str
    interval: float
    asks: bool = False
    echo: Echo = field(default_factory=dict)


@frozen
class Delta:
    """Changes of a set, which lead from the number before to this one."""

    set: int
    changes: tuple[Change, ...]


@frozen
class SetPart:
    """A part of a snapshot of a set.

    Attributes:
        set: number of the last change that it includes.
        part: from 0.
        of: how many parts there are.
        count: peers in the whole set.
        digest: of the whole set.
        changes: peers, and ends of peers that are gone.
        echo: the nonces of those that asked.
    """

    set: int
    part: int
    of: int
    count: int
    digest: int
    changes: tuple[Change, ...]
    echo: Echo = field(default_factory=dict)


@frozen
class Want:
    """A node asks a gateway for its whole set.

    Attributes:
        run: of the gateway.
        nonce: fresh; the snapshot echoes it.
        echo: the last nonces of the site that is asked.
    """

    run: str
    nonce: str
    echo: Echo = field(default_factory=dict)


@frozen
class Talk:
    """A question to a gateway, or its answer.

    Attributes:
        run: of the receiver.
        number: of the question.
        body: opaque.
        echo: the last nonces of the site that is asked; an answer needs none, the number is its proof.
    """

    run: str
    number: str
    body: bytes
    echo: Echo = field(default_factory=dict)


SiteMessage = Beat | Delta | SetPart | Want | Talk


def encode_end(state: EndState, reason: GoodbyeReason = "stop") -> str:
    """Return the letter of an end, of a goodbye with that of its reason."""
    why = REASON_LETTERS[reason] if state == "left" else ""
    return f"{_LETTERS[state]}:{why}" if why else _LETTERS[state]


def encode_message(message: SiteMessage) -> bytes:
    """Return the body of a message."""
    match message:
        case Beat():
            head = {
                "name": message.name, "boot": message.boot, "hello": message.hello, "set": message.set,
                "count": message.count, "digest": f"{message.digest:016x}", "nonce": message.nonce,
                "ms": round(message.interval * 1000), **({"asks": 1} if message.asks else {}),
            }  # fmt: skip
            return _pack(head, message.echo)
        case Delta():
            return _pack_lines({"set": message.set}, message.changes, {})
        case SetPart():
            head = {"set": message.set, "part": message.part, "of": message.of, "count": message.count}
            return _pack_lines({**head, "digest": f"{message.digest:016x}"}, message.changes, message.echo)
        case Want():
            return _pack({"run": message.run, "nonce": message.nonce}, message.echo)
        case Talk():
            return _pack({"run": message.run, "number": message.number}, message.echo, message.body)


def decode_message(kind: str, body: bytes, site: str = "") -> SiteMessage:
    """Read the body of a message of a kind (`discoveryd.sites.subjects`).

    Args:
        kind: of the message.
        body: of the message.
        site: the only one whose echo is read; empty for all.

    Raises:
        WireError: ``malformed``, ``too-long``.
    """
    first, _, rest = body.partition(b"\n")
    if len(first) > MAX_BODY or len(rest) > MAX_TEXT:
        raise WireError("too-long", f"{len(body)} bytes")
    try:
        head = loads(first)
        if site and "echo" in head:
            head["echo"] = {site: head["echo"][site]} if site in head["echo"] else {}
        return _READERS[kind](head, rest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise WireError("malformed", f"{kind}: {error!r:.60}") from None


def split_lines(changes: Iterable[Change]) -> list[tuple[Change, ...]]:
    """Return changes in portions of at most `MAX_LINES` bytes, at least one."""
    portions: list[list[Change]] = [[]]
    size = 0
    for change in changes:
        size += len(change[0]) + len(change[1]) + 2
        if size > MAX_LINES and portions[-1]:
            portions.append([])
            size = len(change[0]) + len(change[1]) + 2
        portions[-1].append(change)
    return [tuple(portion) for portion in portions]


def _pack(head: Mapping[str, Any], echo: Echo, rest: bytes = b"") -> bytes:
    echoed = {"echo": {site: list(nonces) for site, nonces in echo.items()}} if echo else {}
    return dumps({**head, **echoed}).encode("ascii") + (b"\n" + rest if rest else b"")


def _pack_lines(head: Mapping[str, Any], changes: Iterable[Change], echo: Echo) -> bytes:
    lines = "\n".join([f"{key}\t{text}" for key, text in changes]).encode("ascii")
    if len(lines) < COMPRESS:
        return _pack(head, echo, lines)
    return _pack({**head, "zlib": 1}, echo, zlib.compress(lines, 1))


def _lines(head: Mapping[str, Any], rest: bytes) -> tuple[Change, ...]:
    if head.get("zlib"):
        unpacker = zlib.decompressobj()
        rest = unpacker.decompress(rest, MAX_TEXT)
        if not unpacker.eof:
            raise WireError("too-long", f"rows of more than {MAX_TEXT} bytes, or cut off")
    if not rest:
        return ()
    found = []
    for line in rest.decode("ascii").split("\n"):
        key, _, text = line.partition("\t")
        if not 0 < len(key) <= MAX_KEY or len(text) > MAX_ROW or key.count(" ") != 1:
            raise WireError("malformed", f"row {line:.40}")
        if text not in ENDS:
            check_row(key, text)
        found.append((key, text))
    return tuple(found)


def _echo(head: Mapping[str, Any]) -> Echo:
    echo = head.get("echo", {})
    if len(echo) > MAX_ECHOES:
        raise ValueError("echo")
    return {site: tuple([_nonce(one) for one in nonces[:8]]) for site, nonces in echo.items() if is_site(site)}


def _nonce(text: str) -> str:
    if not _is_nonce(text):
        raise ValueError("nonce")
    return text


def _hex(text: str) -> str:
    if not _is_hex(text):
        raise ValueError("hex")
    return text


def _number(number: int, most: int = 2**53) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError("number")
    return number


def _printable(text: str) -> str:
    if not 0 < len(text) <= MAX_KEY or not text.isprintable():
        raise ValueError("name")
    return text


def _read_beat(head: Mapping[str, Any], _: bytes) -> Beat:
    return Beat(
        name=_printable(head["name"]), boot=_hex(head["boot"]), hello=_number(head["hello"]), set=_number(head["set"]),
        count=_number(head["count"], MAX_SET), digest=int(_hex(head["digest"]), 16), nonce=_nonce(head["nonce"]),
        interval=max(1, _number(head["ms"], 600_000)) / 1000, asks=bool(head.get("asks")), echo=_echo(head),
    )  # fmt: skip


def _read_delta(head: Mapping[str, Any], rest: bytes) -> Delta:
    return Delta(set=_number(head["set"]), changes=_lines(head, rest))


def _read_part(head: Mapping[str, Any], rest: bytes) -> SetPart:
    of = _number(head["of"], MAX_PARTS)
    return SetPart(
        set=_number(head["set"]), part=_number(head["part"], of - 1), of=of, count=_number(head["count"], MAX_SET),
        digest=int(_hex(head["digest"]), 16), changes=_lines(head, rest), echo=_echo(head),
    )  # fmt: skip


def _read_want(head: Mapping[str, Any], _: bytes) -> Want:
    return Want(run=_hex(head["run"]), nonce=_nonce(head["nonce"]), echo=_echo(head))


def _read_talk(head: Mapping[str, Any], rest: bytes) -> Talk:
    if len(rest) > MAX_BODY:
        raise WireError("too-long", f"{len(rest)} bytes")
    return Talk(run=_hex(head["run"]), number=_nonce(head["number"]), body=rest, echo=_echo(head))


_READERS: dict[str, Callable[[Mapping[str, Any], bytes], SiteMessage]] = {
    "beat": _read_beat, "delta": _read_delta, "full": _read_part, "want": _read_want, "ask": _read_talk,
    "answer": _read_talk,
}  # fmt: skip
