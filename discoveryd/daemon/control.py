"""What the holder of the control token may ask of the daemon, and the message that brings it to the main thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from discoveryd.files import token
from discoveryd.files.remedies import remedy
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.query_handlers import ReloadResult


@dataclass(frozen=True, slots=True)
class Reload:
    """Somebody wants the configuration to be read again.

    Attributes:
        done: told what came of it.
    """

    done: Callable[[ReloadResult], None]


class Control:
    """Hands requests over to the main thread.

    Args:
        directory: where the token is kept for those who may read it.
        put: takes a message for the main thread; from any thread.
    """

    def __init__(self, directory: str, put: Callable[[Any], None]) -> None:
        self.token = ""
        self._directory = directory
        self._put = put
        self._lock: int | None = None

    def open(self) -> None:
        """Make the token. Where it cannot be kept nobody can have it, which is said."""
        try:
            self.token, self._lock = token.create(self._directory)
        except OSError as error:
            helps = remedy(error, "run it as a user who may write there, or set paths.runtime")
            fields = {"directory": self._directory, "error": error.strerror, "remedy": helps}
            self._put(Notice(level="warning", text="no control token: no reload or register by socket", fields=fields))

    def close(self) -> None:
        """Let the token end with this daemon, unless another one of the directory goes on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def reload(self, done: Callable[[ReloadResult], None]) -> None:
        """Have the configuration read again."""
        self._put(Reload(done))
