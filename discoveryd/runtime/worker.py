"""A named thread that cannot die unnoticed, and a watch over several."""

import errno
import os
import threading
from collections.abc import Callable, Iterable


class Birthplace:
    """The process in which something was made or started: a forked child has a copy of it, and none of its threads.

    Args:
        what: its name, for the message.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = os.getpid()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process was forked off since."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Raise in a forked child, whose copy no thread keeps true. Call it before any lock: one may never be released.

        Raises:
            RuntimeError: in another process, with what to do.
        """
        if self.is_elsewhere:
            raise RuntimeError(
                f"this {self._what} belongs to process {self._pid}, and this is {os.getpid()}, forked from it: its "
                f"threads are not here. Make and start one here, after the fork (gunicorn: in post_fork; "
                f"multiprocessing: in the function that the child runs)"
            )


Failed = Callable[[str, BaseException], None]
"""Is told the name of a thread, and the exception that ends it."""


class Worker:
    """Runs a function in a thread of its own; an exception out of it is reported, never lost.

    Args:
        name: of the thread, as debuggers and error messages show it.
        run: the function.
        failed: told the exception, in that thread, before it ends.

    Attributes:
        beats: how often its loop has come round, counted by itself.
    """

    def __init__(self, name: str, run: Callable[[], None], failed: Failed) -> None:
        self.name = name
        self.beats = 0
        self._run = run
        self._failed = failed
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread.

        Raises:
            OSError: EAGAIN; the system allows no further thread.
        """
        thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"cannot start the thread {self.name}: {error}") from None
        self._thread = thread

    def beat(self) -> None:
        """Count a turn of the loop: called by the function itself."""
        self.beats += 1

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came within `timeout` seconds.

        True at once if never started, or called in this very thread, which cannot wait for itself.
        """
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._failed(self.name, error)
            raise  # for threading.excepthook: a silent end would be worse


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
