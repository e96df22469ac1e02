"""Messages of this node under way, and what takes those of other nodes.

The engine is called with the lock of the driver held. What comes of that waits in one queue, and is told after it, by
one thread at a time: so a program hears of its deliveries, and a handler gets its messages, in the engine's order.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from discoveryd.errors import QueryError, WireError
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.handed import HANDED, FarSender, hand_over, handed
from discoveryd.protocol.messages.values import REFUSALS, Delivery, IncomingMessage, OutgoingMessage, Target
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Outcome
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.query.messages import STATUSES, Draft, MessageResult, MessageStatus, ProgramStatus
from discoveryd.query.reply import find_one
from discoveryd.runtime.message_handlers import Builtins, Done, LibraryHandlers
from discoveryd.runtime.notices import Notice

SLACK = 5.0
"""Seconds after the timeout of a message in which its last delivery is told, unless the node stops."""


@frozen
class Sending:
    """A message is under way.

    Attributes:
        number: of the message.
        expected: the receivers.
    """

    number: int
    expected: int


Told = Callable[[Sending | Delivery | QueryError | None], None]
"""Told `Sending`, then each change, and None at the end; a QueryError where the node stops before that. Never waits."""
Put = Callable[[IncomingMessage], None]
"""Takes a message that is watched for, and never waits."""
Wants = Callable[[IncomingMessage], str | None]
"""Returns why a message is refused, empty to take it, None where it is for others; called with the lock held."""
Handle = Callable[[IncomingMessage, Done], None]
"""Handles a message that was taken, and never waits: `Done` is called once, in any thread, when that has ended."""


class Caller(Protocol):
    """What a driver does for messages."""

    def change(self, act: Callable[[Node, float], object]) -> object:
        """Call a function with the lock held."""

    def perform(self, act: Callable[[Node, float], Outcome], *, goes_on: bool) -> Outcome:
        """Call a function with the lock held, and carry out what it returns; raise if the node has stopped."""


class Messages:
    """The requests of programs under way, and the owners of the names of messages.

    Args:
        node: the engine.
        driver: calls it.
        notify: told each message, in any thread, without the lock.
        failed: told the exception that ended the thread of the handlers.

    Attributes:
        builtins: the names that every node answers.
        library: the handlers of an embedding program.
        programs: tells of the executables that handle messages; none unless a part of the daemon has some.
    """

    def __init__(
        self, node: Node, driver: Caller, notify: Callable[[Notice], None], failed: Callable[[str, BaseException], None]
    ) -> None:
        self._node = node
        self._driver = driver
        self._notify = notify
        self._told: dict[int, Told] = {}  # by number; the lock guards all but the queue
        self._watchers: list[tuple[frozenset[str], Callable[[IncomingMessage], None]]] = []
        self._taken: dict[tuple[str, int], Handle | None] = {}
        self._due: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._telling = threading.Lock()
        self.builtins = Builtins(node)
        self.library = LibraryHandlers(notify, failed)
        self.programs: Callable[[], list[ProgramStatus]] = list
        self._owners: Mapping[str, tuple[Wants, Handle]] = {}
        for owner in (self.builtins, self.library):
            self.register(owner.name, owner.wants, owner.handle)
        node.messages.receipts.refusal_of = self._refusal_of

    @property
    def has_builtins(self) -> bool:
        """Whether ``echo``, ``upper`` and ``info`` are answered; may be set at any time."""
        return self.builtins.is_on

    @has_builtins.setter
    def has_builtins(self, is_on: bool) -> None:
        self.builtins.is_on = is_on

    def register(self, owner: str, wants: Wants, handle: Handle) -> None:
        """Let a part of the daemon take messages; those before it are asked first."""
        self._owners = {**self._owners, owner: (wants, handle)}  # as a whole: the engine may be asking them

    # --- what programs send -------------------------------------------------------------------------

    def begin(self, draft: Draft, told: Told, sender: FarSender | None = None) -> Callable[[], None]:
        """Send a message, or hand it over for a sender in another site.

        Returns:
            a function that ends it early, after which nothing more is told; call it at any time, in any thread.

        Raises:
            QueryError: ``not_found``, ``ambiguous``, ``bad_request`` (a bare peer), ``bad_argument``, ``too_long`` or
                ``busy``; nothing was sent then.
        """
        number = 0
        if draft.site:
            raise QueryError("off", "this program embeds a node, which belongs to no site: ask its daemon")

        def send(node: Node, now: float) -> Outcome:
            nonlocal number
            number, outcome = self._send(draft, told, node, now, sender)
            return outcome

        self._driver.perform(send, goes_on=True)
        return lambda: self._cancel(number)

    def _send(self, draft: Draft, told: Told, node: Node, now: float, sender: FarSender | None) -> tuple[int, Outcome]:
        name, payload = draft.name, self.builtins.padded(draft)
        if sender is not None:
            name, payload = HANDED, hand_over(sender, draft.name, draft.content)
        rows = {row.key: row for row in (_receiver(node, one, now) for one in dict.fromkeys(draft.to))}
        number, target = node.messages.next_number(), Target(peers=tuple(rows) if rows else None, filter=draft.filter)
        outcome = node.messages.send(
            OutgoingMessage(
                number=number, name=name, payload=payload, target=target,
                is_question=draft.is_question, wants_handled=draft.wants_handled, timeout=draft.timeout,
            ),
            now,
        )  # fmt: skip
        reached = {(one.peer.id, one.peer.boot) for one in outcome.deliveries if one.status == "sent"}
        missing = [row for key, row in rows.items() if key not in reached]
        self._told[number] = told
        self._tell(told, Sending(number=number, expected=len(reached) + len(missing)))
        for row in missing:  # named, and nothing can be sent to it
            gone = Delivery(
                number=number, peer=row.peer(now), status="timeout" if row.state_at(now) in LIVE else "down",
                is_final=True, is_last=not reached and row is missing[-1],
            )  # fmt: skip
            outcome = replace(outcome, deliveries=(*outcome.deliveries, gone))
        if not outcome.deliveries:  # no peer is meant
            self._tell(self._told.pop(number), None)
        return number, outcome

    def _cancel(self, number: int) -> None:
        def cancel(node: Node, _: float) -> None:
            if self._told.pop(number, None) is not None:
                node.messages.cancel(number)

        self._driver.change(cancel)

    def wait(self, draft: Draft, told: Callable[[Delivery], None] | None = None) -> MessageResult:
        """Send a message, and wait for the end of it.

        Args:
            draft: the message.
            told: told each change as it comes, in this thread; an exception of it ends the message.

        Raises:
            QueryError: as `begin`; ``stopping`` where the node stops before.
        """
        told_here: SimpleQueue[Sending | Delivery | QueryError | None] = SimpleQueue()
        end = self.begin(draft, told_here.put)
        finals: list[Delivery] = []
        try:
            while (change := told_here.get(timeout=draft.timeout + SLACK)) is not None:
                if isinstance(change, QueryError):
                    raise change
                if isinstance(change, Delivery):
                    finals += [change] if change.is_final else []
                    if told is not None:
                        told(change)
        except Empty:
            raise _stopping() from None
        finally:
            end()
        return MessageResult(deliveries=tuple(finals))

    # --- what comes in ------------------------------------------------------------------------------

    def watch(self, names: Iterable[str], put: Callable[[IncomingMessage], None]) -> Callable[[], None]:
        """Pass on the messages of these names, all if none is given, to a function that never waits.

        A message that no program handles is taken for it, unless it is a question.

        Returns:
            a function that ends this.
        """
        watcher = (frozenset(names), put)
        self._driver.change(lambda *_: self._watchers.append(watcher))

        def end() -> None:
            self._driver.change(lambda *_: self._watchers.remove(watcher))

        return end

    def _watching(self, message: IncomingMessage) -> list[Callable[[IncomingMessage], None]]:
        return [put for names, put in self._watchers if not names or message.name in names]

    def take(self, message: IncomingMessage, done: Done) -> str:
        """Have a message handled that no datagram brought; return why no program takes it, empty if `done` is told."""

        def take(*_: object) -> str:
            if not (refusal := self._refusal_of(message)):
                self._give(message, done)
            return refusal

        refusal = str(self._driver.change(take))
        self.dispatch()
        return refusal

    def _give(self, message: IncomingMessage, done: Done) -> None:
        """Have a message handed out to what takes it, with the lock held."""
        taker = self._taken.pop(message.key, None)
        self._due.put(partial(self._hand_out, message, taker, self._watching(message), done))

    def _refusal_of(self, message: IncomingMessage) -> str:
        """Return why no program takes a message, empty where one does: the engine asks, with the lock held."""
        try:
            message = handed(message)
        except WireError:
            return "denied"
        for wants, handle in self._owners.values():
            refusal = wants(message)
            if refusal is not None:
                taker: Handle | None = handle
                break
        else:
            refusal, taker = "no-handler" if message.is_question or not self._watching(message) else "", None
        if refusal:
            self._due.put(partial(self._log, "message refused", message, reason=refusal))
        else:
            self._taken[message.key] = taker
        return refusal

    def collect(self, outcome: Outcome) -> None:
        """Note what the engine said, with the lock held; `dispatch` tells it."""
        for delivery in outcome.deliveries:
            told = self._told.get(delivery.number)
            if told is not None and delivery.status != "sent":
                self._tell(told, delivery)
                if delivery.is_last:
                    self._tell(self._told.pop(delivery.number), None)
        for message in map(handed, outcome.messages):
            self._give(message, partial(self._finish, message))

    def _tell(self, told: Told, change: Sending | Delivery | QueryError | None) -> None:
        self._due.put(partial(told, change))

    def dispatch(self) -> None:
        """Tell what waits, without the lock, unless another thread is at it."""
        while not self._due.empty() and self._telling.acquire(blocking=False):
            try:
                while not self._due.empty():
                    self._due.get()()
            finally:
                self._telling.release()

    def _hand_out(self, message: IncomingMessage, taker: Handle | None, watching: Iterable[Put], done: Done) -> None:
        self._log("message", message)
        for put in watching:
            put(message)
        if taker is None:
            done("handled")
        else:
            taker(message, done)

    def _finish(self, message: IncomingMessage, status: str, answer: bytes | None = None) -> None:
        if status != "handled" and status not in REFUSALS:
            raise ValueError(f"a message ends as handled, {', '.join(REFUSALS)}, not {status!r}")
        if status != "handled":
            self._log("message not handled", message, reason=status)
        finish = partial(self._node.messages.finish, message.key, status, answer)
        with suppress(QueryError):  # this node has said goodbye
            self._driver.perform(lambda _, now: finish(now), goes_on=True)

    def _log(self, text: str, message: IncomingMessage, **more: str) -> None:
        fields = {"message": message.name, "number": message.key[1], "bytes": len(message.payload)}
        sender = {"peer": message.sender.label, "id": message.sender.id}
        self._notify(Notice(level="debug", text=text, fields={**fields, **sender, **more}))

    # --- the end, and what is told of all -----------------------------------------------------------

    def stop(self, timeout: float) -> list[str]:
        """End the requests under way, and the thread of the handlers; return its name if it does not end in time."""

        def end(*_: object) -> None:
            for told in self._told.values():
                self._tell(told, _stopping())
            self._told.clear()

        self._driver.change(end)
        self.dispatch()
        return self.library.stop(timeout)

    def status(self) -> MessageStatus:
        """Return the section of ``status``, with the lock held."""
        node = self._node
        ours, theirs = node.messages.deliveries, node.messages.receipts
        return {
            "outgoing": {
                "sent": ours.counts["sent"],
                "pending": len(ours),
                "ended": [{"status": status, "count": ours.counts[status]} for status in STATUSES],
                "refused": [{"reason": one, "count": ours.counts[f"refused {one}"]} for one in REFUSALS],
            },
            "incoming": {
                "received": theirs.counts["received"],
                "repeated": theirs.counts["repeated"],
                "running": len(theirs),
                "handled": theirs.counts["handled"],
                "refused": [{"reason": one, "count": theirs.counts[one]} for one in REFUSALS],
            },
            "datagrams": {
                "sent": node.sent["msg"] + node.sent["ack"],
                "received": node.understood["msg"] + node.understood["ack"],
            },
            "handlers": self.library.names(),
            "programs": self.programs(),
            "watchers": len(self._watchers),
        }


def _receiver(node: Node, text: str, now: float) -> Row:
    row = find_one(node, text, now)
    if row.kind == "bare":
        raise QueryError("bad_request", f"{text} is a bare peer: it sends HELLO| and takes no messages")
    return row


def _stopping() -> QueryError:
    return QueryError("stopping", "this node has said goodbye")
