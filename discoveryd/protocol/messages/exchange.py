"""The room of the engine for messages: what is sent, what comes in, and one budget for both."""

from collections import Counter
from collections.abc import Callable

from discoveryd.protocol.messages.outgoing import Deliveries
from discoveryd.protocol.messages.pacer import Pacer
from discoveryd.protocol.messages.receipts import Receipts
from discoveryd.protocol.messages.values import Delivery, OutgoingMessage
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Handlers, Incoming, Outcome
from discoveryd.protocol.parameters import MessageLimits
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.talk import Ack, MessagePart


class Exchange:
    """Sends messages of this node, and takes those of others.

    Args:
        outbox: writes datagrams.
        table: the peers.
        rate_limits: refuses what is not of this group.
        understood: counts the datagrams heard, by kind.
        ask_now: has a path of a peer PINGed at once, if that was not just done.

    Attributes:
        deliveries: the messages of this node.
        receipts: those of others; its `refusal_of` has to be set by whatever takes them.
    """

    def __init__(
        self, outbox: Outbox, table: PeerTable, rate_limits: RateLimits, understood: Counter[str],
        ask_now: Callable[[Path, float], None],
    ) -> None:  # fmt: skip
        limits = outbox.parameters.messages
        self._outbox = outbox
        self._rate_limits = rate_limits
        self._understood = understood
        self._pacer = Pacer(limits.budget)
        self.deliveries = Deliveries(outbox, table, self._pacer)
        self.receipts = Receipts(outbox, table, self._pacer, limits.rate, ask_now)
        self.next_number = self.deliveries.next_number
        self.cancel = self.deliveries.cancel

    def set_limits(self, limits: MessageLimits) -> None:
        """Send and take so much from now on."""
        self._pacer.set_budget(limits.budget)
        self.receipts.set_rate(limits.rate)

    def send(self, message: OutgoingMessage, now: float) -> Outcome:
        """Send a message; the outcome has a `Delivery` for each receiver, and none where no peer is meant.

        Raises:
            QueryError: ``too_long`` or ``busy``; nothing was sent.
        """
        return self._outcome(now, deliveries=self.deliveries.send(message, now))

    def finish(self, key: tuple[str, int], status: str, answer: bytes | None, now: float) -> Outcome:
        """Note how the handler of an `IncomingMessage` ended: ``handled``, ``failed``, or why it is refused."""
        self.receipts.finish(key, status, answer, now)
        return self._outcome(now)

    def handlers(self) -> Handlers:
        """Return what hears each kind of message."""
        return {MessagePart: self.hear_part, Ack: self.hear_ack}

    def hear_part(self, part: MessagePart, incoming: Incoming, now: float) -> Outcome:
        """Take a MSG."""
        self._rate_limits.check_sender(part.realm, part.boot, incoming.source, now, part.id)
        messages = self.receipts.hear(part, incoming, now)
        self._understood["msg"] += 1
        return Outcome(sends=tuple(self._pacer.poll(now)), messages=tuple(messages))

    def hear_ack(self, ack: Ack, incoming: Incoming, now: float) -> Outcome:
        """Take an ACK."""
        self._rate_limits.check_sender(ack.realm, ack.boot, incoming.source, now)
        deliveries = self.deliveries.hear(ack, incoming, now)
        self._understood["ack"] += 1
        return Outcome(sends=tuple(self._pacer.poll(now)), deliveries=tuple(deliveries))

    def poll(self, now: float, heard: float, *, has_events: bool) -> Outcome:
        """Do what is due, knowing all that arrived until `heard`; with `has_events` peers may have gone."""
        if has_events:
            self.deliveries.peers_changed(now)
        return self._outcome(now, deliveries=self.deliveries.poll(now, heard))

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min(self.deliveries.next_due(), self._pacer.next_due())

    def _outcome(self, now: float, deliveries: list[Delivery] | None = None) -> Outcome:
        sends = self._outbox.release(self._pacer.poll(now), now)
        return Outcome(sends=sends, deliveries=tuple(deliveries or ())) if sends or deliveries else NOTHING
