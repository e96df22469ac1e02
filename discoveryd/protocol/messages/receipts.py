"""The receiver's side: parts become messages, each is handed out once, and what became of it is acknowledged.

A receiver keeps no timers for a message: it acknowledges what comes, once more where it comes once more, and says then
what is true by now. For each sender it remembers the last numbers, so that nothing is handed out twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import TokenBuckets, put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.messages.pacer import Pacer
from discoveryd.protocol.messages.pending import MOST_SPREAD, SPREAD, cut
from discoveryd.protocol.messages.values import LETTERS, MAX_PAYLOAD, IncomingMessage, read_filter
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Incoming, Send
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import mark
from discoveryd.protocol.wire.talk import ANSWER, ENDED, MAX_PART, NOW, Ack, MessagePart

WINDOW = 128
"""Numbers of one sender that are remembered with what became of them."""
MAX_SENDERS = 1024
"""Senders with remembered numbers; past it those of the one that was silent longest are forgotten."""
MAX_RUNNING, MAX_RUNNING_OF_ONE = 16, 8
"""Messages with a handler that has not ended, of all senders and of one; one more is refused (``busy``)."""
MAX_ASSEMBLED, MAX_ASSEMBLED_OF_ONE = 64, 8
"""Messages of which parts are missing, of all senders and of one; a part of one more is dropped, and comes again."""
ASSEMBLED_FOR = 10.0
"""Seconds without a new part after which the parts of a message are forgotten."""
MAX_ANSWERS = 4 * 1024 * 1024
KEPT_FOR = 30.0
"""Bytes of all answers that are kept to be asked for again, and seconds for each; past that the first is forgotten."""
FROM_ALL = 1e9
"""Messages a second of all senders together: those of each are bounded, and so are the senders."""


@dataclass(slots=True, eq=False)
class Receipt:
    """What is known of one message.

    Attributes:
        key: boot of its sender and number.
        id: of the sender.
        source: where its last datagram came from: there the acknowledgement goes.
        parts: how many it has.
        name: of the message; empty until its part 0 is here.
        filter: the nodes it is for.
        flags: what its sender wants.
        room: bytes that the answer may have.
        chunks: the parts that are here, until it is whole.
        has: bitmap of them.
        status: what became of it; ``received`` as long as it is not known.
        changed: when a part came, or its answer.
        is_whole: whether all parts came, or need not come.
        answer: its parts; None where there is none, or it is forgotten.
        waiting: acknowledgements that wait for their moment.
    """

    key: tuple[str, int]
    id: str
    source: Source
    parts: int
    changed: float
    name: str = ""
    filter: str = ""
    flags: str = ""
    room: int = MAX_PAYLOAD
    chunks: dict[int, bytes] = field(default_factory=dict)
    has: int = 0
    status: str = "received"
    is_whole: bool = False
    answer: list[bytes] | None = None
    waiting: int = 0


class Receipts:
    """The messages that came in.

    Args:
        outbox: writes acknowledgements.
        table: the peers, which alone may send messages.
        pacer: sends.
        rate: messages a second of one sender.
        ask_now: has a path of a peer PINGed at once, if that was not just done.

    Attributes:
        refusal_of: tells why no program here takes a message, empty where one does.
        counts: what came in, by what became of it.
        senders: the last numbers of each boot, in the order in which they came.
        answer_bytes: of all answers that are kept.
    """

    def __init__(
        self, outbox: Outbox, table: PeerTable, pacer: Pacer, rate: float, ask_now: Callable[[Path, float], None]
    ) -> None:
        self.refusal_of: Callable[[IncomingMessage], str] = lambda _: "no-handler"
        self.counts: Counter[str] = Counter()
        self._outbox = outbox
        self._table = table
        self._pacer = pacer
        self._ask_now = ask_now
        self.senders: dict[str, dict[int, Receipt]] = {}
        self._assembled: dict[tuple[str, int], Receipt] = {}
        self._running: dict[tuple[str, int], Receipt] = {}
        self._answers: dict[tuple[str, int], Receipt] = {}  # the oldest first
        self.answer_bytes = 0
        self.set_rate(rate)

    def __len__(self) -> int:
        """Return the number of messages with a handler that has not ended."""
        return len(self._running)

    def set_rate(self, rate: float) -> None:
        """Take so many messages a second of one sender from now on, and twice as many at once."""
        self._rates = TokenBuckets(rate, FROM_ALL, MAX_SENDERS, burst=2 * rate)

    # --- what comes in ----------------------------------------------------------------------------

    def hear(self, part: MessagePart, incoming: Incoming, now: float) -> list[IncomingMessage]:
        """Take a part, and have it acknowledged; return the message that it makes whole.

        Raises:
            WireError: ``unproven``, ``downgrade``, ``too-long``, ``malformed``, ``stale``, ``message-crowd``.
        """
        source = incoming.source
        row = self._row(part, incoming, now)
        if not source.key:
            self._check_plain(part, incoming)
        read_filter(part.filter)  # what cannot be read leaves nothing behind
        self._forget(now)
        receipt = self._receipt(part, source, now)
        receipt.source = source
        opened = incoming.opened
        is_to_all = opened.is_to_all if opened else not source.unicast
        if receipt.is_whole:
            size = sum(map(len, receipt.answer or ()))
            if not source.key and size > self._room(part.number, incoming.size):
                raise WireError("malformed", "a repeat that is shorter than its acknowledgement")
            self.counts["repeated"] += 1
            self._acknowledge(receipt, now, is_to_all=is_to_all, have=part.have)
            return []
        receipt.chunks[part.part] = part.payload
        receipt.has |= 1 << part.part
        receipt.changed = now
        if not part.part:
            receipt.name, receipt.filter, receipt.flags = part.name, part.filter, part.flags
            if not source.key:
                receipt.room = self._room(part.number, incoming.size)
        message = self._judge(receipt, row, now) if receipt.name else None
        if receipt.is_whole or NOW in part.flags:
            self._acknowledge(receipt, now, is_to_all=is_to_all)
        return [message] if message else []

    def _row(self, part: MessagePart, incoming: Incoming, now: float) -> Row:
        source, row = incoming.source, self._table.get(part.id, part.boot)
        is_live = row is not None and row.is_shown and row.state_at(now) in LIVE
        path = row.paths.of(source) if row else None
        if row is not None and path is not None and is_live and not row.proved:
            self._ask_now(path, now)  # its sender tries again in a moment, and should not wait for our next PING
        if row is None or not incoming.is_known or not is_live or not row.proved or path is None:
            raise WireError("unproven", f"a message of {part.id}, not of a live peer that answered from there")
        if row.sealed_with and not source.key:
            raise WireError("downgrade", f"{row.id} seals, and this is plain")
        return row

    def _check_plain(self, part: MessagePart, incoming: Incoming) -> None:
        """Refuse what only a seal allows, and what would make us send more than came."""
        if part.parts > 1:
            raise WireError("too-long", f"a message in {part.parts} parts, and not sealed")
        if self._room(part.number, incoming.size) < 0:
            raise WireError("malformed", "a message that is shorter than its acknowledgement")

    def _room(self, number: int, size: int) -> int:
        """Return the bytes of an answer in plain that make its acknowledgement no longer than the message."""
        realm, boot = self._outbox.parameters.realm, self._outbox.boot
        ack = Ack(realm=realm, boot=boot, to=boot, number=number, status="r", bitmap=1)
        return min((size - len(ack.encode())) * 3 // 4, MAX_PART)

    def _receipt(self, part: MessagePart, source: Source, now: float) -> Receipt:
        """Return what is known of a message, if need be a new receipt."""
        known = self.senders.get(part.boot, {})
        put_last(self.senders, part.boot, known, MAX_SENDERS)
        receipt = known.get(part.number)
        if receipt is None:
            # forged: a plain number may be, and a high one shall not make all that follow look old
            if source.key and part.number <= max(known, default=0) - WINDOW:
                raise WireError("stale", f"message {part.number} of {part.id}, long over")
            receipt = Receipt((part.boot, part.number), part.id, source, part.parts, now)
            if part.parts > 1:
                self._assemble(receipt, now)
            self._shorten(known, part.number, is_sealed=bool(source.key))
            known[part.number] = receipt
        if receipt.parts != part.parts or receipt.id != part.id:
            raise WireError("malformed", f"message {part.number} of {receipt.parts} parts has {part.parts}")
        return receipt

    def _assemble(self, receipt: Receipt, now: float) -> None:
        for key, other in list(self._assembled.items()):
            if now >= other.changed + ASSEMBLED_FOR:
                del self._assembled[key]
                self.senders.get(key[0], {}).pop(key[1], None)
        of_one = sum(boot == receipt.key[0] for boot, _ in self._assembled)
        if len(self._assembled) >= MAX_ASSEMBLED or of_one >= MAX_ASSEMBLED_OF_ONE:
            raise WireError("message-crowd", f"{of_one} messages of {receipt.id} are incomplete")
        self._assembled[receipt.key] = receipt

    def _shorten(self, known: dict[int, Receipt], number: int, *, is_sealed: bool) -> None:
        """Forget the numbers before the window, but those that are not over."""
        over = [one for one, receipt in known.items() if receipt.key not in self._running and receipt.is_whole]
        if is_sealed:
            floor = max(number, *known) - WINDOW if known else 0
            over = [one for one in over if one <= floor]
        else:
            over = over[: max(0, len(over) + 1 - WINDOW)]
        for one in over:
            del known[one]

    def _judge(self, receipt: Receipt, row: Row, now: float) -> IncomingMessage | None:
        """Decide what becomes of a message; return it where it is to be handled."""
        record = self._outbox.record
        if receipt.filter and not read_filter(receipt.filter).accepts(record.name, record.tags, record.services):
            self._close(receipt, "not-meant")
            return None
        if len(receipt.chunks) < receipt.parts:
            return None
        message = IncomingMessage(
            key=receipt.key, sender=row.peer(now), name=receipt.name,
            payload=b"".join(receipt.chunks[number] for number in range(receipt.parts)),
            is_question=ANSWER in receipt.flags, wants_handled=ENDED in receipt.flags,
            is_sealed=bool(receipt.source.key), room=receipt.room,
        )  # fmt: skip
        refusal = self._refusal(message, now)
        self._close(receipt, refusal or "received")
        if refusal:
            return None
        self._running[receipt.key] = receipt
        return message

    def _refusal(self, message: IncomingMessage, now: float) -> str:
        if len(message.payload) > MAX_PAYLOAD:
            return "too-long"
        sender = message.key[0]
        of_one = sum(boot == sender for boot, _ in self._running)
        if not self._rates.allows(sender, now) or len(self._running) >= MAX_RUNNING or of_one >= MAX_RUNNING_OF_ONE:
            return "busy"
        return self.refusal_of(message)

    def _close(self, receipt: Receipt, status: str) -> None:
        self.counts[status] += 1
        receipt.status = status
        receipt.is_whole = True
        receipt.chunks.clear()
        self._assembled.pop(receipt.key, None)

    # --- what its handler made of it --------------------------------------------------------------

    def finish(self, key: tuple[str, int], status: str, answer: bytes | None, now: float) -> None:
        """Note how the handler of a message ended; twice, or of no message, is as good as never.

        Args:
            key: of the message.
            status: ``handled``, ``failed``, or a reason why it is refused after all.
            answer: to a question; None is an empty one.
            now: the time.
        """
        receipt = self._running.pop(key, None)
        if receipt is None:
            return
        assert status in LETTERS, status
        if status == "handled" and ANSWER in receipt.flags:
            answer = answer or b""
            if len(answer) > receipt.room:
                status = "too-long"
            else:
                receipt.answer = cut(answer)
                receipt.changed = now
                self._answers[key] = receipt
                self.answer_bytes += len(answer)
        receipt.status = status
        self.counts[status] += 1
        self._forget(now)
        if ANSWER in receipt.flags or ENDED in receipt.flags:
            self._acknowledge(receipt, now)

    def _forget(self, now: float) -> None:
        """Forget the answers that were kept long enough, and the oldest where there are too many bytes."""
        while self._answers:
            oldest = next(iter(self._answers.values()))
            if now < oldest.changed + KEPT_FOR and self.answer_bytes <= MAX_ANSWERS:
                return
            self.answer_bytes -= sum(map(len, oldest.answer or ()))
            del self._answers[oldest.key]
            oldest.answer = None

    # --- acknowledgements -------------------------------------------------------------------------

    def _acknowledge(self, receipt: Receipt, now: float, *, is_to_all: bool = False, have: int = 0) -> None:
        """Let a message be acknowledged: at once, or if it went to all at some moment; with what is true by then."""
        if is_to_all and receipt.status == "not-meant":
            return
        spread = min(SPREAD * self._table.live_count(now), MOST_SPREAD) if is_to_all else 0.0
        due = now + self._outbox.random.uniform(0, spread) if spread else now
        wanted = [part for part in range(len(receipt.answer or ())) if not have >> part & 1] or [0]
        for part in wanted[receipt.waiting :]:  # the first ones wait already, and will have what is true by then
            if self._pacer.add(due, partial(self._write, receipt, part)):
                receipt.waiting += 1

    def _write(self, receipt: Receipt, part: int, _: float) -> Iterable[Send]:
        receipt.waiting -= 1
        outbox, answer = self._outbox, receipt.answer or []
        boot, number = receipt.key
        part, payload = (part, answer[part]) if part < len(answer) else (0, b"")
        ack = Ack(
            realm=outbox.parameters.realm, boot=outbox.boot, to=mark(receipt.id, boot), number=number,
            status=LETTERS[receipt.status], bitmap=(1 << receipt.parts) - 1 if receipt.is_whole else receipt.has,
            part=part, parts=len(answer), payload=payload,
        )  # fmt: skip
        return (outbox.unicast(ack.encode(), receipt.source, boot, kind="ack"),)
