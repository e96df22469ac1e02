"""Messages to nodes of other sites, and of their nodes to those of this one. All of it is for the thread of the loop.

A message is a question to one gateway there, its end is the answer: nothing is sent twice, and a gateway hears each
question once, whatever the broker repeats. The gateway judges it by ``sites.allow``, and hands it over to its receiver
with the true sender in it (`discoveryd.protocol.messages.handed`), or takes it itself where it is the receiver.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from discoveryd.errors import DiscoveryError, QueryError, WireError
from discoveryd.protocol.messages.handed import HANDED, MAX_HANDED, FarSender, seen_as
from discoveryd.protocol.messages.values import Delivery, IncomingMessage
from discoveryd.protocol.table.peer import peer_from_json
from discoveryd.query.messages import DONE, Draft, delivery_json, summary_json
from discoveryd.query.own_node import own_peer
from discoveryd.query.reply import encode
from discoveryd.sites.far_messages import (
    MAX_ERROR,
    FarMessage,
    FarOutcome,
    decode_far_message,
    decode_far_outcome,
    encode_far_message,
    encode_far_outcome,
)
from discoveryd.sites.values import SiteAnswer, SiteQuestion

if TYPE_CHECKING:
    from discoveryd.config.sites import SiteAllowRule
    from discoveryd.protocol.table.peer import Peer
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.messages import Sending
    from discoveryd.sites.driver import SiteDriver

MAX_WAITING = 256
"""Messages of this node that wait for their end; one more is refused (``busy``)."""
MAX_RUNNING = 64
"""Messages of other sites that are on their way to their receiver; one more is refused (``busy``)."""
WAY = 2.0
"""Seconds that question and answer may be on their way, besides what the receiver may take."""

Reply = Callable[..., None]


class Courier:
    """Carries messages.

    Args:
        allow: which messages of other sites are taken.
        discovery: the node.
        driver: asks and answers.

    Attributes:
        allow: as above; may be set at any time.
    """

    def __init__(self, allow: Sequence[SiteAllowRule], discovery: Discovery, driver: SiteDriver) -> None:
        self.allow = allow
        self._discovery = discovery
        self._driver = driver
        self._waiting: dict[str, asyncio.Future[FarOutcome]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._number = 0

    def status(self) -> dict[str, Any]:
        """Return what was sent to other sites and taken of them, and what became of it. For any thread."""
        counts = self._counts.copy()
        return {
            "sent": counts["sent"], "done": counts["done"], "failed": counts["failed"], "waiting": len(self._waiting),
            "received": counts["received"], "denied": counts["denied"], "handed_over": counts["handed over"],
            "running": len(self._running),
        }  # fmt: skip

    def hear(self, heard: SiteQuestion | SiteAnswer) -> None:
        """Take a message of another site, or what became of one of ours."""
        if isinstance(heard, SiteQuestion):
            task = asyncio.get_running_loop().create_task(self._take(heard))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif (waits := self._waiting.get(heard.number)) is not None and not waits.done():
            try:
                waits.set_result(decode_far_outcome(heard.body))
            except WireError as error:
                waits.set_result(FarOutcome(error="failed", text=f"what {heard.site} answers cannot be read: {error}"))

    # --- to another site ------------------------------------------------------------------------

    async def send(self, draft: Draft, rows: Sequence[Mapping[str, Any]], reply: Reply) -> None:
        """Send a message to a peer of another site, and tell what becomes of it, as of any other.

        Args:
            draft: the message.
            rows: the peers there that its one receiver means.
            reply: takes the lines.

        Raises:
            QueryError: nothing was sent, or it was not delivered.
        """
        row = self._receiver(draft, rows)
        self._number += 1
        told: dict[str, Any] = {"sending": {"number": self._number, "expected": 1}}
        if row["state"] in ("down", "left"):
            reply(encode(told), is_last=False)
            self._tell(row, FarOutcome(status="down"), 0.0, reply)
            return
        loop = asyncio.get_running_loop()
        began, found = loop.time(), loop.create_future()
        number = self._driver.ask(draft.site, encode_far_message(self._message(draft, row["id"])))
        self._counts["sent"] += 1
        self._waiting[number] = found
        reply(encode(told), is_last=False)
        try:
            outcome = await asyncio.wait_for(found, draft.timeout + WAY)
        except TimeoutError:
            outcome = FarOutcome(status="timeout")
        finally:
            del self._waiting[number]
        self._counts["done" if outcome.status in DONE else "failed"] += 1
        if outcome.error:
            raise QueryError(outcome.error, f"{draft.site}: {outcome.text}")
        self._tell(row, outcome, loop.time() - began, reply)

    def _receiver(self, draft: Draft, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the peer that is meant, after a look at what keeps a message from it."""
        site, wanted = draft.site, draft.to[0]
        if not self._discovery.look(lambda node, _: node.keyring.sends):
            why = "set security.keys, and the mode, in both"
            raise QueryError("off", f"a message to another site is sealed, and this node has no key: {why}")
        if site not in self._driver.engine.followed():
            raise QueryError("not_found", f"{site} is not followed, so its peers are not known: see sites.follow")
        if not rows:
            helps = f"discoveryctl list --site {site} lists those that are known"
            raise QueryError("not_found", f"no peer of {site} has the name, id or address {wanted!r:.80}: {helps}")
        if len(rows) > 1:
            ids = ", ".join(f"{row['id']} {row['boot']}" for row in rows)
            raise QueryError("ambiguous", f"{wanted!r:.60} means several peers of {site}: {ids:.200}; give id or boot")
        if rows[0]["kind"] == "bare":
            raise QueryError("bad_request", f"{wanted} is a bare peer: it sends HELLO| and takes no messages")
        if len(self._waiting) >= MAX_WAITING:
            raise QueryError("busy", f"{MAX_WAITING} messages to other sites wait for their end already")
        return rows[0]

    def _message(self, draft: Draft, peer: str) -> FarMessage:
        return FarMessage(
            peer=peer, name=draft.name, payload=draft.content, is_question=draft.is_question,
            wants_handled=draft.wants_handled, timeout=draft.timeout,
            sender=self._discovery.look(lambda node, _: node.record.name),
        )  # fmt: skip

    def _tell(self, row: Mapping[str, Any], outcome: FarOutcome, took: float, reply: Reply) -> None:
        """Tell the end of a message."""
        status = cast("Any", outcome.status)
        delivery = Delivery(
            number=self._number, peer=peer_from_json(row), status=status, reason=cast("Any", outcome.reason or None),
            answer=outcome.answer if status == "answered" else None, took_s=took, is_final=True, is_last=True,
        )  # fmt: skip
        line = delivery_json(delivery)
        reply(encode({"delivery": {**line["delivery"], "peer": row}}), is_last=False)
        reply(encode(summary_json({status: 1})))

    # --- of another site ------------------------------------------------------------------------

    async def _take(self, question: SiteQuestion) -> None:
        self._counts["received"] += 1
        try:
            outcome = await self._delivered(question)
        except QueryError as error:
            outcome = FarOutcome(error=error.code, text=error.message[:MAX_ERROR])
        except TimeoutError:
            outcome = FarOutcome(status="timeout")
        except (WireError, DiscoveryError, OSError, RuntimeError) as error:
            outcome = FarOutcome(error="failed", text=f"{type(error).__name__} there"[:MAX_ERROR])
        if len(outcome.answer) > MAX_HANDED:
            outcome = FarOutcome(status="refused", reason="too-long")
        self._driver.answer(question.number, encode_far_outcome(outcome))

    async def _delivered(self, question: SiteQuestion) -> FarOutcome:
        """Judge a message of another site, have it delivered, and return what became of it."""
        message = decode_far_message(question.body)
        if message.name == HANDED or not any(
            rule.allows(question.site, message.name, is_question=message.is_question) for rule in self.allow
        ):
            self._counts["denied"] += 1
            verb = "ask" if message.is_question else "send"
            raise QueryError("denied", f"nobody of {question.site} may {verb} {message.name} here (sites.allow)")
        if len(self._running) > MAX_RUNNING:
            raise QueryError("busy", f"{MAX_RUNNING} messages of other sites are on their way already")
        self._counts["handed over"] += 1
        sender = FarSender(question.site, question.asker, message.sender)
        if message.peer == self._discovery.id:
            return await self._take_here(message, sender, question.number)
        return await self._hand_over(message, sender)

    async def _hand_over(self, message: FarMessage, sender: FarSender) -> FarOutcome:
        """Send it to its receiver."""
        draft = Draft(
            name=message.name, payload=message.payload, where={"to": message.peer}, is_question=message.is_question,
            wants_handled=message.wants_handled, timeout=message.timeout,
        )  # fmt: skip

        def begin(tell: Callable[[Any], None]) -> Callable[[], None]:
            def told(change: Sending | Delivery | QueryError | None) -> None:
                if isinstance(change, QueryError) or (isinstance(change, Delivery) and change.is_final):
                    tell(change)

            return self._discovery.messages.begin(draft, told, sender)

        change = await self._told(begin, message.timeout + WAY / 2)
        if isinstance(change, QueryError):
            raise change
        return FarOutcome(status=change.status, reason=change.reason or "", answer=change.answer or b"")

    async def _take_here(self, message: FarMessage, sender: FarSender, number: str) -> FarOutcome:
        """Have it handled by this node itself."""
        own: Peer = self._discovery.look(lambda node, now: own_peer(node, now, 0.0))
        incoming = IncomingMessage(
            key=(f"@{number}", 0), sender=seen_as(sender, own), name=message.name, payload=message.payload,
            is_question=message.is_question, wants_handled=message.wants_handled, is_sealed=True, room=MAX_HANDED,
            site=sender.site,
        )  # fmt: skip
        is_waited_for = message.is_question or message.wants_handled

        def begin(tell: Callable[[Any], None]) -> Callable[[], None]:
            def done(status: str, answer: bytes | None = None) -> None:
                if is_waited_for:
                    tell((status, answer))

            refusal = self._discovery.messages.take(incoming, done)
            if refusal or not is_waited_for:
                tell((refusal or "acked", None))
            return lambda: None

        status, answer = await self._told(begin, message.timeout)
        if status == "acked":
            return FarOutcome(status="acked")
        if status != "handled":
            return FarOutcome(status="refused", reason=status)
        return FarOutcome(status="answered" if message.is_question else "handled", answer=answer or b"")

    async def _told(self, begin: Callable[[Callable[[Any], None]], Callable[[], None]], timeout: float) -> Any:
        """Return the first of what is told, in any thread; raise TimeoutError where that takes too long."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any) -> None:
            if not found.done():
                found.set_result(value)

        def tell(value: Any) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, value)

        end = await asyncio.to_thread(begin, tell)
        try:
            return await asyncio.wait_for(found, timeout)
        finally:
            end()
