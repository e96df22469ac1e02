"""The server on the event loop: questions by UDP and TCP, each bounded in number, size and time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from discoveryd.dns.message import MAX_QUESTION, Reply, reply_to
from discoveryd.dns.rates import Rates, Workload
from discoveryd.net.asked import address_in

if TYPE_CHECKING:
    from discoveryd.dns.zone import DnsAnswer, DnsQuestion
    from discoveryd.net.asked import AskedSocket, Sender

BATCH = 16
"""Datagrams of one turn of the loop: about 2 ms, then others have theirs."""
READ = 20_000
PAUSE = 0.01
"""Datagrams that are read a second, whatever becomes of them, and the seconds without reading where more come: what the
kernel holds meanwhile is dropped by it, and the other threads have their time."""
CONNECTIONS, OF_ONE = 64, 8
"""Connections at a time, and of one source beyond this machine. Full: the longest silent one is closed."""
IDLE = 10.0
ASKING = 2.0
"""Seconds without a question after which a connection is closed, and for the rest of a question, or of an answer."""


class Server:
    """Answers questions. All methods are for the event loop, `status` for any thread.

    Args:
        datagrams: the socket of UDP.
        listener: that of TCP, which listens.
        answer: returns the answer to a question; what it raises is told by the loop.
        rates: what sources may ask.
    """

    def __init__(
        self, datagrams: AskedSocket, listener: Any, answer: Callable[[DnsQuestion], DnsAnswer],
        rates: Rates | None = None,
    ) -> None:  # fmt: skip
        self._datagrams = datagrams
        self._listener = listener
        self._answer = answer
        self._rates = rates or Rates()
        self._workload = Workload(monotonic())
        self._left = float(READ)
        self._filled_at = monotonic()
        self._tcp: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, str] = {}  # their sources; the longest silent one first
        self._timer: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Begin to answer."""
        asyncio.get_running_loop().add_reader(self._datagrams.fileno(), self._read)
        self._tcp = await asyncio.start_server(self._serve, sock=self._listener, limit=2 * MAX_QUESTION)

    async def stop(self) -> None:
        """End: the caller closes the socket of UDP afterwards."""
        asyncio.get_running_loop().remove_reader(self._datagrams.fileno())
        if self._timer is not None:
            self._timer.cancel()
        if self._tcp is not None:
            self._tcp.close()
        for writer in list(self._connections):
            writer.transport.abort()

    def status(self) -> dict[str, Any]:
        """Return counts of questions, answers and connections."""
        counts = self.counts.copy()
        return {
            "questions": {"udp": counts["udp"], "tcp": counts["tcp"]},
            "answers": {name.removeprefix("code "): count for name, count in sorted(counts.items())
                        if name.startswith("code ")},
            "truncated": counts["truncated"], "limited": counts["limited"], "ignored": counts["ignored"],
            "connections": len(self._connections), "refused": counts["refused"],
        }  # fmt: skip

    # --- UDP ------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Answer what waits, but not for long at a time."""
        now = monotonic()
        self._left = min(READ, self._left + (now - self._filled_at) * READ)
        self._filled_at = now
        for _ in range(BATCH):
            if self._left < 1 or (wait := self._workload.wait(monotonic())):
                self._rest(PAUSE if self._left < 1 else wait)
                return
            got = self._datagrams.receive(MAX_QUESTION + 1)
            if got is None:
                return
            self._left -= 1
            self._reply(*got, now)

    def _rest(self, seconds: float) -> None:
        """Read on later."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._datagrams.fileno())
        self._timer = loop.call_later(seconds, lambda: loop.add_reader(self._datagrams.fileno(), self._read))

    def _reply(self, data: bytes, sender: Sender, now: float) -> None:
        self.counts["udp"] += 1
        verdict = self._rates.of_datagram(address_in(sender[0]), now)
        self.counts["limited"] += verdict != "answered"
        if verdict == "dropped":
            return
        reply = self._made(data, self._answer if verdict == "answered" else None, by_tcp=False)
        if reply is not None:
            self._datagrams.send(reply.data, sender)

    def _made(self, data: bytes, answer: Callable[[DnsQuestion], DnsAnswer] | None, *, by_tcp: bool) -> Reply | None:
        """Return the reply to a message, counted, None for none."""
        began = thread_time()
        reply = reply_to(data, answer, by_tcp=by_tcp)
        self._workload.spend(thread_time() - began)
        if reply is None:
            self.counts["ignored"] += 1
            return None
        self.counts[f"code {reply.code}"] += 1
        self.counts["truncated"] += reply.is_truncated
        return reply

    # --- TCP ------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of a connection until it is silent, wrong, asks too often, or has to make room."""
        source = address_in(writer.get_extra_info("peername") or [""])
        self._make_room(source)
        self._connections[writer] = source
        try:
            while await self._converse(reader, writer, source):
                self._connections[writer] = self._connections.pop(writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # it ends here in any case
        finally:
            self._connections.pop(writer, None)
            with suppress(RuntimeError, OSError):
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> bool:
        """Answer one question; return whether another may come."""
        head = await asyncio.wait_for(reader.readexactly(2), IDLE)
        size = int.from_bytes(head, "big")
        if size > MAX_QUESTION:
            self.counts["refused"] += 1
            return False
        data = await asyncio.wait_for(reader.readexactly(size), ASKING)
        self.counts["tcp"] += 1
        if not self._rates.of_stream(source, monotonic()):
            self.counts["limited"] += 1
            return False
        while wait := self._workload.wait(monotonic()):  # noqa: ASYNC110 - time alone ends it
            await asyncio.sleep(wait)
        reply = self._made(data, self._answer, by_tcp=True)
        if reply is None:
            return False
        writer.write(len(reply.data).to_bytes(2, "big") + reply.data)
        await asyncio.wait_for(writer.drain(), ASKING)
        return True

    def _make_room(self, source: str) -> None:
        """Close the connection that is silent for longest where there are too many, of all or of a source."""
        theirs = [writer for writer, name in self._connections.items() if name == source]
        crowd = theirs if len(theirs) >= OF_ONE and not self._rates.is_local(source) else list(self._connections)
        if crowd is theirs or len(crowd) >= CONNECTIONS:
            self.counts["refused"] += 1
            self._connections.pop(crowd[0], None)
            crowd[0].transport.abort()
