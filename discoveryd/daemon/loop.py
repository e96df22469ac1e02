"""The event loop of the asyncio parts, as a part of the daemon: there once one of them asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.runtime.notices import Notice, of_death, warning

if TYPE_CHECKING:
    from discoveryd.runtime.loop import Loop

HANGS = 5.0
"""Seconds behind its time at which a loop is said to hang."""


class LoopPart(Part):
    """Keeps the one event loop. It stands before the parts that use it, so that it is stopped after them.

    Args:
        notify: told when the loop hangs, and what fails on it; in any thread.
    """

    name = "event loop"
    section = "event_loop"

    def __init__(self, notify: Callable[[Notice], None]) -> None:
        self._notify = notify
        self._loop: Loop | None = None
        self._hangs = False

    def loop(self) -> Loop:
        """Return the loop, which runs; the first call imports asyncio and starts the thread. For the main thread.

        Raises:
            OSError: EAGAIN; the system allows no further thread now: a `look` tries again.
        """
        if self._loop is None:
            from discoveryd.runtime.loop import Loop  # noqa: PLC0415 - asyncio is imported where a part needs it

            self._loop = Loop(self._notify, lambda name, error: self._notify(of_death(name, error)))
        self._loop.start()
        return self._loop

    def look(self) -> None:
        """Tell once when the loop hangs: web, DNS and sites answer nothing then, and the node goes on."""
        hangs = self._loop is not None and self._loop.behind > HANGS
        if hangs and not self._hangs:
            self._notify(warning("the event loop hangs: web, dns and sites answer nothing", seconds=int(HANGS)))
        self._hangs = hangs

    def status(self) -> dict[str, Any] | None:
        """Return how far the loop is behind, and how much failed on it."""
        return None if self._loop is None else self._loop.status()

    def stop(self) -> None:
        """Stop the loop, if there is one."""
        if self._loop is not None:
            self._loop.stop()
