"""Which nodes speak for a site. There is no election: each node computes it from what it hears itself.

The nodes of a site that can be gateways are ranked by a hash of site and id (rendezvous hashing: one that comes or goes
changes the place of no other). The first `gateways` of them speak. A node that is down on the LAN is no candidate any
more, so its place is taken within one down-time. A candidate that lives but is not heard over the broker (its
connection is lost, or its daemon hangs) is passed over after `PATIENCE` intervals, and has its place again as soon as
it is heard.

A gateway whose place is taken by another goes on until the other is heard, so that no change waits for that. Two nodes
that disagree for a moment both speak: what they say is the same, and a reader follows each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.table.liveness import NEVER

PATIENCE = 2.5
"""Intervals between beats that a candidate has to be heard."""


def rank(site: str, id: str) -> bytes:
    """Return the value by which candidates are ranked, the lowest first."""
    return blake2b(f"{site}|{id}".encode("ascii"), digest_size=8, person=b"discoveryd-rank").digest()


class Roles:
    """Tells whether this node speaks.

    Args:
        site: of this node.
        id: of this node.
    """

    def __init__(self, site: str, id: str) -> None:
        self._site, self._id = site, id
        self._ids: set[str] = set()
        self._ranked: list[str] = []
        self._entitled: dict[str, float] = {}  # since when a candidate should speak
        self._heard: dict[str, float] = {}  # when a beat of it last came over the broker
        self._speaking: list[str] = []  # as `speakers` said last

    def candidates(self, others: Iterable[str], *, with_self: bool) -> None:
        """Note which nodes of the site can speak, as of now."""
        ids = {*others, *([self._id] if with_self else [])}
        if ids != self._ids:
            self._ids = ids
            self._ranked = sorted(ids, key=lambda id: rank(self._site, id))
            self._entitled = {id: since for id, since in self._entitled.items() if id in ids}
            self._heard = {id: at for id, at in self._heard.items() if id in ids}

    def is_candidate(self, id: str) -> bool:
        """Return whether a node is known to be able to speak for the site."""
        return id in self._ids

    def hear(self, id: str, now: float) -> bool:
        """Note that a beat of a candidate came over the broker; return whether that may change which nodes speak."""
        if id not in self._ids:
            return False
        self._heard[id] = now
        return id not in self._speaking

    def restart(self, now: float) -> None:
        """Give each candidate time to be heard: we could hear no other until now."""
        self._entitled = dict.fromkeys(self._entitled, now)

    def speakers(self, gateways: int, interval: float, now: float) -> list[str]:
        """Return the ids of the nodes that speak now, or should."""
        found: list[str] = []
        entitled: dict[str, float] = {}
        for id in self._ranked:
            since = entitled[id] = self._entitled.get(id, now)
            if id == self._id or now < self._patient_until(id, since, interval):
                found.append(id)
                if len(found) == gateways:
                    break
        self._entitled, self._speaking = entitled, found
        return found

    def next_change(self, interval: float) -> float:
        """Return when the first of the nodes that speak is passed over, if it is not heard until then."""
        others = [id for id in self._speaking if id != self._id]
        return min((self._patient_until(id, self._entitled[id], interval) for id in others), default=NEVER)

    def _patient_until(self, id: str, since: float, interval: float) -> float:
        return max(since, self._heard.get(id, since)) + PATIENCE * interval

    def matters(self, id: str) -> bool:
        """Return whether a node speaks, should, or did of late."""
        return id in self._entitled or id in self._heard

    def heard(self, interval: float, now: float) -> list[str]:
        """Return the ids of the other candidates that are heard over the broker."""
        return [id for id, at in self._heard.items() if now < at + PATIENCE * interval]
