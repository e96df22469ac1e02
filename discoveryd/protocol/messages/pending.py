"""A message under way, its receivers, and how soon each of them is sent something again."""

from dataclasses import dataclass, field

from discoveryd.protocol.messages.values import Delivery, DeliveryStatus, OutgoingMessage, PeerFilter, Refusal, Target
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.table.liveness import NEVER, probes_needed
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.talk import ANSWER, ENDED, FREE_FILTER, MAX_PART, NOW, MessagePart

FIRST_GAP, LONGEST_GAP = 0.06, 1.0
"""Seconds from a datagram to the next one for the same receiver: they double, 60, 120, 240, 480 ms, up to the longest.
Once it was received they begin anew, with the second, until its handler has ended."""
SOON = 1.4
"""Seconds within which as many datagrams go to a receiver as the loss of its path demands, one after the other."""
P_LEFT_OUT = 1e-4
"""A receiver that is there is left out by then in at most one of so many messages, however many receivers there are."""
LEAST_GAP = 0.04
SPREAD, MOST_SPREAD = 0.001, 0.2
"""Seconds over which the receivers of a broadcast spread their acknowledgements: for each peer, and at most."""
ENOUGH = 8
"""Receivers by whose missing acknowledgements the loss is estimated."""
MOST_LOSS = 0.4
"""The greatest loss that is concluded from them: of a receiver that is gone all are missing."""


@dataclass(slots=True, eq=False)
class Recipient:
    """One receiver of a message.

    Attributes:
        row: the peer.
        has: bitmap of the parts that it has.
        is_begun: whether anything was sent to it, or to all.
        is_heard: whether it acknowledged anything.
        is_received: whether it has all.
        tries: how often something was sent to it.
        due: when it is sent something again; NEVER while that waits for the budget.
        answer: parts of its answer, by number.
        parts: how many that has, 0 while not known.
    """

    row: Row
    has: int = 0
    is_begun: bool = False
    is_heard: bool = False
    is_received: bool = False
    tries: int = 0
    due: float = NEVER
    answer: dict[int, bytes] = field(default_factory=dict)
    parts: int = 0


@dataclass(slots=True, eq=False)
class PendingMessage:
    """A message under way.

    Attributes:
        message: what was asked for.
        parts: its payload, cut.
        filter: the text that travels where it is broadcast, None where each receiver gets it alone.
        at: when it was given.
        left: the receivers without an end.
        total: how many there were.
        is_begun: whether it waits at no receiver for an earlier message.
        heard: how many receivers acknowledged anything.
        loss: as the acknowledgements that were missing told of it.
    """

    message: OutgoingMessage
    parts: list[bytes]
    filter: str | None
    at: float
    left: dict[Key, Recipient]
    total: int
    is_begun: bool = False
    heard: int = 0
    loss: float = 0.0

    @property
    def all_parts(self) -> int:
        """Bitmap of all parts."""
        return (1 << len(self.parts)) - 1

    def delivery(
        self, receiver: Recipient, status: DeliveryStatus, now: float, *, is_final: bool = True,
        reason: Refusal | None = None, answer: bytes | None = None,
    ) -> Delivery:  # fmt: skip
        """Note a change; a final one ends the receiver."""
        if is_final:
            self.left.pop(receiver.row.key, None)
        return Delivery(
            number=self.message.number, peer=receiver.row.peer(now), status=status, reason=reason, answer=answer,
            took_s=max(0.0, now - self.at), is_final=is_final, is_last=is_final and not self.left,
        )  # fmt: skip

    def datagram(self, outbox: Outbox, part: int, receiver: Recipient | None = None, *, is_last: bool) -> bytes:
        """Write a part; `is_last` of its round, so that it asks for an acknowledgement."""
        message = self.message
        flags = (ANSWER if message.is_question else "") + (ENDED if message.wants_handled else "")
        have = 0 if receiver is None else sum(1 << held for held in receiver.answer)
        return MessagePart(
            realm=outbox.parameters.realm, id=outbox.id, boot=outbox.boot, number=message.number,
            part=part, parts=len(self.parts), flags=flags + (NOW if is_last else ""), have=have,
            name="" if part else message.name, filter="" if part else self.filter or "", payload=self.parts[part],
        ).encode()  # fmt: skip

    def gap(self, receiver: Recipient, now: float) -> float:
        """Return the seconds until a receiver is sent something again: less where the loss of its path is great."""
        doubled: float = min(FIRST_GAP * 2.0 ** min(receiver.tries, 10), LONGEST_GAP)
        path = receiver.row.paths.best(now)
        if receiver.tries and self.total >= ENOUGH:  # the first datagram had its time
            missing = 1 - self.heard / self.total
            self.loss = max(self.loss, min(1 - (1 - missing) ** 0.5, MOST_LOSS))
        left = (probes_needed(max(path.loss_at_most or 0.0, self.loss), P_LEFT_OUT / self.total) or 0) - receiver.tries
        soon = self.at + SOON - now
        if receiver.is_received or left <= 0 or soon <= 0:
            return doubled
        return max(LEAST_GAP, 2 * (path.rtt or 0.0), min(doubled, soon / left))


def first_room(text: str) -> int:
    """Return the bytes of a payload that fit beside a filter."""
    return MAX_PART - max(0, len(text) - FREE_FILTER)


def cut(payload: bytes, text: str = "") -> list[bytes]:
    """Return the parts of a payload, of which the first is beside a filter."""
    first = first_room(text)
    return [payload[:first], *(payload[at : at + MAX_PART] for at in range(first, len(payload), MAX_PART))]


def receivers_of(target: Target, table: PeerTable, outbox: Outbox, now: float) -> list[Row]:
    """Return the rows that a message is for: live nodes that hear us, as far as is known."""
    named, asked = None if target.peers is None else set(target.peers), target.filter or PeerFilter()
    return [
        row
        for row in table.rows(now)
        if row.kind == "node"
        and (named is None or row.key in named)
        and (path := row.paths.best(now)).two_way is not False
        and outbox.reaches(path.source)
        and (asked.link is None or path.link == asked.link)
        and (asked.name is None or row.record is not None)
        and asked.accepts(row.name, *((row.record.tags, row.record.services) if row.record else ({}, ())))
    ]
