"""The query protocol, second half: the one JSON shape of every reply, one object per line.

The text of a peer is made, and kept, in `discoveryd.protocol.table.row.Row.text`. The requests are in
`discoveryd.query.request`; docs/query.md is the page for users.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import AGES_TEXT, SCHEMA, Event, peer_json
from discoveryd.protocol.table.row import Row
from discoveryd.query.request import Filter
from discoveryd.query.status import MOST_NAMED
from discoveryd.query.watch import Watch

PROTOCOL = 1
"""Version of the requests, shown in the greeting."""


def encode(answer: Mapping[str, Any]) -> bytes:
    """Return an answer as one line."""
    return json.dumps(answer, separators=(",", ":")).encode("ascii") + b"\n"


def error_line(code: str, message: str, problems: Iterable[str] = ()) -> bytes:
    """Return a refusal as one line; `problems` lists each of several faults."""
    found = list(problems)
    return encode({"ok": False, "error": {"code": code, "message": message, **({"problems": found} if found else {})}})


def _chosen(node: Node, chosen: Filter, now: float) -> list[Row]:
    """Return the rows that a filter accepts."""
    rows = node.table.rows(now, gone=chosen.wants_gone)
    if chosen == Filter(all=chosen.all):  # the rows are the live ones, or all, already
        return list(rows)
    return [row for row in rows if chosen.accepts(row.lasting(now))]


def _ages_text(rows: Iterable[Row], now: float) -> str:
    """Return peers as JSON, without the brackets.

    Each row keeps the text of what does not age. By way of `Peer` and `json` a thousand rows would take 15 ms, not 2.
    """
    return ",".join(
        AGES_TEXT % (row.text(now), now - row.first_seen, now - row.last_heard, row.expires - now) for row in rows
    )


def list_line(node: Node, chosen: Filter, now: float) -> bytes:
    """Return the reply to ``list``."""
    peers = _ages_text(_chosen(node, chosen, now), now)
    keys = json.dumps([key.id for key in node.keyring.keys], separators=(",", ":"))
    told = f',"keys":{keys}' if node.keyring.keys else ""
    return f'{{"ok":true,"schema":{SCHEMA}{told},"peers":[{peers}]}}\n'.encode("ascii")


def open_watch(node: Node, chosen: Filter, now: float) -> tuple[bytes, Watch]:
    """Return the opening lines of a ``watch``, snapshot and ``sync``, and the watch that continues from them."""
    rows = _chosen(node, chosen, now)
    opening = (
        f'{{"event":"snapshot","schema":{SCHEMA},"peers":[{_ages_text(rows, now)}]}}\n'
        f'{{"event":"sync","seq":{node.table.seq}}}\n'
    ).encode("ascii")
    return opening, Watch(chosen, node.table.seq, {row.key for row in rows})


def event_line(event: Event) -> bytes:
    """Return an event of a ``watch`` as one line."""
    return encode(event.to_json())


def find(node: Node, text: str, now: float) -> tuple[Row, ...]:
    """Return the rows that a name, id, address or boot means.

    Raises:
        QueryError: ``not_found``.
    """
    found = node.table.find(text, now)
    if not found:
        why = f"no peer has the name, id or address {text!r:.80}"
        if text in (node.id, node.boot, node.record.name, *(link.address for link in node.links)):
            why = f"{text} is this node, which is no peer of itself: see its status (discoveryctl status)"
        raise QueryError("not_found", why)
    return found


def find_one(node: Node, text: str, now: float) -> Row:
    """Return the one row that a name, id, address or boot means.

    Raises:
        QueryError: ``not_found``; ``ambiguous`` for several rows, with the id, boot and address of each.
    """
    found = find(node, text, now)
    if len(found) > 1:
        several = tuple(f"{row.id} (boot {row.boot}) at {row.paths.best(now).address}" for row in found)
        each = ", ".join(several[:MOST_NAMED])
        message = f"{text!r:.80} means {len(found)} peers: {each}; name one by id, boot or address"
        raise QueryError("ambiguous", message, several[:MOST_NAMED])
    return found[0]


def show_answer(node: Node, text: str, now: float) -> dict[str, Any]:
    """Return the reply to ``show``: the rows, with each path."""
    shared = node.table.shared_addresses(now)
    peers = []
    for row in find(node, text, now):
        here = [shared[place] for place in row.paths if place in shared]
        others = sorted({one.id for rows in here if row in rows for one in rows if one is not row})[:MOST_NAMED]
        peers.append(peer_json(row.peer(now), paths=True) | ({"shares_address_with": others} if others else {}))
    return {"ok": True, "schema": SCHEMA, "peers": peers}
