"""What a node knows first-hand, read from its engine for the exchange between sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from discoveryd.protocol.addresses import is_link_local
from discoveryd.protocol.table.peer import LIVE, EventKind
from discoveryd.sites.row import encode_row, key_of
from discoveryd.sites.settings import GATEWAY_TAG
from discoveryd.sites.values import LocalRow, LocalState, Speaker, Survey

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.row import Row

SURVEY_GAP = 10.0
"""Seconds after which all rows are read again, for what changed without an event (a peer that flaps)."""
MAX_GONE = 256
"""Peers that are gone of which other sites are told, the latest."""
_MOVING: tuple[EventKind, ...] = ("joined", "updated", "down", "left", "restarted", "clone")


class Surveyor:
    """Reads the table of a node. Give `survey` to `Discovery.look`: it is short, for most rows have not changed.

    Args:
        site: of this node.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self._texts: dict[tuple[str, str], tuple[object, LocalRow]] = {}
        self._told: object = None
        self._whole_at = 0.0
        self._speakers: list[Row] = []
        self._elsewhere: frozenset[str] = frozenset()

    def survey(self, node: Node, now: float) -> Survey:
        """Return what the node knows at this moment."""
        counts = node.table.event_log.counts
        told = (
            [counts[kind] for kind in _MOVING], node.table.live_count(now), node.boot, node.record, node.links,
            node.keyring.sends,
        )  # fmt: skip
        rows = None
        if told != self._told or now >= self._whole_at:
            self._told, self._whole_at = told, now + SURVEY_GAP
            rows = self._rows(node, now)
        speakers = tuple([_speaker(row, now) for row in self._speakers if row.state in LIVE])
        return Survey(
            rows, speakers, node.seq, node.is_cut_off, self._elsewhere, boot=node.boot, name=node.record.name
        )

    def _rows(self, node: Node, now: float) -> tuple[LocalRow, ...]:
        rows, elsewhere, self._speakers = [], [], []
        for row in node.table.shown():  # as of the last event: what is due by now is told with its own
            site = row.record.tags.get(GATEWAY_TAG) if row.record is not None else None
            if site is not None and site != self._site:
                elsewhere.append(row.id)
                continue
            rows.append(row)
            if site is not None:
                self._speakers.append(row)
        self._elsewhere = frozenset(elsewhere)
        self._texts = kept = {row.key: self._kept(row, now) for row in rows}
        gone = [row for row in node.table.rows(now, gone=True) if row.state not in LIVE]
        lately = sorted(gone, key=lambda row: row.last_heard)[-MAX_GONE:]
        ends = [LocalRow(key_of(*row.key), _state(row), "", row.farewell.reason) for row in lately]
        return (self._own(node, now), *[row for _, row in kept.values()], *ends)

    def _kept(self, row: Row, now: float) -> tuple[object, LocalRow]:
        known = self._texts.get(row.key)
        addresses = _beyond(path.address for path in row.paths.fresh(now))
        says = (row.record, addresses, row.clone, row.sealed_with)
        if known is not None and known[0] == says:
            return known
        record = row.record
        text = encode_row(
            record.name if record else None, addresses, record.tags if record else _NONE,
            record.services if record else (), row.sealed_with, clone=row.clone,
        )  # fmt: skip
        return says, LocalRow(key_of(*row.key), "up", text)

    def _own(self, node: Node, now: float) -> LocalRow:
        """Return this node as its peers see it: by the addresses of links on which any peer is heard."""
        heard = {path.link for row in node.table.rows(now) for path in row.paths}
        links = [link for link in node.links if link.name in heard] or node.links
        record, keyring = node.record, node.keyring
        clone = any(row.id == node.id for row in node.table.of_id(node.id))
        addresses = _beyond(link.address for link in links)
        text = encode_row(record.name, addresses, record.tags, record.services, keyring.sends, clone=clone)
        return LocalRow(key_of(node.id, node.boot), "up", text)


_NONE: Mapping[str, str] = {}


def _speaker(row: Row, now: float) -> Speaker:
    gap = max((row.interval or 0.0) * row.every, now - row.last_hello)
    return Speaker(row.id, row.boot, row.seq, row.last_hello, gap)


def _state(row: Row) -> LocalState:
    if row.state == "left":
        return "left"
    return "died" if row.refused > row.last_heard else "down"


def _beyond(addresses: object) -> tuple[str, ...]:
    """Return the addresses that mean something elsewhere, always in the same order; if there are none, all."""
    found = sorted(set(addresses), key=lambda one: (":" in one, one))  # type: ignore[call-overload]
    return tuple([one for one in found if not is_link_local(one)] or found)
