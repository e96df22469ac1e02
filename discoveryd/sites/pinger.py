"""When a server is asked for a sign of life: never while it gives one by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PING_EVERY = 2.0
PONG_WITHIN = 2.0
"""Seconds of silence until a PING, and from that to the answer: a server that hangs is left after four at most."""
MEASURE_EVERY = 60.0
"""Seconds between two PINGs at most: so old the round-trip time may be."""
SPARED = 0.25
"""Seconds by which a PING may come sooner: a timer set anew for each message would cost more."""


class Pinger:
    """Asks the server of one session for an answer where it is silent. All of it is for the thread of the loop.

    A message of the server is a sign of life, unless something was sent to it since the last PING: that it reads, too,
    nothing but a PONG proves.

    Args:
        ping: sends a PING, and returns the seconds to the answer; it raises where none comes within its argument.
        answered: told these seconds.
        failed: called where `fault` is set.

    Attributes:
        fault: why the session is to be left; None while it is good.
    """

    def __init__(
        self, ping: Callable[[float], Awaitable[float]], answered: Callable[[float], None], failed: Callable[[], None]
    ) -> None:
        self._ping = ping
        self._answered = answered
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._has_sent = False
        self.fault: Exception | None = None

    async def start(self) -> None:
        """Ask now, and whenever it is due from then on. Raises what `ping` raises."""
        await self._ask()

    def stop(self) -> None:
        """Ask no more."""
        for running in (self._timer, self._task):
            if running is not None:
                running.cancel()
        self._timer = None

    def sent(self) -> None:
        """Note that something was sent to the server."""
        self._has_sent = True

    def heard(self) -> None:
        """Note that something came from the server."""
        if self._timer is not None and not self._has_sent and self._due() > self._timer.when() + SPARED:
            self._timer.cancel()
            self._wait()

    def _due(self) -> float:
        return min(self._loop.time() + PING_EVERY, self._asked_at + MEASURE_EVERY)

    def _wait(self) -> None:
        self._timer = self._loop.call_at(self._due(), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = self._loop.create_task(self._asking())

    async def _asking(self) -> None:
        try:
            await self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is: it ends the session
            self.fault = error
            self._failed()

    async def _ask(self) -> None:
        self._asked_at, self._has_sent = self._loop.time(), False
        self._answered(await self._ping(PONG_WITHIN))
        self._wait()
