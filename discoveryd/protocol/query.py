"""The query protocol: what local programs may ask, and the one JSON shape of every answer.

One JSON object per line each way; a bare word is a request too (``list``, ``show NAME``). See
docs/query.md for the page that users read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from discoveryd.errors import QueryError
from discoveryd.protocol.events import Event
from discoveryd.protocol.histogram import LOSS_BOUNDS, Histogram
from discoveryd.protocol.node import Node
from discoveryd.protocol.peer import AGES_TEXT, LIVE, SCHEMA, STATES, Peer, peer_json
from discoveryd.protocol.row import Row

PROTOCOL = 1
"""Version of the requests, told in the greeting."""

MAX_PINGS = 100
MAX_TIMEOUT = 60.0

_FILTERS: Final = ("state", "name", "tags", "service", "link", "all")
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "list": _FILTERS,
    "watch": _FILTERS,
    "show": ("peer",),
    "ping": ("peer", "count", "timeout_s"),
    "status": (),
    "metrics": (),
}
_HTTP = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"TRACE ")
_HOW = 'send one JSON object per line, such as {"op":"list"}, or a bare word: list'


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which peers are asked for. Everything given must hold.

    Attributes:
        states: any of these; empty for the live ones, or for all with `all`.
        name: glob pattern for the name.
        tags: each of these, to the letter.
        service: offers one of this name.
        link: heard on this interface.
        all: those gone too.
    """

    states: frozenset[str] = frozenset()
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    link: str | None = None
    all: bool = False

    @property
    def wants_gone(self) -> bool:
        """Whether peers that are down or left can match."""
        return self.all or not self.states <= LIVE

    def accepts(self, peer: Peer) -> bool:
        """Whether the peer is one of those asked for."""
        if self.states and peer.state not in self.states:
            return False
        return self.describes(peer)

    def describes(self, peer: Peer) -> bool:
        """Whether it is, whatever its state."""
        if self.link is not None and peer.link != self.link:
            return False
        if self.name is not None and not fnmatchcase(peer.name or "", self.name):
            return False
        if self.service is not None and all(service.name != self.service for service in peer.services):
            return False
        return all(peer.tags.get(key) == value for key, value in self.tags.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One checked request.

    Attributes:
        op: ``list``, ``show``, ``status``, ``watch``, ``ping`` or ``metrics``.
        filter: of ``list`` and ``watch``.
        peer: whom ``show`` and ``ping`` mean.
        count: of PINGs.
        timeout: seconds to wait for each PONG.
    """

    op: str
    filter: Filter = field(default_factory=Filter)
    peer: str = ""
    count: int = 1
    timeout: float = 1.0


def parse_request(line: bytes) -> Request:
    """Read a request. Any line gives a `Request` or a `QueryError`, nothing else.

    Raises:
        QueryError: ``http``, ``bad_request``, ``unknown_op`` or ``bad_argument``.
    """
    text = line.strip()
    if text.startswith(_HTTP):
        # a web page can make a browser connect to loopback ports
        raise QueryError("http", f"this is no web server; {_HOW}")
    fields = _fields(text)
    op = fields.pop("op", None)
    if op not in _ARGUMENTS:
        raise QueryError("unknown_op", f"unknown op {op!r:.60}; known: {', '.join(_ARGUMENTS)}")
    allowed = _ARGUMENTS[op]
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise QueryError(
            "bad_argument", f"{op} takes {', '.join(allowed) or 'no arguments'}, not {unknown[0]!r:.60}"
        )
    if "peer" in allowed:
        return Request(
            op=op,
            peer=_text(fields, "peer") or _missing(op),
            count=_count(fields),
            timeout=_number(fields, "timeout_s", 1.0, 0.001, MAX_TIMEOUT),
        )
    return Request(op=op, filter=_filter(fields))


def _fields(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        words = text.decode("utf-8", "replace").split(maxsplit=1)
        if not words or not words[0].isidentifier():
            raise QueryError("bad_request", _HOW)
        return {"op": words[0], **({"peer": words[1]} if len(words) > 1 else {})}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QueryError("bad_request", f"not JSON: {error}") from None
    if not isinstance(fields.get("op"), str):
        raise QueryError("bad_request", f'"op" is missing; known: {", ".join(_ARGUMENTS)}')
    found: dict[str, Any] = fields
    return found


def _filter(fields: Mapping[str, Any]) -> Filter:
    states = fields.get("state")
    if isinstance(states, str):
        states = [states]
    if states is not None and not (
        isinstance(states, list) and all(isinstance(state, str) and state in STATES for state in states)
    ):
        raise QueryError(
            "bad_argument", f"state must be one or a list of {', '.join(STATES)}, not {states!r:.60}"
        )
    tags = fields.get("tags")
    if tags is not None and not (
        isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    ):
        raise QueryError("bad_argument", f"tags must be an object of texts, not {tags!r:.60}")
    everything = fields.get("all", False)
    if not isinstance(everything, bool):
        raise QueryError("bad_argument", f"all must be true or false, not {everything!r:.60}")
    return Filter(
        states=frozenset(states or ()),
        name=_text(fields, "name"),
        tags=tags or {},
        service=_text(fields, "service"),
        link=_text(fields, "link"),
        all=everything,
    )


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise QueryError("bad_argument", f"{key} must be a text, not {value!r:.60}")
    return value


def _count(fields: Mapping[str, Any]) -> int:
    count = _number(fields, "count", 1, 1, MAX_PINGS)
    if not count.is_integer():
        raise QueryError("bad_argument", f"count must be a whole number, not {count:g}")
    return int(count)


def _number(fields: Mapping[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise QueryError("bad_argument", f"{key} must be {least:g} to {most:g}, not {value!r:.60}")
    return float(value)


def _missing(op: str) -> str:
    raise QueryError(
        "bad_argument", f'{op} needs "peer": a name, an id (or at least its first 4 characters) or an address'
    )


# --- answers --------------------------------------------------------------------------------------


def encode(answer: Mapping[str, Any]) -> bytes:
    """Encode one line."""
    return json.dumps(answer, separators=(",", ":")).encode("ascii") + b"\n"


def error_line(code: str, message: str) -> bytes:
    """Encode a refusal."""
    return encode({"ok": False, "error": {"code": code, "message": message}})


def list_text(rows: Iterable[Row], chosen: Filter, now: float) -> str:
    """Encode the peers of a list, without the brackets.

    Not by way of `Peer` and `json`: a thousand rows would take 15 ms instead of 2.
    """
    takes_all = chosen == Filter(all=chosen.all)  # the rows are the live ones, or all, already
    return ",".join(
        AGES_TEXT % (row.text(now), now - row.first_seen, now - row.last_heard, row.expires - now)
        for row in rows
        if takes_all or chosen.accepts(row.lasting(now))
    )


def list_line(node: Node, chosen: Filter, now: float) -> bytes:
    """Answer ``list``."""
    peers = list_text(node.table.rows(now, gone=chosen.wants_gone), chosen, now)
    return f'{{"ok":true,"schema":{SCHEMA},"peers":[{peers}]}}\n'.encode("ascii")


def snapshot_lines(node: Node, chosen: Filter, now: float) -> bytes:
    """Open a ``watch``: the peers there are, and the number that events continue from."""
    peers = list_text(node.table.rows(now, gone=chosen.wants_gone), chosen, now)
    return (
        f'{{"event":"snapshot","schema":{SCHEMA},"peers":[{peers}]}}\n'
        f'{{"event":"sync","seq":{node.table.seq}}}\n'
    ).encode("ascii")


def event_line(event: Event) -> bytes:
    """Encode one event of a ``watch``."""
    return encode(event.to_json())


def find(node: Node, text: str, now: float) -> tuple[Row, ...]:
    """Give the rows that a person means.

    Raises:
        QueryError: ``not_found``.
    """
    found = node.table.find(text, now)
    if not found:
        raise QueryError("not_found", f"no peer has the name, id or address {text!r:.80}")
    return found


def show_answer(node: Node, text: str, now: float) -> dict[str, Any]:
    """Answer ``show``: the rows meant, with each path."""
    rows = find(node, text, now)
    return {"ok": True, "schema": SCHEMA, "peers": [peer_json(row.peer(now), paths=True) for row in rows]}


def status_answer(node: Node, now: float) -> dict[str, Any]:
    """Answer ``status``, as far as the engine knows it."""
    interval = node.interval(now)
    return {
        "ok": True,
        "schema": SCHEMA,
        "node": {
            "id": node.id,
            "name": node.record.name,
            "boot": node.boot,
            "realm": node.parameters.realm,
            "tags": dict(node.record.tags),
            "services": [service.to_json() for service in node.record.services],
        },
        "hello": {
            "port": node.parameters.port,
            "interval_s": round(interval, 3),
            "ttl_s": round(node.ttl(interval), 3),
        },
        "isolated": node.is_isolated(now),
        "clones": sorted({row.id for row in node.table.rows(now) if row.clone}),
        "links": [
            {
                "name": outlet.name,
                "address": link.address,
                "prefix": link.prefix,
                "broadcast": link.broadcast,
                "up_s": round(now - outlet.since, 3),
                "sent": outlet.sent,
                "received": outlet.received,
                "last_heard_s": None if outlet.last_heard is None else round(now - outlet.last_heard, 3),
            }
            for link, outlet in zip(node.links, node.outlets, strict=True)
        ],
        "peers": node.table.counts(now),
        "table": {"rows": len(node.table), "limit": node.table.limit},
        "sent": {kind: node.sent[kind] for kind in ("hello", "ping", "pong")},
        "received": node.received,
        "drops": [
            {"reason": reason, "link": link, "count": count}
            for (reason, link), count in sorted(node.drops.items())
        ],
        "events": node.table.event_counts,
        "rtt_s": node.rtts.to_json(),
        "loss": _losses(node, now).to_json(),
    }


def _losses(node: Node, now: float) -> Histogram:
    """Say how many of the live peers lose how much, those of which it is known."""
    losses = Histogram(LOSS_BOUNDS)
    for row in node.table.rows(now):
        loss = row.best(now).loss
        if loss is not None:
            losses.observe(loss)
    return losses
