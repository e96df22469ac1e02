"""The status of a node as a typed value: what ``discoveryctl status --json``, the metrics and the findings are made of.

It is JSON as it stands (docs/query.md says what each key means): the daemon fills it in, a client reads the same type
out of a reply. `discoveryd.query.engine_status` makes the sections that the engine knows, `discoveryd.runtime.status`
the others.
"""

from typing import Any, TypedDict

from discoveryd.protocol.table.peer import EventKind, State
from discoveryd.query.messages import MessageStatus


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
    family: str
    address: str
    prefix: int
    broadcast: str
    every: int
    limited: bool
    other_addresses: int
    up_s: float
    sent: int
    received: int
    last_heard_s: float | None
    echoed: int
    last_echo_s: float | None
    unechoed: int
    misses_echo: bool
    arp: bool | None
    last_error: str | None


class TableStatus(TypedDict):
    """The rows of the table."""

    rows: int
    limit: int
    routed: int
    routed_limit: int


class RoutedStatus(TypedDict):
    """Peers beyond the links, and nodes there that were named by peers, or knocked."""

    peers: int
    former: int
    candidates: int
    named: int
    met: int
    refused: int


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


class ImpairedPeer(TypedDict):
    """A live peer that does not hear this node, is heard badly, or by its answers alone."""

    id: str
    name: str | None
    address: str
    link: str
    two_way: bool | None
    loss: float | None
    hellos_arrive: bool
    hears_nobody: bool
    hears_itself: bool


class FindingStatus(TypedDict):
    """Something that looks wrong."""

    code: str
    severity: str
    certainty: str
    title: str
    text: str
    subject: str
    evidence: dict[str, Any]
    remedy: list[str]
    since_s: float | None


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
    impaired: list[ImpairedPeer]
    table: TableStatus
    routed: RoutedStatus
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


class IcmpStatus(TypedDict):
    """An ICMP message about datagrams of this node that did not arrive, and its sender."""

    target: str
    sender: str
    type: int
    code: int
    count: int
    last_s: float


class SendError(TypedDict):
    """A broadcast address or seed to which nothing can be sent now."""

    link: str
    target: str
    error: str


class FamilyStatus(TypedDict):
    """A family of addresses that is to be spoken, and why it is not, None where it is or the machine has none."""

    family: str
    error: str | None


class UnlinkedStatus(TypedDict):
    """An address on an interface without broadcast, and why there is none."""

    name: str
    address: str
    prefix: int
    reason: str


class SeedAddress(TypedDict):
    """An address of a seed, and how long ago a peer was heard there."""

    address: str
    heard_s: float | None


class SeedStatus(TypedDict):
    """A seed: ``answers``, ``silent``, ``here`` (this node), ``resolving`` or ``unresolved``."""

    seed: str
    state: str
    addresses: list[SeedAddress]
    error: str | None
    next_try_s: float | None


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
    families: list[FamilyStatus]
    unlinked: list[UnlinkedStatus]
    seeds: list[SeedStatus]
    rp_filter: RpFilter
    send_errors: list[SendError]
    icmp: list[IcmpStatus]
    receive_buffer: ReceiveBuffer
    scan_error: str | None
    flooded: bool
    firewalls: list[str]
    messages: MessageStatus
    last_will: WillStatus
    query: QueryStatus
    metrics: MetricsStatus
    findings: list[FindingStatus]
