"""The query protocol, first half: the requests of local programs.

One JSON object per line; a bare word is a request too (``list``, ``show NAME``).
"""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import field, fields
from fnmatch import translate
from typing import Any, Final

from discoveryd.errors import ConfigError, QueryError
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.values import MAX_TIMEOUT as MAX_WAIT
from discoveryd.protocol.table.grace import LONGEST
from discoveryd.protocol.table.peer import LIVE, STATES, Peer
from discoveryd.protocol.wire.record import Service
from discoveryd.query.fields import (
    bad_argument,
    read_flag,
    read_glob,
    read_number,
    read_site,
    read_tags,
    read_text,
    read_texts,
)
from discoveryd.query.messages import BUILTIN, Draft, Where
from discoveryd.query.proof import NONCE_BYTES, is_nonce, text_of

MAX_PINGS = 100
MAX_TIMEOUT = 60.0
MAX_SINCE = 100 * 365 * 86_400.0
UNKNOWN: Final = "unknown"
"""The state of a peer of a site that has fallen silent; only requests with a site may name it, or are told of it."""

_FILTERS: Final = ("state", "name", "tags", "service", "link", "all")
_WHERE: Final = ("peers", "everyone", "name", "tags", "service", "link")
_MESSAGE: Final = ("proof", "message", "payload", "text", *_WHERE, "site", "timeout_s")
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "list": (*_FILTERS, "site", "with_self"),
    "watch": (*_FILTERS, "site"),
    "show": ("peer", "site"),
    "ping": ("peer", "count", "timeout_s", "proof"),
    "doctor": ("peer", "proof"),
    "history": ("peer", "since_s"),
    "availability": ("state", "name", "tags", "service", "link", "peer", "since_s"),
    "status": (),
    "metrics": (),
    "hello": ("proof", "nonce"),
    "reload": ("proof",),
    "register": ("proof", "service"),
    "maintenance": ("proof", "peer", "for_s"),
    "forget": ("proof", "peer"),
    "send": (*_MESSAGE, "wait_handled"),
    "ask": _MESSAGE,
    "messages": ("proof", "names"),
    "sites": (),
}
_PROVEN: Final = frozenset((
    "hello", "reload", "register", "send", "ask", "messages", "maintenance", "forget",
))  # fmt: skip
_MAY_BE_PROVEN: Final = frozenset(("ping", "doctor"))
_PAST: Final = frozenset(("history", "availability"))
_LATER: Final = frozenset(("ping", "reload", "send", "ask", "maintenance", "forget", *_PAST))
"""Requests that take a while, as a ``doctor`` does that is about a peer."""
_SERVICE: Final = tuple(one.name for one in fields(Service))
_HTTP = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"TRACE ")
_HTTP_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0")
_HOW = 'send one JSON object per line, such as {"op":"list"}, or a bare word: list'


@frozen
class Filter:
    """The peers that a request is about. Each condition that is given must hold.

    Attributes:
        states: any of these; empty for the live peers (of other sites those that are `UNKNOWN` too), or for all peers
            with `all`.
        name: glob pattern for the name, at most `MAX_GLOB` characters.
        tags: each of these, to the letter.
        service: name of a service that the peer offers.
        link: the interface on which the peer is heard.
        all: whether peers that are gone count too.
    """

    states: frozenset[str] = frozenset()
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    link: str | None = None
    all: bool = False
    _name: re.Pattern[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name is not None:
            # compiled here, once: `fnmatch` would keep 32,768 compiled globs of any program for ever
            object.__setattr__(self, "_name", re.compile(translate(self.name)))

    @property
    def wants_gone(self) -> bool:
        """Whether peers that are down or left can match."""
        return self.all or not self.states <= LIVE

    def accepts(self, peer: Peer) -> bool:
        """Return whether the peer is wanted."""
        if self.states and peer.state not in self.states:
            return False
        if self.link is not None and peer.link != self.link:
            return False
        if self._name is not None and not self._name.match(peer.name or ""):
            return False
        if self.service is not None and all(service.name != self.service for service in peer.services):
            return False
        return all(peer.tags.get(key) == value for key, value in self.tags.items())


@frozen
class Request:
    """One checked request.

    Attributes:
        op: one of those that docs/query.md has.
        filter: of ``list``, ``watch`` and ``availability``.
        wants_self: whether a ``list`` is to tell of this node too.
        site: that ``list``, ``watch``, ``show``, ``send`` and ``ask`` are about, or `EVERY_SITE`; empty for first-hand
            knowledge alone.
        peer: that it is about: name, id, address or boot; empty where it may be about all.
        count: of PINGs.
        timeout: seconds to wait for each PONG.
        proof: that the program has the control token; empty without one.
        signed: the text that the proof is about.
        nonce: of ``hello``; the daemon proves that it has the token too.
        service: to be announced.
        draft: the message of ``send`` and ``ask``.
        names: of the messages that ``messages`` is about; none for all.
        since: seconds that ``history`` and ``availability`` go back; None for all there is.
        seconds: of ``maintenance``.
    """

    op: str
    filter: Filter = field(default_factory=Filter)
    wants_self: bool = False
    site: str = ""
    peer: str = ""
    count: int = 1
    timeout: float = 1.0
    proof: str = field(default="", repr=False)
    signed: str = field(default="", repr=False, compare=False)
    nonce: str = ""
    service: Service | None = None
    draft: Draft | None = None
    names: frozenset[str] = frozenset()
    since: float | None = None
    seconds: float = 0.0

    @property
    def takes_a_while(self) -> bool:
        """Whether its answer comes later; the connection then has no other answer before."""
        return self.op in _LATER or self.is_about_sites or (self.op == "doctor" and self.peer != "")

    @property
    def is_about_sites(self) -> bool:
        """Whether it is about more than this network."""
        return self.op == "sites" or self.site != ""

    @property
    def needs_proof(self) -> bool:
        """Whether it changes something, or is for few to read: it takes a proof of the control token.

        With a proof a ``ping`` or ``doctor`` may be about a node that is not listed, or beyond our links.
        """
        if self.op in _MAY_BE_PROVEN:
            return bool(self.proof)
        return self.op in _PROVEN and (self.draft is None or self.draft.name not in BUILTIN or self.site != "")


def parse_request(line: bytes) -> Request:
    """Return the request in a line. Any line gives a `Request` or a `QueryError`, nothing else.

    Raises:
        QueryError: ``http``, ``bad_request``, ``unknown_op`` or ``bad_argument``.
    """
    text = line.strip()
    if text.startswith(_HTTP) or text.endswith(_HTTP_VERSIONS):
        # a web page can make a browser connect to loopback ports, and choose the method: LIST / HTTP/1.1
        raise QueryError("http", f"this is no web server; {_HOW}")
    fields = _fields(text)
    op = fields.pop("op", None)
    if op not in _ARGUMENTS:
        raise QueryError("unknown_op", f"unknown op {op!r:.60}; known: {', '.join(_ARGUMENTS)}")
    allowed = _ARGUMENTS[op]
    if "proof" in allowed and "token" in fields:
        why = "the control token is not sent any more: send a proof of it, as programs of this version do"
        raise QueryError("denied", f"{why} (docs/query.md, Control)")
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise bad_argument(f"{op} takes {', '.join(allowed) or 'no arguments'}, not {unknown[0]!r:.60}")
    if "peer" in allowed:
        return _about_peer(op, fields)
    if "proof" in allowed:
        return _proven(op, fields)
    return Request(op=op, filter=_filter(fields), wants_self=read_flag(fields, "with_self"), site=read_site(fields))


def _fields(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        words = text.decode("utf-8", "replace").split(maxsplit=1)
        if not words or not words[0].isidentifier():
            raise QueryError("bad_request", _HOW)
        return {"op": words[0], **({"peer": words[1]} if len(words) > 1 else {})}
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise QueryError("bad_request", f"not JSON: wrong at character {error.pos + 1}") from None
    except (ValueError, RecursionError):
        raise QueryError("bad_request", "not JSON: not UTF-8, a number without end, or nested too deep") from None
    if not isinstance(fields.get("op"), str):
        raise QueryError("bad_request", f'"op" is missing; known: {", ".join(_ARGUMENTS)}')
    found: dict[str, Any] = fields
    return found


def _about_peer(op: str, fields: Mapping[str, Any]) -> Request:
    peer = read_text(fields, "peer")
    if op in _PAST:
        since = read_number(fields, "since_s", 0.0, 0.001, MAX_SINCE) if "since_s" in fields else None
        return Request(op=op, peer=peer or "", since=since, filter=_filter(fields))
    if not peer and op == "doctor":
        return Request(op=op)  # about the node itself
    if not peer:
        raise bad_argument(f'{op} needs "peer": a name, an id (or at least its first 4 characters) or an address')
    count = read_number(fields, "count", 1, 1, MAX_PINGS)
    if not count.is_integer():
        raise bad_argument(f"count must be a whole number, not {count:g}")
    timeout = read_number(fields, "timeout_s", 1.0, 0.001, MAX_TIMEOUT)
    if op == "maintenance" and "for_s" not in fields:
        raise bad_argument('maintenance needs "for_s": the seconds, 0 to end it')
    seconds = read_number(fields, "for_s", 0.0, 0.0, LONGEST)
    proof, signed = _proof(fields), text_of({"op": op, **fields})
    return Request(
        op=op, peer=peer, count=int(count), timeout=timeout, proof=proof, signed=signed, seconds=seconds,
        site=read_site(fields),
    )  # fmt: skip


def _proof(fields: Mapping[str, Any]) -> str:
    proof = fields.get("proof")
    return proof if isinstance(proof, str) else ""  # a proof that is no text is a wrong one, or none


def _proven(op: str, fields: Mapping[str, Any]) -> Request:
    nonce = fields.get("nonce")
    if nonce is not None and not is_nonce(nonce):
        raise bad_argument(f"nonce must be {2 * NONCE_BYTES} hexadecimal digits, not {nonce!r:.60}")
    return Request(
        op=op,
        proof=_proof(fields),
        signed=text_of({"op": op, **fields}),
        nonce=nonce or "",
        service=_service(fields.get("service")) if op == "register" else None,
        draft=_draft(op, fields) if op in ("send", "ask") else None,
        names=frozenset(read_texts(fields, "names")),
        site=read_site(fields),
    )


def _draft(op: str, fields: Mapping[str, Any]) -> Draft:
    payload, text = read_text(fields, "payload"), read_text(fields, "text")
    if payload is not None and text is not None:
        raise bad_argument("give payload (in base 64) or text, not both")
    try:
        content = b64decode(payload or "", validate=True) if text is None else text.encode()
    except ValueError:  # not base 64, which a text beyond ASCII is not either; or surrogates
        raise bad_argument("payload must be base 64, and text be text without surrogates") from None
    where: Where = {
        "to": read_texts(fields, "peers"), "everyone": read_flag(fields, "everyone"), "name": read_glob(fields),
        "tags": read_tags(fields), "service": read_text(fields, "service"), "link": read_text(fields, "link"),
        "site": read_site(fields),
    }  # fmt: skip
    return Draft(
        name=read_text(fields, "message") or "", payload=content, where=where, is_question=op == "ask",
        wants_handled=read_flag(fields, "wait_handled"), timeout=read_number(fields, "timeout_s", 5.0, 0.001, MAX_WAIT),
    )  # fmt: skip


def _service(given: Any) -> Service:
    if not isinstance(given, dict) or not {"name", "port"} <= set(given):
        wanted = 'such as {"name":"http","port":80}, with "proto" and "tags" if wanted'
        raise bad_argument(f"service must be {wanted}, not {given!r:.60}")
    unknown = sorted(set(given) - set(_SERVICE))
    if unknown:
        raise bad_argument(f"a service has {', '.join(_SERVICE)}, not {unknown[0]!r:.60}")
    try:
        return Service(**given)
    except ConfigError as error:
        raise bad_argument("; ".join(error.problems)) from None


def _filter(fields: Mapping[str, Any]) -> Filter:
    states = fields.get("state")
    listed = [states] if isinstance(states, str) else [] if states is None else states
    known = (*STATES, UNKNOWN) if fields.get("site") else STATES
    if not isinstance(listed, list) or not all(isinstance(one, str) and one in known for one in listed):
        raise bad_argument(f"state must be one or a list of {', '.join(known)}, not {listed!r:.60}")
    return Filter(
        states=frozenset(listed), name=read_glob(fields), tags=read_tags(fields), service=read_text(fields, "service"),
        link=read_text(fields, "link"), all=read_flag(fields, "all"),
    )  # fmt: skip
