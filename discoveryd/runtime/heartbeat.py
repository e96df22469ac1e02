"""Whether every thread still comes round: what a watchdog is to be fed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from discoveryd.runtime.worker import Worker


class Pulse:
    """Asks threads for a sign of life. For one thread.

    A thread that waits for work is as healthy as a busy one, so each is woken and must come round its loop.

    Args:
        workers: that must.
        wake: makes each of them do so.
    """

    def __init__(self, workers: Iterable[Worker], wake: Callable[[], None]) -> None:
        self._workers = tuple(workers)
        self._wake = wake
        self._asked: dict[str, int] = {}

    def silent(self) -> list[str]:
        """Name those that have not come round since they were asked; ask again once all have."""
        silent = [worker.name for worker in self._workers if worker.turns == self._asked.get(worker.name)]
        if not silent:
            self._asked = {worker.name: worker.turns for worker in self._workers}
        self._wake()
        return silent
