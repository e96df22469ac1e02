"""Neighbours with another prefix than ours, and the filter that hides them, as ``status`` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from discoveryd.net.rp_filter import dropped, mode_of
from discoveryd.net.transport import Outside
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.status import Outsider, RpFilter

MOST_NAMED = 64
"""Neighbours that are named."""


def outsiders(node: Node, now: float, found: Mapping[tuple[str, int], Outside]) -> list[Outsider]:
    """Return the neighbours outside our networks, and the peers within that have another broadcast address.

    Args:
        node: the engine, with the peers.
        now: the time.
        found: the neighbours heard from outside, by address and interface.
    """
    paths = {
        (path.source.link, path.address): path
        for row in (node.table.rows(now) if found else ())
        for path in row.paths.values()
        if row.state_at(now) in LIVE
    }
    outside = [
        _told(address, link, paths.get((link, address)), in_our_network=False)
        for (address, _), (link, *_) in found.items()
        if not node.limited.is_aside(link, address, now)
    ]
    within = [
        _told(path.address, link, path, in_our_network=True)
        for link in node.links
        for path in node.limited.others(link, now)
    ]
    return sorted(islice((*outside, *within), MOST_NAMED), key=lambda one: (one["address"], one["link"]))


def _told(address: str, link: Link, path: Path | None, *, in_our_network: bool) -> Outsider:
    return {
        "link": link.name,
        "address": address,
        "ours": f"{link.address}/{link.prefix}",
        "in_our_network": in_our_network,
        "listed": path is not None,
        "two_way": None if path is None else path.two_way,
    }


def filtered(interfaces: Iterable[str], before: int) -> RpFilter:
    """Return what the kernel's reverse path filter dropped, and on which of our interfaces it is in force.

    Args:
        interfaces: ours.
        before: what it had dropped when we started.
    """
    modes = {name: mode_of(name) for name in interfaces}
    return {
        "dropped": max(0, dropped() - before),
        "links": [{"link": name, "mode": mode} for name, mode in sorted(modes.items()) if mode],
    }
