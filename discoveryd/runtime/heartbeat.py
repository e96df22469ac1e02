"""Whether every thread still comes round its loop: what the watchdog is to be fed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from discoveryd.runtime.worker import Worker


class Heartbeat:
    """Asks threads for a sign of life. For one thread.

    A thread that waits for work is as healthy as a busy one, so each is woken and must come round its loop.

    Args:
        workers: the threads.
        wake: makes each of them come round.
    """

    def __init__(self, workers: Iterable[Worker], wake: Callable[[], None]) -> None:
        self._workers = tuple(workers)
        self._wake = wake
        self._before: dict[str, int] = {}

    def silent(self) -> list[str]:
        """Return the names of the threads without a beat since they were woken; wake all again once each had one."""
        silent = [worker.name for worker in self._workers if worker.beats == self._before.get(worker.name)]
        if not silent:
            self._before = {worker.name: worker.beats for worker in self._workers}
        self._wake()
        return silent
