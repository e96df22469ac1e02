"""What the history tells: what happened, and how available each peer was, as the JSON of the query socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from time import gmtime, strftime
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.history.store import Store
from discoveryd.history.tally import Span, Uptime, both, total
from discoveryd.history.timeline import DAY
from discoveryd.protocol.table.peer import SCHEMA, Peer
from discoveryd.protocol.wire.record import Service
from discoveryd.query.request import Filter, Request

MOST_TOLD = 1000
"""Events and stays of a reply, each: the newest. A reply has to fit into what a slow reader may be owed."""
_ALL = Filter()
SHORTEST_ID = 4
"""Characters of an id that mean a peer."""


class Reader:
    """Reads a store; for its thread.

    Args:
        store: the history.
        now: the present moment.
    """

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        self._wall = store.timeline.wall(now)

    def history(self, peer: str, since: float | None) -> dict[str, Any]:
        """Return the reply to ``history``: of a peer all that is known of it, or of all; the newest come last.

        Raises:
            QueryError: ``not_found``.
        """
        begin = self._begin(since)
        chosen = self.find(peer) if peer else None
        values = {"since": begin, "most": MOST_TOLD + 1}
        some = "" if chosen is None else f"AND n IN ({','.join(str(n) for n in chosen)})"
        events = self._store.rows(
            "SELECT t, id, name, kind, reason, event.address, event.link FROM event JOIN node USING (n) "
            f"WHERE t >= :since {some} ORDER BY e DESC LIMIT :most",
            values,
        )
        stays = self._store.rows(
            "SELECT start, end, id, name, boot, ended, reason, stay.address, stay.link FROM stay JOIN node USING (n) "
            f"WHERE (end IS NULL OR end >= :since) {some} ORDER BY s DESC LIMIT :most",
            values,
        )
        return {
            "ok": True,
            "schema": SCHEMA,
            "since_s": self._age(begin),
            "complete": len(events) <= MOST_TOLD and len(stays) <= MOST_TOLD,
            "peers": self._peers(chosen),
            "events": [self._event(*row) for row in reversed(events[:MOST_TOLD])],
            "stays": [self._stay(*row) for row in reversed(stays[:MOST_TOLD])],
            "absences": self._absences(begin),
        }

    def availability(self, since: float | None, chosen: Filter, peer: str = "") -> dict[str, Any]:
        """Return the reply to ``availability``: how each peer was since then, in the order of their names.

        Raises:
            QueryError: ``not_found``.
        """
        wanted = self.find(peer) if peer else None
        begin, tallies = self.tallies(self._begin(since), None if wanted is None or len(wanted) > 1 else wanted[0])
        peers = [
            {**about, **_told(tallies.get(n, Uptime()), self._now - begin)}
            for n, about in self._known(wanted).items()
            if chosen == _ALL or chosen.accepts(_as_peer(about))
        ]
        watches: list[Span] = [(start, end) for start, end, _ in self._store.watches(begin)]
        return {
            "ok": True,
            "schema": SCHEMA,
            "since_s": self._age(begin),
            "watched_s": total(both(watches, [(begin, self._now)])) / 1000,
            "peers": sorted(peers, key=lambda one: (str(one["name"] or one["id"]).lower(), one["id"])),
        }

    def tallies(self, begin: int, n: int | None = None) -> tuple[int, dict[int, Uptime]]:
        """Return what each peer, or one, was since a moment; and that moment, earlier where only days are left of it.

        Days that are over are summed up; what lies before and after them is counted out of the stays.
        """
        store, line = self._store, self._store.timeline
        summed, complete = store.mark("summed"), store.mark("complete")
        if begin < complete:
            begin = min(begin, line.moment(line.day(begin) * DAY))
        day = line.day(begin - 1) + 1 if begin else 0
        whole = line.moment(day * DAY)
        if whole >= summed:
            return begin, store.tallies(begin, self._now, self._now, n)
        parts = [store.day_sums(day, n), store.tallies(summed, self._now, self._now, n)]
        parts += [store.tallies(begin, whole, self._now, n)] if begin < whole else []
        found: dict[int, Uptime] = {}
        for part in parts:
            for number, one in part.items():
                found[number] = found[number].plus(one) if number in found else one
        return begin, found

    def find(self, peer: str) -> list[int]:
        """Return the numbers of the peers that a name, an id or its beginning, a boot or an address means.

        Raises:
            QueryError: ``not_found``.
        """
        for condition in (
            "id = :peer", "name = :peer", "n IN (SELECT n FROM stay WHERE boot = :peer AND :peer != '')",
            "address = :peer OR n IN (SELECT n FROM stay WHERE address = :peer)",
            f"length(:peer) >= {SHORTEST_ID} AND substr(id, 1, length(:peer)) = :peer",
        ):  # fmt: skip
            if found := self._store.rows(f"SELECT n FROM node WHERE {condition}", {"peer": peer}):
                return [row[0] for row in found]
        raise QueryError("not_found", f"no peer with the name, id or address {peer!r:.80} is remembered")

    def one(self, peer: str) -> tuple[int, str, str | None]:
        """Return number, id and name of the one peer that a text means.

        Raises:
            QueryError: ``not_found``; ``ambiguous``, with the id of each.
        """
        numbers = ",".join(str(n) for n in self.find(peer))
        rows = self._store.rows(f"SELECT n, id, name FROM node WHERE n IN ({numbers}) ORDER BY id", {})
        if len(rows) > 1:
            several = tuple(id for _, id, _ in rows)
            message = f"{peer!r:.80} means {len(rows)} peers: {', '.join(several)}; name an id"
            raise QueryError("ambiguous", message, several)
        [(n, id, name)] = rows
        return n, id, name

    # --- pieces of a reply ----------------------------------------------------------------------

    def _begin(self, since: float | None) -> int:
        line = self._store.timeline
        return line.runs[0][0] if since is None else line.moment(self._wall - round(since * 1000))

    def _age(self, moment: int | None) -> float | None:
        """Return seconds by the wall clock: what lay between two runs counts as a person counts it."""
        return None if moment is None else max(0, self._wall - self._store.timeline.wall(moment)) / 1000

    def _at(self, moment: int) -> str:
        seconds, rest = divmod(self._store.timeline.wall(moment), 1000)
        return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:03}Z"

    def _known(self, chosen: Iterable[int] | None) -> dict[int, dict[str, Any]]:
        """Return what is known of each peer, by its number."""
        some = "" if chosen is None else f" WHERE node.n IN ({','.join(str(n) for n in chosen)})"
        rows = self._store.rows(
            "SELECT node.n, id, name, node.address, node.link, tags, services, first, end, ended FROM node "
            "JOIN stay ON s = coalesce((SELECT s FROM stay WHERE n = node.n AND end IS NULL LIMIT 1), "
            "(SELECT s FROM stay WHERE n = node.n ORDER BY start DESC LIMIT 1))"
            f"{some}",
            {},
        )
        return {
            n: {
                "id": id, "name": name, "address": address, "link": link, "tags": json.loads(tags),
                "services": json.loads(services), "first_seen_s": self._age(first),
                "state": "up" if end is None else _STATES.get(ended, ended),
                "last_seen_s": 0.0 if end is None else self._age(end),
            }
            for n, id, name, address, link, tags, services, first, end, ended in rows
        }  # fmt: skip

    def _peers(self, chosen: list[int] | None) -> list[dict[str, Any]]:
        return [] if chosen is None else list(self._known(chosen).values())

    def _event(self, t: int, id: str, name: str | None, *rest: str) -> dict[str, Any]:
        kind, reason, address, link = rest
        found = {"age_s": self._age(t), "at": self._at(t), "event": kind, "id": id, "name": name}
        return {**found, "reason": reason, "address": address, "link": link}

    def _stay(self, start: int, end: int | None, id: str, name: str | None, boot: str, *rest: str) -> dict[str, Any]:
        ended, reason, address, link = rest
        return {
            "id": id, "name": name, "boot": boot, "start_s": self._age(start), "start": self._at(start),
            "end_s": self._age(end), "end": None if end is None else self._at(end),
            "up_s": ((self._now if end is None else end) - start) / 1000,
            "ended": ended or None, "reason": reason or None, "address": address, "link": link,
        }  # fmt: skip

    def _absences(self, begin: int) -> list[dict[str, Any]]:
        """Return when this node could not tell, and why: between two watches."""
        watches = self._store.watches(begin)
        found = []
        for (_, end, ended), following in zip(watches, [*watches[1:], None], strict=True):
            if ended:
                start = following[0] if following else self._now
                found.append({
                    "start_s": self._age(end), "start": self._at(end), "end_s": self._age(start) if following else None,
                    "end": self._at(start) if following else None, "kind": ended,
                })  # fmt: skip
        return found[-MOST_TOLD:]


_STATES: Mapping[str, str] = {"restarted": "down", "left": "left", "down": "down", "unknown": "unknown"}


def _told(found: Uptime, longest: int) -> dict[str, Any]:
    """Return a tally as JSON; `availability` is None where the peer was not seen."""
    missed = found.seen - found.up - found.left
    return {
        "availability": round(found.up / found.seen, 6) if found.seen else None,
        "seen_s": found.seen / 1000, "up_s": found.up / 1000, "left_s": found.left / 1000, "down_s": missed / 1000,
        "downs": found.downs, "restarts": found.restarts, "longest_s": min(found.longest, longest) / 1000,
    }  # fmt: skip


def _as_peer(about: Mapping[str, Any]) -> Peer:
    """Return a remembered peer as a filter looks at it; nothing else of it means anything."""
    services = tuple(Service(name=one["name"], port=one["port"], proto=one["proto"]) for one in about["services"])
    return Peer(
        id=about["id"], name=about["name"], state=about["state"], kind="node", address=about["address"],
        addresses=(about["address"],), link=about["link"], boot="", services=services, tags=about["tags"],
        first_seen_s=0.0, last_heard_s=0.0, expires_s=0.0, interval_s=None, ttl_s=0.0, rtt_ms=None, loss=None,
        two_way=None, restarts=0, clone=False, key=None,
    )  # fmt: skip


def answer(reader: Reader, request: Request) -> dict[str, Any]:
    """Return the reply to a request.

    Raises:
        QueryError: ``not_found``.
    """
    if request.op == "history":
        return reader.history(request.peer, request.since)
    return reader.availability(request.since, request.filter, request.peer)
