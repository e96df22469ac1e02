"""The query protocol, second half: the one JSON shape of every answer, one object per line.

What may be asked is in `discoveryd.query.request`; docs/query.md is the page that users read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.protocol.histogram import LOSS_BOUNDS, Histogram
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.peer import AGES_TEXT, SCHEMA, peer_json
from discoveryd.protocol.table.row import Row
from discoveryd.query.request import Filter
from discoveryd.query.watch import Watch

PROTOCOL = 1
"""Version of the requests, told in the greeting."""


MOST_NAMED = 16
"""Peers that an error names, or that are named as having one address; and such addresses."""


def encode(answer: Mapping[str, Any]) -> bytes:
    """Encode one line."""
    return json.dumps(answer, separators=(",", ":")).encode("ascii") + b"\n"


def error_line(code: str, message: str, problems: Iterable[str] = ()) -> bytes:
    """Encode a refusal; `problems` is there where several things are wrong."""
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
    """Encode one event of a ``watch``."""
    return encode(event.to_json())


def find(node: Node, text: str, now: float) -> tuple[Row, ...]:
    """Give the rows that a person means.

    Raises:
        QueryError: ``not_found``.
    """
    found = node.table.find(text, now)
    if not found:
        if text in (node.id, node.boot, node.record.name, *(link.address for link in node.links)):
            why = f"{text} is this node, which is no peer of itself: see its status (discoveryctl status)"
            raise QueryError("not_found", why)
        raise QueryError("not_found", f"no peer has the name, id or address {text!r:.80}")
    return found


def find_one(node: Node, text: str, now: float) -> Row:
    """Give the row that a person means.

    Raises:
        QueryError: ``not_found``; ``ambiguous`` where several are meant, with the id, boot and address of each.
    """
    found = find(node, text, now)
    if len(found) > 1:
        several = tuple(f"{row.id} (boot {row.boot}) at {row.paths.best(now).address}" for row in found)
        each = ", ".join(several[:MOST_NAMED])
        message = f"{text!r:.80} means {len(found)} peers: {each}; name one by id, boot or address"
        raise QueryError("ambiguous", message, several[:MOST_NAMED])
    return found[0]


def show_answer(node: Node, text: str, now: float) -> dict[str, Any]:
    """Answer ``show``: the rows meant, with each path."""
    shared = node.table.shared_addresses(now)
    peers = []
    for row in find(node, text, now):
        here = [shared[place] for place in row.paths if place in shared]
        others = sorted({one.id for rows in here if row in rows for one in rows if one is not row})[:MOST_NAMED]
        peers.append(peer_json(row.peer(now), paths=True) | ({"shares_address_with": others} if others else {}))
    return {"ok": True, "schema": SCHEMA, "peers": peers}


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
        "shared_addresses": [
            {"address": address, "link": link, "ids": sorted(row.id for row in rows)[:MOST_NAMED]}
            for (address, link), rows in sorted(node.table.shared_addresses(now).items())[:MOST_NAMED]
        ],
        "clones": sorted({row.id for row in node.table.rows(now) if row.clone}),
        "new_boots": {"count": node.doubles.count, "address": node.doubles.address},
        "links": [
            {
                "name": link_state.name,
                "address": link.address,
                "prefix": link.prefix,
                "broadcast": link.broadcast,
                "limited": link_state.limited,
                "other_addresses": len(node.others[link]),
                "up_s": round(now - link_state.since, 3),
                "sent": link_state.sent,
                "received": link_state.received,
                "last_heard_s": None if link_state.last_heard is None else round(now - link_state.last_heard, 3),
            }
            for link, link_state in zip(node.links, node.outlets, strict=True)
        ],
        "peers": node.table.counts(now),
        "table": {
            "rows": len(node.table), "limit": node.table.limit,
            "routed": node.table.beyond(), "routed_limit": node.parameters.limits.routed,
        },
        "sent": {kind: node.sent[kind] for kind in ("hello", "ping", "pong")},
        "received": node.received,
        "drops": [
            {"reason": reason, "link": link, "count": count}
            for (reason, link), count in sorted(node.drops.items())
        ],
        "events": node.table.event_counts,
        "rtt_s": node.rtts.to_json(),
        "loss": _losses(node, now).to_json(),
        "security": _security(node, now),
    }


def _security(node: Node, now: float) -> dict[str, Any]:
    """Say how many live peers are heard with which key, and what became of those that were not known."""
    ring, asked = node.keyring, node.challenges
    peers = Counter(row.sealed_with for row in node.table.rows(now))
    return {
        "mode": ring.mode,
        "send_with": ring.send_with or None,
        "keys": [{"id": key.id, "peers": peers[key.id]} for key in ring.keys],
        "plain_peers": peers[""],
        "challenges": {
            key: getattr(asked, key)
            for key in ("asked", "answered", "expired", "forgotten", "refused", "too_short")
        },
        "withheld": node.credit.withheld,
    }


def _losses(node: Node, now: float) -> Histogram:
    """Say how many of the live peers lose how much, those of which it is known."""
    losses = Histogram(LOSS_BOUNDS)
    for row in node.table.rows(now):
        loss = row.paths.best(now).loss
        if loss is not None:
            losses.observe(loss)
    return losses
