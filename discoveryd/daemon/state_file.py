"""A small text file of the state directory that outlives a restart of the daemon."""

import os
from collections.abc import Callable

from discoveryd.files import trusted
from discoveryd.files.trusted import remedy
from discoveryd.runtime.notices import Notice, warning


class StateFile:
    """Reads and writes the file as a whole. What cannot be read or written is told once for each reason.

    Args:
        directory: the state directory; made with the first writing.
        name: of the file.
        limit: bytes that are read of it.
        holds: what is in it, and what follows when it fails, for the log: ``{fault}`` becomes read or written.
        notify: told in which case.
    """

    def __init__(
        self, directory: str, name: str, *, limit: int, holds: str, notify: Callable[[Notice], None]
    ) -> None:
        self.path = os.path.join(directory, name)
        self._limit = limit
        self._holds = holds
        self._notify = notify
        self._fault = ""

    def read(self) -> bytes:
        """Return what is in the file; nothing where there is none, or it cannot be read."""
        try:
            return trusted.read(self.path, self._limit, owners=trusted.beside(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            self._tell("read", error, "let the user of discoveryd read it, or remove it")
            return b""

    def write(self, content: bytes) -> bool:
        """Replace what is in the file, and return whether that was possible; without content no file is made."""
        if not content and not os.path.lexists(self.path):
            return True
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            trusted.write(self.path, content)
        except OSError as error:
            self._tell("written", error, "let the user of discoveryd write there, or set paths.state")
            return False
        self._fault = ""
        return True

    def _tell(self, what: str, error: OSError, otherwise: str) -> None:
        why = error.strerror or str(error)
        if why != self._fault:
            self._fault = why
            fields = {"file": self.path, "error": why, "remedy": remedy(error, otherwise)}
            self._notify(warning(self._holds.format(fault=what), **fields))
