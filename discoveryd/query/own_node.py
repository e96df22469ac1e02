"""This node in the shape of a peer, for lists that include it."""

from __future__ import annotations

from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import Peer
from discoveryd.query.request import Filter


def own_peer(node: Node, now: float, uptime: float, link: str | None = None) -> Peer:
    """Return this node as its peers would list it: up, heard just now.

    Args:
        node: the engine.
        now: the time.
        uptime: seconds since its start.
        link: its address comes first; None for any. Without a link there is no address.
    """
    # an address of IPv6 is a link-local one, which most programs cannot use
    ours = sorted(node.links, key=lambda one: (link is not None and one.name != link, ":" in one.address))
    addresses = tuple(dict.fromkeys(one.address for one in ours))
    interval = node.interval(now)
    ttl, keyring = node.ttl(interval), node.keyring
    return Peer(
        id=node.id, name=node.record.name, state="up", kind="node", address=addresses[0] if addresses else "",
        addresses=addresses, link=ours[0].name if ours else "", boot=node.boot, services=node.record.services,
        tags=node.record.tags, first_seen_s=uptime, last_heard_s=0.0, expires_s=ttl, interval_s=round(interval, 3),
        ttl_s=round(ttl, 3), rtt_ms=None, loss=None, two_way=None, restarts=0,
        clone=any(row.is_shown and now < row.expires for row in node.table.of_id(node.id)),
        key=keyring.send_with or None if keyring.mode != "off" else None,
    )  # fmt: skip


def chosen_own(node: Node, chosen: Filter, now: float, uptime: float) -> Peer | None:
    """Return this node in the shape of a peer if a filter accepts it."""
    own = own_peer(node, now, uptime, chosen.link)
    return own if chosen.accepts(own) else None
