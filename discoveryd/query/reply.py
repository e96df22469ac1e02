"""The query protocol, second half: the one JSON shape of every reply, one object per line.

The text of a peer is made, and kept, in `discoveryd.protocol.table.row.Row.text`. The requests are in
`discoveryd.query.request`; docs/query.md is the page for users.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import AGES_TEXT, LIVE, SCHEMA, Event, peer_json
from discoveryd.protocol.table.row import Row
from discoveryd.query.engine_status import MOST_NAMED
from discoveryd.query.own_node import chosen_own
from discoveryd.query.request import Filter
from discoveryd.query.watch import Watch, WatchKind

PROTOCOL = 1
"""Version of the requests, shown in the greeting."""
TURN, ANEW = 2000, 8
"""Peers of one turn of a `Listing`, 2 ms or so, and as how many each counts whose text is encoded anew."""


def encode_text(answer: Any) -> str:
    """Return an answer as JSON, without blanks."""
    return json.dumps(answer, separators=(",", ":"))


def encode(answer: Mapping[str, Any]) -> bytes:
    """Return an answer as one line."""
    return encode_text(answer).encode("ascii") + b"\n"


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


def _with_ages(row: Row, now: float) -> str:
    """Return a peer as JSON. Its row keeps the text of what does not age."""
    return AGES_TEXT % (row.text(now), now - row.first_seen, now - row.last_heard, row.expires - now)


class Listing:
    """The reply to ``list``, written in turns: a turn holds the lock of the table, and is short.

    Each peer is told as it is in its turn. A peer that restarts meanwhile is told once, as its new boot.

    Args:
        chosen: the filter.
        uptime: seconds since the start of this node, which is then told of under ``self``; None for peers alone.
        site: name of this site, which each peer is then told with; empty for none.
    """

    def __init__(self, chosen: Filter, uptime: float | None = None, site: str = "") -> None:
        self._chosen = chosen
        self._uptime = uptime
        self._end = f',"site":{encode_text(site)},"via":null,"vouched_s":null}}' if site else ""
        self._is_plain = chosen == Filter(all=chosen.all)
        self._rows: list[Row] = []
        self._place = -1  # of the next row; -1 before the first turn
        self._texts: list[str] = []
        self._keys = self._own = ""

    def turn(self, node: Node, now: float) -> bool:
        """Write some peers; return whether all are written."""
        by_key, gone, texts = node.table.by_key, self._chosen.wants_gone, self._texts
        if self._place < 0:
            self._rows, self._place = [row for row in by_key.values() if not row.is_replaced], 0
            if node.keyring.keys:
                self._keys = f',"keys":{encode_text([key.id for key in node.keyring.keys])}'
            if self._uptime is not None and (own := chosen_own(node, self._chosen, now, self._uptime)):
                self._own = f',"self":{self._ended(encode_text(peer_json(own)))}'
        rows, place, work = self._rows, self._place, TURN
        while place < len(rows) and work > 0:
            row = rows[place]
            place += 1
            if row.is_replaced:
                self._follow(row)
            elif by_key.get(row.key) is row and (gone or (row.state in LIVE and now < row.expires)):
                text = row.kept_text(now)
                work -= 1 if text else ANEW
                if self._is_plain or self._chosen.accepts(row.lasting(now)):
                    ages = now - row.first_seen, now - row.last_heard, row.expires - now
                    texts.append(self._ended(AGES_TEXT % (text or row.text(now), *ages)))
        self._place = place
        return place >= len(rows)

    def _ended(self, text: str) -> str:
        return text[:-1] + self._end if self._end else text

    def _follow(self, row: Row) -> None:
        """Tell in place of a row the boot that continues it since the last turn, unless that is told besides."""
        if row.heir is not None and not any(one is row.heir for one in self._rows):
            self._rows.append(row.heir)

    def line(self, others: Iterable[str] = ()) -> bytes:
        """Return the whole reply, after the last turn; `others` are further peers, as JSON."""
        head = f'"ok":true,"schema":{SCHEMA}{self._keys}{self._own}'
        return f'{{{head},"peers":[{",".join([*self._texts, *others])}]}}\n'.encode("ascii")


def list_line(node: Node, chosen: Filter, now: float) -> bytes:
    """Return the reply to ``list``, for a caller that keeps no other waiting."""
    listing = Listing(chosen)
    while not listing.turn(node, now):
        pass
    return listing.line()


def open_watch(node: Node, chosen: Filter, now: float) -> tuple[bytes, Watch]:
    """Return the opening lines of a ``watch``, snapshot and ``sync``, and the watch that continues from them.

    The snapshot has what the events so far tell: a peer with an absence that waits is in it, as if it were up.
    """
    withheld = {(peer.id, peer.boot): peer for peer in node.table.event_log.withheld(now) if chosen.accepts(peer)}
    rows = [row for row in _chosen(node, chosen, now) if row.key not in withheld]
    texts = [_with_ages(row, now) for row in rows] + [encode_text(peer_json(peer)) for peer in withheld.values()]
    opening = (
        f'{{"event":"snapshot","schema":{SCHEMA},"peers":[{",".join(texts)}]}}\n'
        f'{{"event":"sync","seq":{node.table.seq}}}\n'
    ).encode("ascii")
    return opening, Watch(chosen, node.table.seq, {row.key for row in rows} | withheld.keys())


def event_line(event: Event, kind: WatchKind | None = None) -> bytes:
    """Return an event of a ``watch`` as one line; `kind` is what a watcher with a filter is told instead of its own."""
    return encode({**event.to_json(), "event": kind or event.kind})


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
        here = [shared[place] for path in row.paths if (place := (path.address, path.link)) in shared]
        others = sorted({one.id for rows in here if row in rows for one in rows if one is not row})[:MOST_NAMED]
        peers.append(peer_json(row.peer(now), paths=True) | ({"shares_address_with": others} if others else {}))
    return {"ok": True, "schema": SCHEMA, "peers": peers}
