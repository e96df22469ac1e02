"""Replies about the peers of several sites: those of this network first-hand, those of others as they are vouched for.

A peer has three keys more than elsewhere: ``site``, ``via`` (the id of the gateway that vouches for it) and
``vouched_s`` (how old the proof of that is); both are null for a peer that this node hears itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discoveryd.protocol.table.peer import LIVE, SCHEMA, Event, Peer, peer_from_json
from discoveryd.query.fields import EVERY_SITE
from discoveryd.query.reply import encode
from discoveryd.query.request import UNKNOWN, Filter
from discoveryd.query.watch import Watch

Row = Mapping[str, Any]
"""A peer of another site as JSON."""
_KEYS = ("site", "via", "vouched_s")
_NOT_GONE = LIVE | {UNKNOWN}


def of_here(site: str) -> dict[str, Any]:
    """Return the further keys of a peer that this node hears itself."""
    return {"site": site, "via": None, "vouched_s": None}


def chosen_rows(rows: Iterable[Row], chosen: Filter) -> list[Row]:
    """Return the peers of other sites that a filter accepts: unless it says more, all that are not known to be gone."""
    if is_every(chosen):
        return [row for row in rows if is_listed(row["state"], chosen)]
    return [row for row in rows if is_chosen(peer_from_json(row), chosen)]


def is_every(chosen: Filter) -> bool:
    """Return whether a filter tells peers apart by nothing but whether they are gone."""
    return chosen == Filter(all=chosen.all)


def is_listed(state: str, chosen: Filter) -> bool:
    """Return whether such a filter accepts a peer of this state."""
    return chosen.all or state in _NOT_GONE


def is_chosen(peer: Peer, chosen: Filter) -> bool:
    """Return whether a filter accepts a peer of another site."""
    return chosen.accepts(peer) and (chosen.all or bool(chosen.states) or peer.state in _NOT_GONE)


def found_rows(rows: Iterable[Row], text: str, shortest: int) -> list[Row]:
    """Return the peers that a name, an id or the beginning of one, an address or a boot means."""
    found = list(rows)
    for key in ("name", "id", "boot"):
        if same := [row for row in found if row[key] == text]:
            return same
    if same := [row for row in found if text in row["addresses"]]:
        return same
    return [row for row in found if len(text) >= shortest and row["id"].startswith(text)]


class SiteWatch:
    """What one client watches of the peers of several sites, as `Watch` does of those of this network.

    Args:
        chosen: the peers that it asked for.
        seq: of the last event that its snapshot includes.
        rows: the peers of other sites in the snapshot, as JSON.
        site: that it asked for, or `EVERY_SITE`.
        here: name of this site.
        local: the watch of the peers of this site, None where it did not ask for them.
    """

    def __init__(
        self, chosen: Filter, seq: int, rows: Iterable[Row], *, site: str, here: str, local: Watch | None
    ) -> None:
        self._site = site
        self._here = here
        self._remote = Watch(chosen, seq, {(row["id"], row["boot"]) for row in rows})
        self._local = local

    @property
    def shown(self) -> int:
        """The number of peers that the client has been shown and that have not gone."""
        return len(self._remote.shown) + (len(self._local.shown) if self._local else 0)

    def of_peer(self, event: Event, row: Row | None, seq: int) -> bytes | None:
        """Return the line of an event of a peer; None where it is not to be told.

        Args:
            event: of this network, or of another site.
            row: the peer of another site as JSON; None for one of this network.
            seq: that is told.
        """
        if row is None:
            kind, more = self._local.kind(event) if self._local else None, of_here(self._here)
        else:
            kind = self._remote.kind(event) if self._site in (EVERY_SITE, row["site"]) else None
            more = {key: row[key] for key in _KEYS}
        if kind is None:
            return None
        found = event.to_json()
        return encode({**found, "event": kind, "seq": seq, "peer": {**found["peer"], **more}})

    def of_site(self, kind: str, site: str, reason: str, seq: int) -> bytes | None:
        """Return the line of an event of a site as a whole; None where it is not to be told."""
        if self._site not in (EVERY_SITE, site):
            return None
        return encode({"event": kind, "seq": seq, "site": site, "reason": reason})


class SiteStates:
    """The sites that are silent, for a client: a watch tells that of the site, not of each of its peers."""

    def __init__(self) -> None:
        self._silent: set[str] = set()
        self._began_silent: set[str] = set()  # those that the snapshot shows so

    def take(self, line: Mapping[str, Any]) -> None:
        """Apply a line of a watch."""
        if line["event"] == "snapshot":
            unknown = {peer.get("site", "") for peer in line["peers"] if peer["state"] == UNKNOWN}
            heard = {peer.get("site", "") for peer in line["peers"] if peer["state"] in LIVE}
            self._silent = self._began_silent = unknown - heard
        elif line["event"] == "site-unreachable":
            self._silent = self._silent | {line["site"]}
        elif line["event"] == "site-back":
            self._silent = self._silent - {line["site"]}

    def of(self, row: Row) -> Row:
        """Return a peer in the state that it has now."""
        state = row["state"]
        if row.get("site") in self._silent:
            state = UNKNOWN if state in LIVE else state
        elif state == UNKNOWN and row.get("site") in self._began_silent:
            state = "up"
        return row if state == row["state"] else {**row, "state": state}


def opening(local: Iterable[Row], rows: Iterable[Row], here: str, seq: int) -> bytes:
    """Return the first lines of a watch: the peers of this network and of others, then ``sync``."""
    ours = [{**row, **of_here(here)} for row in local]
    first = {"event": "snapshot", "schema": SCHEMA, "peers": [*ours, *rows]}
    return encode(first) + encode({"event": "sync", "seq": seq})
