"""The control token, and the requests to the main thread that it allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from discoveryd.daemon.parts import Part
from discoveryd.files import token
from discoveryd.files.remedies import remedy
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.query_handlers import ReloadResult


@dataclass(frozen=True, slots=True)
class Reload:
    """A request to read the configuration again.

    Attributes:
        done: called with the result.
    """

    done: Callable[[ReloadResult], None]


class DaemonControl:
    """What the holder of the token may ask for; see `discoveryd.runtime.query_handlers.Control`.

    Args:
        put: takes a message for the main thread; in any thread.
    """

    def __init__(self, put: Callable[[Notice | Reload], None]) -> None:
        self.token = ""
        self.put = put

    def reload(self, done: Callable[[ReloadResult], None]) -> None:
        """Have the main thread read the configuration again."""
        self.put(Reload(done))


class TokenPart(Part):
    """Keeps the control token.

    Args:
        directory: where the token is kept.
        control: is given the token.
    """

    name = "control token"

    def __init__(self, directory: str, control: DaemonControl) -> None:
        self._directory = directory
        self._control = control
        self._lock: int | None = None

    def start(self) -> None:
        """Make the token; if that fails a notice says that nothing can be changed."""
        try:
            self._control.token, self._lock = token.create(self._directory)
        except OSError as error:
            helps = remedy(error, "run it as a user who may write there, or set paths.runtime")
            fields = {"directory": self._directory, "error": error.strerror, "remedy": helps}
            text = "no control token: no reload or register by socket"
            self._control.put(Notice(level="warning", text=text, fields=fields))

    def stop(self) -> None:
        """Let the token end with this daemon, unless another daemon of the directory goes on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
