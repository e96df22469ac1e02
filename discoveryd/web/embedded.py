"""The metrics of a program that embeds a node, over HTTP: `discoveryd.runtime.servers.Page`, on a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discoveryd.runtime.loop import Loop
from discoveryd.runtime.notices import Notify, warning
from discoveryd.web.app import make_metrics_site
from discoveryd.web.door import Door
from discoveryd.web.gate import Rules

if TYPE_CHECKING:
    from discoveryd.runtime.query_handlers import QueryHandlers
    from discoveryd.runtime.worker import Failed

LOOK_EVERY = 1.0
"""Seconds between two looks at whether it can listen now."""


class MetricsPage:
    """Serves the metrics.

    Args:
        address: where to listen.
        handlers: give the metrics.
        told: called with what is wrong when that changes, and with an empty text once it listens.
        notify: told what fails.
        failed: told the exception that ended the thread.
    """

    def __init__(
        self, address: tuple[str, int], handlers: QueryHandlers, *, told: Callable[[str], None], notify: Notify,
        failed: Failed,
    ) -> None:  # fmt: skip
        self._notify = notify
        self._loop = Loop(notify, failed)

        async def metrics(accept: str, encoding: str, query: str) -> tuple[list[tuple[str, str]], bytes]:
            return await asyncio.to_thread(handlers.metrics_page, accept, encoding, query)

        site = make_metrics_site(metrics)
        self._door = Door(self._loop, address, site, Rules(), told=told, failed=self._failed)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or will."""
        return self._door.address

    def start(self) -> None:
        """Listen, now or as soon as that is possible.

        Raises:
            OSError: EAGAIN; the system allows no further thread.
        """
        self._loop.start()
        self._door.look()
        self._loop.spawn(self._look, name="metrics")

    def stop(self) -> None:
        """End. Safe to call again, and before `start`."""
        self._door.close()
        self._loop.stop()

    def abandon(self) -> None:
        """Close what a forked child has of it."""
        self._door.abandon()

    def status(self) -> dict[str, Any]:
        """Return what ``status`` shows of it."""
        return self._door.status()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self._door.look)

    def _failed(self, error: Exception) -> None:
        self._notify(warning("a request over HTTP failed", error=f"{type(error).__name__}: {error}"))
