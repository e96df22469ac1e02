"""The event loop of the parts of the daemon that speak through asyncio libraries: web, dns, sites.

They share one thread, which is there only while one of them is on. What is called in it must not block: another part
would wait with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from discoveryd.net.turns import TimedSelector
from discoveryd.runtime.notices import Notify, warning
from discoveryd.runtime.worker import Failed, Worker

Result = TypeVar("Result")

START = 5.0
"""Seconds within which the loop must be at work."""
PATIENCE = 1.0
"""Seconds that what still runs at `Loop.stop` has to end, after it was cancelled."""
TELL_EVERY = 60.0
"""Seconds between two lines of callbacks that fail; `Loop.status` counts all."""


class Loop:
    """One thread with an event loop, started by the first part that needs it.

    Args:
        notify: told of what fails in the background.
        failed: told name and exception, should an exception end the thread.
    """

    def __init__(self, notify: Notify, failed: Failed) -> None:
        self._notify = notify
        self._worker = Worker("event-loop", self._main, failed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._lock = threading.Lock()  # what is handed over is on the loop before the loop is told to end, or refused
        self._end: asyncio.Event | None = None
        self._is_stopped = False
        self._selector: TimedSelector | None = None
        self._failures = 0
        self._telling_at = 0.0  # when the next failure of a callback may be told

    @property
    def is_running(self) -> bool:
        """Whether the thread is there, and takes what is given to it."""
        return self._loop is not None and not self._is_stopped

    def start(self) -> None:
        """Start the thread, unless it runs. Call it in one thread only, the one that stops it.

        Raises:
            OSError: EAGAIN; the system allows no further thread now.
            RuntimeError: after `stop`.
        """
        if self._is_stopped:
            raise RuntimeError("the event loop was stopped")
        if self._loop is None:
            self._begun.clear()
            self._worker.start()
            if not self._begun.wait(START):
                raise OSError(f"the event loop did not start within {START:g} s")

    def run(self, work: Coroutine[Any, Any, Result], *, timeout: float = START) -> Result:
        """Run a coroutine on the loop and return its result; start the loop if need be. Not for the loop's own thread.

        Args:
            work: what to run; cancelled if it takes longer than `timeout`.
            timeout: seconds.

        Raises:
            TimeoutError: it took longer.
            Exception: what the coroutine raised.
        """
        try:
            self.start()
        except (OSError, RuntimeError):
            work.close()
            raise
        future = self._submit(work)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def spawn(self, make: Callable[[], Coroutine[Any, Any, Any]], *, name: str) -> Future[Any]:
        """Let a coroutine run in the background until it ends, is cancelled, or the loop stops. For any thread.

        Args:
            make: makes the coroutine, on the loop: what is cancelled before its first step is never made, and so is
                not left behind unawaited. An exception out of it is told once.
            name: what it is, for that line.

        Returns:
            cancelled by its ``cancel()``.

        Raises:
            RuntimeError: the loop does not run.
        """
        return self._submit(self._guard(make, name))

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function on the loop, soon; nothing happens where no loop runs. For any thread.

        Args:
            function: an exception out of it is told.
            args: its arguments.
        """
        with suppress(RuntimeError):  # closed meanwhile
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *args)

    @property
    def behind(self) -> float:
        """Seconds for which a callback has kept all others waiting; 0 while the loop waits, or does not run."""
        return self._selector.turn() if self._selector is not None and self.is_running else 0.0

    def status(self) -> dict[str, Any]:
        """Return whether the loop runs, how far it was behind of late in milliseconds, and how many calls failed."""
        longest = self._selector.longest() if self._selector is not None and self.is_running else 0.0
        return {"running": self.is_running, "behind_ms": round(1000 * longest, 1), "failures": self._failures}

    def stop(self) -> None:
        """Cancel what runs, give it a second to end, and end the thread. Safe to call again, and before `start`."""
        with self._lock:
            self._is_stopped = True
        if self._loop is not None and self._end is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end.set)
            self._worker.join(2 * PATIENCE)

    def _submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        with self._lock:
            loop = None if self._is_stopped else self._loop
            if loop is not None:
                with suppress(RuntimeError):  # closed
                    return asyncio.run_coroutine_threadsafe(work, loop)
        work.close()
        raise RuntimeError("the event loop does not run")

    # --- in the thread --------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._made) as runner:
                runner.run(self._serve())
        finally:
            self._loop = None

    def _made(self) -> asyncio.AbstractEventLoop:
        self._selector = TimedSelector(monotonic)
        return asyncio.SelectorEventLoop(self._selector)

    async def _serve(self) -> None:
        """Wait for `stop`; then cancel the rest and wait for it, but not for ever."""
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._tell)
        end = self._end = asyncio.Event()
        self._begun.set()
        await end.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)

    async def _guard(self, make: Callable[[], Coroutine[Any, Any, Any]], name: str) -> Any:
        try:
            return await make()
        except (asyncio.CancelledError, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: the loop, and the other parts on it, go on
            self._failures += 1
            self._notify(warning("a task of the event loop failed", task=name, error=_in_words(error)))
            return None

    def _tell(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell of a callback that failed: such as one for each datagram may fail a thousand times a second."""
        self._failures += 1
        if (now := monotonic()) >= self._telling_at:
            self._telling_at = now + TELL_EVERY
            error = context.get("exception")
            why = _in_words(error) if isinstance(error, BaseException) else str(context.get("message", ""))
            self._notify(warning("a callback of the event loop failed", error=why, failures=self._failures))


def _in_words(error: BaseException) -> str:
    """Return class and text of an error in a line."""
    return f"{type(error).__name__}: {error}"
