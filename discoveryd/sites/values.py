"""What goes into the engine of the sites, and what comes out, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from discoveryd.frozen import frozen
from discoveryd.protocol.wire.messages import GoodbyeReason

LocalState = Literal["up", "down", "died", "left"]
SiteEventKind = Literal[
    "site-back", "site-unreachable", "joined", "updated", "restarted", "down", "left", "unknown", "gateway"
]


class LocalRow(NamedTuple):
    """A first-hand peer of this node, or this node itself, as `discoveryd.sites.survey` reads it.

    Attributes:
        key: id and boot, with a blank between them.
        state: ``up`` also for a peer that is suspect; while the table remembers it ``left``, ``died`` where its machine
            said that no discoveryd listens there any more, ``down`` where it only fell silent.
        text: what other sites are told of it (`discoveryd.sites.row`).
        reason: of its goodbye, where it left.
    """

    key: str
    state: LocalState
    text: str
    reason: GoodbyeReason = "stop"


class Speaker(NamedTuple):
    """A live node of our site that can be a gateway.

    Attributes:
        id: of the node.
        boot: of the node.
        seq: of the last HELLO that was heard from it.
        heard: when that was; a later PONG does not count.
        gap: seconds from one HELLO to the next, more where the next is late.
    """

    id: str
    boot: str
    seq: int
    heard: float
    gap: float


class Survey(NamedTuple):
    """What a node knows first-hand, at one moment.

    Attributes:
        rows: those of its own site, this node included; None where nothing has changed since the last survey.
        speakers: the other nodes that can be gateways.
        seq: of the last HELLO of this node.
        is_isolated: whether this node is cut off from its own site: it then speaks for no peer.
        elsewhere: ids of nodes of other sites that this node hears itself.
        boot: of this node, empty for as before.
        name: of this node, empty for as before.
    """

    rows: tuple[LocalRow, ...] | None
    speakers: tuple[Speaker, ...] = ()
    seq: int = 0
    is_isolated: bool = False
    elsewhere: frozenset[str] = frozenset()
    boot: str = ""
    name: str = ""


@frozen(kw_only=False)
class Publish:
    """Publish a payload. Where that cannot be done at once it must not be done later: what is late is false."""

    subject: str
    payload: bytes


@frozen(kw_only=False)
class Subscribe:
    """Subscribe to a subject; nothing to do where that is so already."""

    subject: str


@frozen(kw_only=False)
class Unsubscribe:
    """End a subscription; nothing to do where there is none."""

    subject: str


@frozen(kw_only=False)
class SiteEvent:
    """Something happened in another site, or (``gateway``) this node begins or ceases to speak for its own.

    Attributes:
        kind: ``site-back`` and ``site-unreachable`` are told once for the site; the others are about one peer.
        site: name of the site.
        peer: the peer as JSON, after the change; None where the event is about the site.
        reason: a clause for people.
        former: of a peer that restarted the boot that this one replaces, of which nothing more is told; else empty.
    """

    kind: SiteEventKind
    site: str
    peer: Mapping[str, Any] | None
    reason: str
    former: str = ""


@frozen(kw_only=False)
class SiteQuestion:
    """A question of another site to this one, which came sealed: answer it by `SiteEngine.answer`, or leave it.

    Attributes:
        number: names the question to `SiteEngine.answer`.
        site: that asks.
        asker: id of the node that asks.
        body: opaque here.
    """

    number: str
    site: str
    asker: str
    body: bytes


@frozen(kw_only=False)
class SiteAnswer:
    """The answer to a question of this node.

    Attributes:
        number: that `SiteEngine.ask` returned.
        site: that answers.
        body: opaque here.
    """

    number: str
    site: str
    body: bytes


SiteOutput = Publish | Subscribe | Unsubscribe | SiteEvent | SiteQuestion | SiteAnswer
