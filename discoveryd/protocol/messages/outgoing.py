"""The sender's side: each message goes out once to all, then to each that did not acknowledge it, until it did.

All reliability is the sender's: a receiver answers what comes, and what is lost on the way back is asked for again. A
message waits at each receiver until those before it have arrived there, so each receiver gets what one sender says in
its order, and none waits for another.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial

from discoveryd.errors import QueryError, WireError
from discoveryd.protocol.link import LinkState
from discoveryd.protocol.messages.pacer import Pacer
from discoveryd.protocol.messages.pending import (
    FIRST_GAP,
    LONGEST_GAP,
    MOST_SPREAD,
    SPREAD,
    PendingMessage,
    Recipient,
    cut,
    first_room,
    receivers_of,
)
from discoveryd.protocol.messages.values import (
    MAX_PAYLOAD,
    REFUSALS,
    STATUS_OF,
    Delivery,
    DeliveryStatus,
    OutgoingMessage,
    Refusal,
)
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Incoming, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import mark
from discoveryd.protocol.wire.talk import MAX_FILTER, MAX_PART, Ack

MAX_PENDING = 64
"""Messages of this node that are under way; one more is refused (``busy``)."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Bytes of answers that are coming in, of all messages; past it an answer counts as refused (``too-long``)."""
LOOK = 1e-5
"""Seconds between two looks at the receivers, for each of them."""


class Deliveries:
    """The messages of this node under way, and their receivers.

    Args:
        outbox: writes datagrams.
        table: the peers.
        pacer: sends.

    Attributes:
        counts: of messages, and of their ends at each receiver.
    """

    def __init__(self, outbox: Outbox, table: PeerTable, pacer: Pacer) -> None:
        self._outbox = outbox
        self._table = table
        self._pacer = pacer
        self.counts: Counter[str] = Counter()
        self._pending: dict[int, PendingMessage] = {}  # in the order in which they were given
        self._due = NEVER  # never later than something is to be done
        self._last_number = 0
        self._answer_bytes = 0  # of answers that are not whole

    def __len__(self) -> int:
        """Return the number of messages under way."""
        return len(self._pending)

    def next_number(self) -> int:
        """Return the number of the next message."""
        self._last_number += 1
        return self._last_number

    # --- to send ----------------------------------------------------------------------------------

    def send(self, message: OutgoingMessage, now: float) -> list[Delivery]:
        """Take a message to be sent; return its receivers, and those that cannot have it.

        Raises:
            QueryError: ``too_long`` or ``busy``; nothing was sent.
        """
        rows = receivers_of(message.target, self._table, self._outbox, now)
        self._check(message, rows)
        text = "" if message.target.filter is None else message.target.filter.encode()
        # where the filter leaves no room for the payload, each receiver gets the message alone
        takes_filter = len(text) <= MAX_FILTER and (
            len(message.payload) <= first_room(text) or all(row.sealed_with for row in rows)
        )
        # a link does not travel: a broadcast would reach, and be handled by, whatever else hears it
        is_of_link = message.target.filter is not None and message.target.filter.link is not None
        is_to_all = message.target.peers is None and takes_filter and not is_of_link
        pending = PendingMessage(
            message, cut(message.payload, text if is_to_all else ""), text if is_to_all else None, now,
            {row.key: Recipient(row) for row in rows}, len(rows),
        )  # fmt: skip
        receivers = list(pending.left.values())
        self.counts["sent"] += 1
        deliveries = [pending.delivery(receiver, "sent", now, is_final=False) for receiver in receivers]
        if len(pending.parts) > 1:
            plain = [receiver for receiver in receivers if not receiver.row.sealed_with]
            deliveries += [self._end(pending, receiver, "refused", now, reason="too-long") for receiver in plain]
        if pending.left:
            self._pending[message.number] = pending
            self._begin(now)
            self._due = min(self._due, now + message.timeout)
        return deliveries

    def cancel(self, number: int) -> None:
        """Forget a message: nothing more is sent or told of it."""
        if number in self._pending:
            left = self._pending.pop(number).left
            self._answer_bytes -= sum(len(part) for receiver in left.values() for part in receiver.answer.values())
            left.clear()
            self._due = -NEVER  # others may have waited for it

    def _check(self, message: OutgoingMessage, rows: list[Row]) -> None:
        if rows and len(message.payload) > MAX_PART and not any(row.sealed_with for row in rows):
            sizes = f"{len(message.payload)} bytes, at most {MAX_PART} where nothing is sealed"
            raise QueryError("too_long", f"the payload has {sizes}; with keys {MAX_PAYLOAD} (discoveryd keygen)")
        if len(self._pending) >= MAX_PENDING:
            raise QueryError("busy", f"{MAX_PENDING} messages are under way: wait for one of them")

    # --- what comes back --------------------------------------------------------------------------

    def hear(self, ack: Ack, incoming: Incoming, now: float) -> list[Delivery]:
        """Take an acknowledgement; return what it changes.

        Raises:
            WireError: ``malformed``; ``unproven``; ``downgrade``; ``unexpected``: of no message of ours, or from an
                address that its sender does not have.
        """
        source, status = incoming.source, STATUS_OF.get(ack.status)
        if status is None:
            raise WireError("malformed", f"status {ack.status!r}")
        if ack.to != mark(self._outbox.id, self._outbox.boot) or ack.number > self._last_number:
            raise WireError("unexpected", "an acknowledgement of no message of this node")
        rows = [row for row in self._table.of_boot(ack.boot) if row.paths.of(source)]
        if not incoming.is_known or not any(row.state_at(now) in LIVE for row in rows):
            raise WireError("unproven", "an acknowledgement of no live peer, or from another address than its own")
        if not source.key and any(row.sealed_with for row in rows):
            raise WireError("downgrade", f"{rows[0].id} seals, and this is plain")
        pending = self._pending.get(ack.number)
        for row in rows:
            receiver = pending.left.get(row.key) if pending else None
            if pending and receiver is not None and receiver.row is row:
                deliveries = self._take(pending, receiver, ack, status, now)
                self._begin(now)  # others may have waited for this receiver
                return deliveries
        return []  # it is late, or of a peer that joined meanwhile

    def _take(
        self, pending: PendingMessage, receiver: Recipient, ack: Ack, status: str, now: float
    ) -> list[Delivery]:
        message = pending.message
        wants_end = message.is_question or message.wants_handled
        pending.heard += not receiver.is_heard
        receiver.is_heard = True
        receiver.has |= ack.bitmap & pending.all_parts
        refusal = next((reason for reason in REFUSALS if reason == status), None)
        if refusal is not None and (refusal != "failed" or wants_end):
            return [self._end(pending, receiver, "refused", now, reason=refusal)]
        if receiver.has != pending.all_parts:
            if receiver.due < NEVER:
                self._send_parts(pending, receiver, pending.all_parts & ~receiver.has, now)
            return []
        if not wants_end:
            return [self._end(pending, receiver, "acked", now)]
        if status == "handled" and not message.is_question:
            return [self._end(pending, receiver, "handled", now)]
        is_first, receiver.is_received = not receiver.is_received, True
        if status == "handled" and (answered := self._take_answer(pending, receiver, ack, now)):
            return [answered]
        if is_first or receiver.answer:
            receiver.tries = 0 if receiver.answer else 1  # an end that is lost is asked for soon
        if receiver.due < NEVER:
            self._wait(receiver, now + pending.gap(receiver, now))
        if not is_first:
            return []
        return [pending.delivery(receiver, "acked", now, is_final=False)]

    def _take_answer(self, pending: PendingMessage, receiver: Recipient, ack: Ack, now: float) -> Delivery | None:
        if ack.part >= ack.parts or ack.parts != (receiver.parts or ack.parts):  # forgotten there meanwhile
            return self._end(pending, receiver, "refused", now, reason="failed")
        receiver.parts = ack.parts
        if ack.part not in receiver.answer:
            if self._answer_bytes + len(ack.payload) > MAX_ANSWER_BYTES:
                return self._end(pending, receiver, "refused", now, reason="too-long")
            self._answer_bytes += len(ack.payload)
            receiver.answer[ack.part] = ack.payload
        if len(receiver.answer) < receiver.parts:
            return None
        answer = b"".join(receiver.answer[part] for part in range(receiver.parts))
        if len(answer) > MAX_PAYLOAD:
            return self._end(pending, receiver, "refused", now, reason="too-long")
        return self._end(pending, receiver, "answered", now, answer=answer)

    def _end(
        self, pending: PendingMessage, receiver: Recipient, status: DeliveryStatus, now: float, *,
        reason: Refusal | None = None, answer: bytes | None = None,
    ) -> Delivery:  # fmt: skip
        self.counts[status] += 1
        if reason is not None:
            self.counts[f"refused {reason}"] += 1
        delivery = pending.delivery(receiver, status, now, reason=reason, answer=answer)
        if delivery.is_last:
            self._pending.pop(pending.message.number, None)
        self._answer_bytes -= sum(map(len, receiver.answer.values()))
        return delivery

    # --- time -------------------------------------------------------------------------------------

    def poll(self, now: float, heard: float) -> list[Delivery]:
        """Send again what is due, and end what is over; until `heard` all that arrived was given.

        A receiver is down where the table says so, which has just judged; its time is over when all was read.
        """
        if now < self._due:
            return []
        ended: list[Delivery] = []
        walked = 0
        for pending in list(self._pending.values()):
            is_over = heard >= pending.at + pending.message.timeout
            walked += len(pending.left)
            for receiver in list(pending.left.values()):
                row = receiver.row
                if self._table.get(*row.key) is not row or row.is_replaced or row.state not in LIVE:
                    ended.append(self._end(pending, receiver, "down", now))
                elif is_over:
                    ended.append(self._end(pending, receiver, "timeout", now))
                elif receiver.due <= now:
                    missing = pending.all_parts & ~receiver.has
                    is_blind = receiver.is_received or not receiver.is_heard  # the answer will tell what it has
                    self._send_parts(pending, receiver, 1 if is_blind else missing, now)
        self._begin(now)
        earliest = min(
            (
                min(pending.at + pending.message.timeout, *(receiver.due for receiver in pending.left.values()))
                for pending in self._pending.values()
            ),
            default=NEVER,
        )
        # where there are thousands of receivers, not each moment: to look at each takes some microseconds
        self._due = max(earliest, now + LOOK * walked) if earliest > now else earliest
        return ended

    def peers_changed(self, now: float) -> None:
        """Note that peers may have gone."""
        if self._pending:
            self._due = min(self._due, now)

    def next_due(self) -> float:
        """Return when `poll` has something to do."""
        return self._due

    # --- datagrams --------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Begin each message: at once to all where it waits for no other, else to each receiver as it is free."""
        if all(pending.is_begun for pending in self._pending.values()):
            return
        unfinished: set[Key] = set()
        for pending in self._pending.values():
            waiting = [] if pending.is_begun else [one for one in pending.left.values() if not one.is_begun]
            free = [receiver for receiver in waiting if receiver.row.key not in unfinished]
            pending.is_begun = len(free) == len(waiting)
            if not pending.is_begun:  # a receiver that does not answer holds up what comes after it for itself alone
                pending.filter = None
            self._send_first(pending, free, now)
            unfinished |= {key for key, receiver in pending.left.items() if not receiver.is_received}

    def _send_first(self, pending: PendingMessage, free: list[Recipient], now: float) -> None:
        by_link: dict[LinkState | None, list[Recipient]] = {}
        for receiver in free:
            receiver.is_begun = True
            link = receiver.row.paths.best(now).source.link if pending.filter is not None else None
            by_link.setdefault(self._outbox.links.get(link) if link else None, []).append(receiver)
        for receiver in by_link.pop(None, []):
            self._send_parts(pending, receiver, pending.all_parts, now)
        for state, receivers in by_link.items():
            for part in range(len(pending.parts)):
                if not self._pacer.add(now, partial(self._write_to_all, pending, state, receivers, part)):
                    self._wait_all(receivers, now + LONGEST_GAP, tries=0)
                    break

    def _write_to_all(
        self, pending: PendingMessage, state: LinkState | None, receivers: list[Recipient], part: int, now: float
    ) -> Iterable[Send]:
        left = [receiver for receiver in receivers if receiver.row.key in pending.left]
        if state is None or state.link not in self._outbox.links:  # gone meanwhile: each has other paths, or none
            self._wait_all(left, now, tries=0)
            return ()
        if not left:
            return ()
        if part == len(pending.parts) - 1:
            wait = min(SPREAD * self._table.live_count(now), MOST_SPREAD) + FIRST_GAP
            self._wait_all(left, now + wait)
        datagram = pending.datagram(self._outbox, part, is_last=part == len(pending.parts) - 1)
        return self._outbox.by(state, datagram, limited=True, kind="msg", only_sealed=len(pending.parts) > 1)

    def _send_parts(self, pending: PendingMessage, receiver: Recipient, wanted: int, now: float) -> None:
        """Send one receiver some parts, as soon as the budget allows it."""
        parts = [part for part in range(len(pending.parts)) if wanted >> part & 1]
        receiver.due = NEVER
        for part in parts:
            if not self._pacer.add(now, partial(self._write, pending, receiver, part, is_last=part == parts[-1])):
                self._wait(receiver, now + LONGEST_GAP, tries=0)
                return

    def _write(
        self, pending: PendingMessage, receiver: Recipient, part: int, now: float, *, is_last: bool
    ) -> Iterable[Send]:
        row = receiver.row
        if row.key not in pending.left:
            return ()
        if is_last:
            self._wait(receiver, now + pending.gap(receiver, now))
        paths = [path for path in row.paths.fresh(now) if self._outbox.reaches(path.source)]
        if not paths:
            return ()
        source = paths[receiver.tries % len(paths)].source
        datagram = pending.datagram(self._outbox, part, receiver, is_last=is_last)
        return (self._outbox.unicast(datagram, source, row.boot, kind="msg"),)

    def _wait_all(self, receivers: Iterable[Recipient], due: float, tries: int = 1) -> None:
        for receiver in receivers:
            self._wait(receiver, due, tries)

    def _wait(self, receiver: Recipient, due: float, tries: int = 1) -> None:
        receiver.tries += tries
        receiver.due = due
        self._due = min(self._due, due)
