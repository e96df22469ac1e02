"""What comes into the engine, and what a call of it led to, as immutable values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from discoveryd.frozen import frozen
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.messages.values import Delivery, IncomingMessage
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.wire.why import Say

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.envelope import Opened

LIMITED = "255.255.255.255"
"""All on a link, whatever their network."""

MessageKind = Literal["hello", "ping", "pong", "msg", "ack", "will", "why", "say", "meet", "intro"]
"""Kinds of datagrams, as they are counted."""


class Incoming(NamedTuple):
    """A datagram that came in, plain, whatever it came in.

    Attributes:
        datagram: plain.
        source: where it came from; where it was sealed, with the key and the boot that sealed it.
        size: bytes that came.
        opened: what else was in the envelope, None where there was none.
        is_known: whether it counts as it is; else the boot that sealed it has not proved to live, and it may be a
            recording.
        is_next: whether it was sealed, is a steady HELLO, and newer than any heard before.
    """

    datagram: bytes
    source: Source
    size: int
    opened: Opened | None = None
    is_known: bool = True
    is_next: bool = False


class Claim(NamedTuple):
    """The sender of a datagram, as the datagram names it.

    Attributes:
        source: where the datagram came from.
        key: id and boot.
        size: bytes that came from there; without end where the sender has proved to be there.
        solicits: whether it asks for our record.
    """

    source: Source
    key: Key = ("", "")
    size: float = NEVER
    solicits: bool = False


@frozen(kw_only=False)
class Send:
    """A datagram to send: to `to`, from the address of `link` (None: whatever the kernel chooses).

    With `limited` what is for the broadcast address of the link goes to 255.255.255.255 instead. `kind` says what it
    is, which a sealed datagram does not show. `port` is 0 where it is the one that all nodes have.
    """

    datagram: bytes
    link: Link | None
    to: str
    limited: bool = False
    kind: MessageKind = field(default="hello", compare=False)
    port: int = 0

    @property
    def is_to_all(self) -> bool:
        """Whether it goes to all that hear it on a link."""
        return self.link is not None and self.to in (self.link.broadcast, LIMITED)


@frozen
class Answer:
    """A PONG to one of our PINGs.

    Attributes:
        nonce: of the PING.
        rtt: seconds.
        hears_us_s: how long ago the peer last heard a HELLO of ours, None for never.
        peer: the peer that answered.
    """

    nonce: str
    rtt: float
    hears_us_s: float | None
    peer: Peer


@frozen
class Said:
    """A SAY to one of our questions.

    Attributes:
        say: the answer.
        address: of the node that answered.
        rtt: seconds.
    """

    say: Say
    address: str
    rtt: float


@frozen
class Drop:
    """The first datagram that a source had dropped for this reason."""

    reason: str
    detail: str
    address: str
    link: str


@frozen
class Outcome:
    """What a call led to: datagrams to send, events in their order, answers to PINGs, bad sources.

    Attributes:
        double: address of another node with our boot, because of which a new one was drawn; mostly empty.
        isolated: whether this node now is isolated (it has links, but most peers fell silent together);
            None where nothing has changed.
        deliveries: what became of messages of this node.
        messages: messages of others to be handled now; the end of each has to be told (`Exchange.finish`).
        said: answers to inquiries.
    """

    sends: tuple[Send, ...] = ()
    events: tuple[Event, ...] = ()
    answers: tuple[Answer, ...] = ()
    drops: tuple[Drop, ...] = ()
    double: str = ""
    isolated: bool | None = None
    deliveries: tuple[Delivery, ...] = ()
    messages: tuple[IncomingMessage, ...] = ()
    said: tuple[Said, ...] = ()


Handlers = dict[type, Callable[[Any, Incoming, float], Outcome]]
"""Kind of message -> what hears it, in a room of the engine."""
NOTHING = Outcome()
