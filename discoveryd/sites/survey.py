"""What a node knows first-hand, read from its engine for the exchange between sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from discoveryd.protocol.addresses import is_link_local
from discoveryd.protocol.table.peer import LIVE
from discoveryd.sites.row import encode_row, key_of
from discoveryd.sites.settings import GATEWAY_TAG
from discoveryd.sites.values import LocalRow, LocalState, Speaker, Survey

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.row import Row

SURVEY_GAP = 1.0
"""Seconds between two surveys while nothing happens; after an event one follows at once. How fresh the word of a
gateway is, another node of its site can tell to within this time and one interval of HELLOs."""
MAX_GONE = 256
"""Peers that are gone of which other sites are told, the latest."""


class Surveyor:
    """Reads the table of a node. Give `survey` to `Discovery.look`: it is short, for most rows have not changed.

    Args:
        site: of this node.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self._texts: dict[tuple[str, str], tuple[object, LocalRow]] = {}
        self._told: object = None

    def survey(self, node: Node, now: float) -> Survey:
        """Return what the node knows at this moment."""
        speakers, rows, state, elsewhere = [], [], [], []
        for row in node.table.rows(now):
            site = row.record.tags.get(GATEWAY_TAG) if row.record is not None else None
            if site is not None and site != self._site:
                elsewhere.append(row.id)
                continue
            rows.append(row)
            state.append((row.key, row.stamp))
            if site is not None:
                speakers.append(Speaker(row.id, row.boot, row.seq, row.last_heard))
        gone = node.table.event_log.counts["down"] + node.table.event_log.counts["left"]
        told = (state, gone, node.boot, node.record, node.links)
        found = None if told == self._told else self._rows(node, rows, now)
        self._told = told
        return Survey(found, tuple(speakers), node.seq, node.is_isolated(now), frozenset(elsewhere))

    def _rows(self, node: Node, rows: list[Row], now: float) -> tuple[LocalRow, ...]:
        kept = {row.key: self._kept(row, now) for row in rows}
        self._texts = kept
        gone = [row for row in node.table.rows(now, gone=True) if row.state not in LIVE]
        lately = sorted(gone, key=lambda row: row.last_heard)[-MAX_GONE:]
        ends = [LocalRow(key_of(*row.key), _state(row), "") for row in lately]
        return (self._own(node, now), *(row for _, row in kept.values()), *ends)

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
        heard = {path.link for row in node.table.rows(now) for path in row.paths.values()}
        links = [link for link in node.links if link.name in heard] or node.links
        record, keyring = node.record, node.keyring
        clone = any(row.id == node.id for row in node.table.of_id(node.id))
        addresses = _beyond(link.address for link in links)
        text = encode_row(record.name, addresses, record.tags, record.services, keyring.sends, clone=clone)
        return LocalRow(key_of(node.id, node.boot), "up", text)


_NONE: Mapping[str, str] = {}


def _state(row: Row) -> LocalState:
    return "left" if row.state == "left" else "down"


def _beyond(addresses: object) -> tuple[str, ...]:
    """Return the addresses that mean something elsewhere, always in the same order; if there are none, all."""
    found = sorted(set(addresses), key=lambda one: (":" in one, one))  # type: ignore[call-overload]
    return tuple([one for one in found if not is_link_local(one)] or found)
