"""The sections of a status that the engine knows."""

from collections import Counter

from discoveryd.protocol.histogram import LOSS_BOUNDS, Histogram
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.protocol.wire.messages import DEAF, NO_ECHO
from discoveryd.query.status import DropSourceStatus, EngineStatus, ImpairedPeer, LinkStatus, SecurityStatus

MOST_NAMED = 16
"""Peers that an error names, that are named as impaired or as having one address; and such addresses."""
LOSSY = 0.1
"""Share of its HELLOs that are lost, from which on a peer is named as impaired."""


def engine_status(node: Node, now: float) -> EngineStatus:
    """Return the sections that the engine knows."""
    interval, candidates = node.interval(now), node.introductions.candidates
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
        "links": _links(node, now),
        "peers": node.table.counts(now),
        "impaired": _impaired(node, now),
        "table": {
            "rows": len(node.table), "limit": node.table.limit,
            "routed": node.table.beyond(), "routed_limit": node.parameters.limits.routed,
        },
        "routed": {
            "peers": len(node.beyond.live), "former": len(node.beyond.former), "candidates": len(candidates),
            "named": candidates.named, "met": candidates.met, "refused": candidates.refused,
        },
        "sent": {
            kind: node.sent[kind] for kind in ("hello", "ping", "pong", "msg", "ack", "why", "say", "meet", "intro")
        },
        "received": node.received,
        "drops": [
            {"reason": reason, "link": link, "count": count} for (reason, link), count in sorted(node.drops.items())
        ],
        "drop_sources": _drop_sources(node, now),
        "events": node.table.event_counts,
        "rtt_s": node.rtts.to_json(),
        "loss": _losses(node, now).to_json(),
        "security": _security(node, now),
    }  # fmt: skip


def _links(node: Node, now: float) -> list[LinkStatus]:
    """Return the links in use; an error of sending, and ARP, are the driver's to add."""
    return [
        {
            "name": link_state.name,
            "family": link.family,
            "address": link.address,
            "prefix": link.prefix,
            "broadcast": link.broadcast,
            "every": link_state.every,
            "limited": link_state.limited,
            "other_addresses": len(node.others[link]),
            "up_s": round(now - link_state.since, 3),
            "sent": link_state.sent,
            "received": link_state.received,
            "last_heard_s": _age(link_state.last_heard, now),
            "echoed": link_state.echoed,
            "last_echo_s": _age(link_state.last_echo, now),
            "unechoed": link_state.unechoed,
            "misses_echo": node.outbox.expects_echo and link_state.misses_echo(now),
            "arp": None,
            "last_error": None,
        }
        for link, link_state in zip(node.links, node.outlets, strict=True)
    ]


def _age(moment: float | None, now: float) -> float | None:
    return None if moment is None else round(now - moment, 3)


def _drop_sources(node: Node, now: float) -> list[DropSourceStatus]:
    return [
        {
            "reason": reason, "address": source.address, "link": source.link, "detail": source.detail,
            "count": source.count, "last_s": round(now - source.last, 3),
        }
        for reason, source in node.rate_limits.drop_sources.latest()
    ]  # fmt: skip


def _impaired(node: Node, now: float) -> list[ImpairedPeer]:
    """Return the live peers that are not both heard well and known to hear this node."""
    found: list[ImpairedPeer] = []
    for row in node.table.rows(now):
        best = row.paths.best(now)
        is_deaf = DEAF in row.flags or NO_ECHO in row.flags
        if node.table.event_log.grace.spares(row, now):
            continue
        if best.two_way is False or row.unheard or is_deaf or (best.loss or 0.0) >= LOSSY:
            found.append({
                "id": row.id, "name": row.record.name if row.record else None, "address": best.address,
                "link": best.link, "two_way": best.two_way, "loss": None if best.loss is None else round(best.loss, 3),
                "hellos_arrive": not row.unheard, "hears_nobody": DEAF in row.flags,
                "hears_itself": NO_ECHO not in row.flags,
            })  # fmt: skip
    return found[:MOST_NAMED]


def _security(node: Node, now: float) -> SecurityStatus:
    """Return how many live peers seal with which key, and what became of unknown boots."""
    ring, asked = node.keyring, node.challenges
    peers = Counter(row.sealed_with for row in node.table.rows(now))
    return {
        "mode": ring.mode,
        "send_with": ring.send_with or None,
        "keys": [{"id": key.id, "peers": peers[key.id]} for key in ring.keys],
        "plain_peers": peers[""],
        "challenges": {
            "asked": asked.asked,
            "answered": asked.answered,
            "expired": asked.expired,
            "forgotten": asked.forgotten,
            "refused": asked.refused,
            "too_short": asked.too_short,
        },
        "withheld": node.credit.withheld,
    }


def _losses(node: Node, now: float) -> Histogram:
    """Return how many live peers lose how much, of those for which it is known."""
    losses = Histogram(LOSS_BOUNDS)
    for row in node.table.rows(now):
        loss = row.paths.best(now).loss
        if loss is not None:
            losses.observe(loss)
    return losses
