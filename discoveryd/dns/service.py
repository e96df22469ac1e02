"""The name server of a daemon: sockets, zone, server, and what keeps the index up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.dns.far import FarNames
from discoveryd.dns.index import Seen
from discoveryd.dns.server import Server
from discoveryd.dns.zone import DnsAnswer, DnsQuestion, Zone
from discoveryd.net.asked import open_asked

if TYPE_CHECKING:
    from discoveryd.config.dns import DnsSection
    from discoveryd.dns.far import FarPeers
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.row import Key
    from discoveryd.runtime.loop import Loop

EVERYWHERE = ("0.0.0.0", "::")
GATHER, SHARE, LONGEST = 0.02, 5, 0.1
"""Every address; and the seconds between two looks at the table, five times as long as one took, and the most of them:
peers that join together are taken over together."""

LookAt = Callable[[Callable[["Node", float], Any]], Any]


class NameServer:
    """Answers questions at one address until `stop`; nothing is open before `start`.

    Args:
        config: an address, and what to answer.
        look: calls a function with the engine and the time.
        sites: returns what knows the peers of other sites, None where there are none.
    """

    def __init__(
        self, config: DnsSection, look: LookAt, sites: Callable[[], FarPeers | None] = lambda: None
    ) -> None:
        host = config.address[0] if config.address else ""
        self._config = config
        self._look = look
        self._random = Random()  # noqa: S311 - which of many, no key
        self.zone = Zone(
            config.zone, config.ttl, with_self=config.self, address=None if host in EVERYWHERE else host,
            random=self._random,
        )  # fmt: skip
        self._far = FarNames(self.zone, sites)
        self.zone.sites = self._far
        self._loop: Loop | None = None
        self._server: Server | None = None
        self._follows: Future[Any] | None = None
        self._asked = asyncio.Event()
        self._stack = ExitStack()

    def start(self, loop: Loop) -> None:
        """Open the sockets, and answer on a loop from now on.

        Raises:
            OSError: with the port, and its holder where that can be found; nothing stays open.
        """
        assert self._config.address is not None
        with ExitStack() as stack:
            datagrams, listener = open_asked(stack, self._config.address)
            server = Server(datagrams, listener, self._answer)
            loop.run(self._begin(server))
            self._stack = stack.pop_all()
        self._loop, self._server = loop, server
        self._follows = loop.spawn(self._follow, name="dns")

    def stop(self) -> None:
        """End. Safe to call again, and before `start`."""
        loop, server, self._server = self._loop, self._server, None
        if self._follows is not None:
            self._follows.cancel()
        if loop is not None and server is not None and loop.is_running:
            with suppress(TimeoutError, RuntimeError):
                loop.run(server.stop())
        self._stack.close()

    def wake(self) -> None:
        """Look at the table soon: something may have changed. For any thread."""
        if self._loop is not None:
            self._loop.call(self._asked.set)

    def status(self) -> dict[str, Any]:
        """Return what there is, and what was asked and answered."""
        index = self.zone.index
        hosts = list(index.hosts.values())
        seen = {"names": len(index.names), "services": len(index.types), "left_out": sum(one.left_out for one in hosts)}
        far = sum(len(zone.index.names) for zone in list(self._far.zones.values()))
        return {**seen, "site_names": far, **(self._server.status() if self._server else {})}

    # --- on the loop ----------------------------------------------------------------------------

    async def _begin(self, server: Server) -> None:
        """Read the table, then answer: what is there is not denied."""
        await self._refresh()
        await server.start()

    async def _follow(self) -> None:
        """Keep the index as the table is."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            began = monotonic()
            await self._refresh()
            await asyncio.sleep(min(max(GATHER, SHARE * (monotonic() - began)), LONGEST))

    async def _refresh(self) -> None:
        """Take over what changed in the table, in turns."""
        index, is_over = self.zone.index, False
        while not is_over:
            try:
                changes, is_over = self._look(index.turn)
            except RuntimeError:  # the node has ended, and the daemon with it
                return
            index.take(changes)
            await asyncio.sleep(0)
        for _ in self._far.refresh():
            await asyncio.sleep(0)

    def _answer(self, question: DnsQuestion) -> DnsAnswer:
        return self.zone.answer(question, self._rows)

    def _rows(self, keys: Iterable[Key]) -> Mapping[Key, Seen]:
        found: Mapping[Key, Seen] = self._look(partial(self.zone.index.look, keys=keys))
        return found
