"""A named thread that cannot die unnoticed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable


class Birthplace:
    """The process in which something was made or started: a forked child has a copy of it, and none of its threads.

    Args:
        what: its name, for the message.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = os.getpid()

    def move_here(self) -> None:
        """Count this process from now on: nothing was started in the other one."""
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


class Worker:
    """Runs a function in a thread of its own; an exception out of it is reported, never lost.

    Args:
        name: of the thread, as debuggers and error messages show it.
        run: the function.
        failed: told the exception, in that thread, before it ends.

    Attributes:
        beats: how often its loop has come round, counted by itself.
    """

    def __init__(
        self, name: str, run: Callable[[], None], failed: Callable[[str, BaseException], None]
    ) -> None:
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
        except BaseException as error:  # noqa: BLE001 - whatever it is, a silent end would be worse
            self._failed(self.name, error)
