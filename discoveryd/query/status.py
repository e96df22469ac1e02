"""The status of a node as a typed value: what ``discoveryctl status --json``, the metrics and the findings are made of.

It is JSON as it stands (docs/query.md says what each key means): the daemon fills it in, a client reads the same type
out of a reply. `engine_status` makes the sections that the engine knows; `discoveryd.runtime.status` adds the others.
"""

from collections import Counter
from typing import Any, TypedDict

from discoveryd.protocol.histogram import LOSS_BOUNDS, Histogram
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import SCHEMA, EventKind, State
from discoveryd.query.messages import MessageStatus

MOST_NAMED = 16
"""Peers that an error names, or that are named as having one address; and such addresses."""


class NodeStatus(TypedDict):
    """The node itself."""

    id: str
    name: str
    boot: str
    realm: str
    tags: dict[str, str]
    services: list[dict[str, Any]]


class HelloStatus(TypedDict):
    """How it speaks now."""

    port: int
    interval_s: float
    ttl_s: float


class SharedAddress(TypedDict):
    """An address that several live nodes have."""

    address: str
    link: str
    ids: list[str]


class NewBoots(TypedDict):
    """New boots that were drawn because another node had ours."""

    count: int
    address: str


class LinkStatus(TypedDict):
    """A link in use."""

    name: str
    address: str
    prefix: int
    broadcast: str
    limited: bool
    other_addresses: int
    up_s: float
    sent: int
    received: int
    last_heard_s: float | None
    echoed: int
    last_echo_s: float | None
    last_error: str | None


class TableStatus(TypedDict):
    """The rows of the table."""

    rows: int
    limit: int
    routed: int
    routed_limit: int


class DropStatus(TypedDict):
    """Datagrams dropped for one reason on one link."""

    reason: str
    link: str
    count: int


class DropSourceStatus(TypedDict):
    """An address from which datagrams were dropped for one reason, and what it said last."""

    reason: str
    address: str
    link: str
    detail: str
    count: int
    last_s: float


class ChallengeCounts(TypedDict):
    """Questions to unknown boots."""

    asked: int
    answered: int
    expired: int
    forgotten: int
    refused: int
    too_short: int


class KeyStatus(TypedDict):
    """A key, and the live peers that seal with it."""

    id: str
    peers: int


class SecurityStatus(TypedDict):
    """Keys and proofs."""

    mode: str
    send_with: str | None
    keys: list[KeyStatus]
    plain_peers: int
    challenges: ChallengeCounts
    withheld: int


class EngineStatus(TypedDict):
    """The sections that the engine knows."""

    ok: bool
    schema: int
    node: NodeStatus
    hello: HelloStatus
    isolated: bool
    shared_addresses: list[SharedAddress]
    clones: list[str]
    new_boots: NewBoots
    links: list[LinkStatus]
    peers: dict[State, int]
    table: TableStatus
    sent: dict[str, int]
    received: dict[str, int]
    drops: list[DropStatus]
    drop_sources: list[DropSourceStatus]
    events: dict[EventKind, int]
    rtt_s: dict[str, Any]
    loss: dict[str, Any]
    security: SecurityStatus


class Outsider(TypedDict):
    """A neighbour with another prefix than ours."""

    link: str
    address: str
    ours: str
    in_our_network: bool
    listed: bool
    two_way: bool | None


class FilteredLink(TypedDict):
    """An interface where the reverse path filter is in force."""

    link: str
    mode: int


class RpFilter(TypedDict):
    """What the kernel's reverse path filter drops."""

    dropped: int
    links: list[FilteredLink]


class SendError(TypedDict):
    """A broadcast address or seed to which nothing can be sent now."""

    link: str
    target: str
    error: str


class ReceiveBuffer(TypedDict):
    """The receive buffer; and whether quiet HELLOs have one of their own, and so wake nobody."""

    bytes: int
    wanted: int
    quiet: bool


class WillStatus(TypedDict):
    """What is sent should this process die, and whether a witness is there to do it."""

    witness: str
    datagrams: int


class QueryStatus(TypedDict):
    """The query socket."""

    connections: int
    limit: int
    watchers: int
    refused: int
    denied: int
    error: str | None
    next_try_s: float | None
    registrations: int


class MetricsStatus(TypedDict):
    """The metrics page."""

    requests: int
    refused: int
    error: str | None
    next_try_s: float | None


class Status(EngineStatus):
    """All sections but those of the parts of the daemon, which come under keys of their own."""

    version: str
    uptime_s: float
    engine_s: float
    outside: list[Outsider]
    rp_filter: RpFilter
    send_errors: list[SendError]
    receive_buffer: ReceiveBuffer
    scan_error: str | None
    messages: MessageStatus
    last_will: WillStatus
    query: QueryStatus
    metrics: MetricsStatus


def engine_status(node: Node, now: float) -> EngineStatus:
    """Return the sections that the engine knows."""
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
        "links": _links(node, now),
        "peers": node.table.counts(now),
        "table": {
            "rows": len(node.table), "limit": node.table.limit,
            "routed": node.table.beyond(), "routed_limit": node.parameters.limits.routed,
        },
        "sent": {kind: node.sent[kind] for kind in ("hello", "ping", "pong", "msg", "ack")},
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
    """Return the links in use; an error of sending is the driver's to add."""
    return [
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
            "last_heard_s": _age(link_state.last_heard, now),
            "echoed": link_state.echoed,
            "last_echo_s": _age(link_state.last_echo, now),
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
