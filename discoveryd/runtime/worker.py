"""A named thread that cannot die unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs a function in a thread of its own; an exception out of it is reported, never lost.

    Args:
        name: of the thread, as debuggers and error messages show it.
        run: the function.
        failed: told the exception, in that thread, before it ends.

    Attributes:
        turns: how often its loop has come round, counted by itself.
    """

    def __init__(
        self, name: str, run: Callable[[], None], failed: Callable[[str, BaseException], None]
    ) -> None:
        self.name = name
        self.turns = 0
        self._run = run
        self._failed = failed
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self._thread.start()

    def turn(self) -> None:
        """Count a turn of the loop: called by the function itself."""
        self.turns += 1

    def join(self, timeout: float) -> bool:
        """Wait for the end; whether it came within `timeout` seconds.

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
