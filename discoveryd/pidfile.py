"""The pid file of a detached daemon: locked while it lives, so that a stale one says nothing."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType
from typing import Self


class PidFile:
    """Holds the lock and the pid; a context manager that leaves no file behind.

    Args:
        path: of the file; its directory is made if it can be.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def holder(self) -> int | None:
        """Give the pid of the daemon that runs, None if none does.

        Raises:
            OSError: the file is there but may not be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = os.read(descriptor, 32).strip()
                return int(text) if text.isdigit() else 0
            return None
        finally:
            os.close(descriptor)

    def fileno(self) -> int:
        """Give the descriptor to keep while detaching."""
        assert self._descriptor is not None
        return self._descriptor

    def write_pid(self) -> None:
        """Put the pid of this process in."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            BlockingIOError: another process has it.
            OSError: the file may not be written.
        """
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        while not self._is_there(descriptor := self._locked()):
            os.close(descriptor)
        self._descriptor = descriptor
        self.write_pid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.unlink(self.path)
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_there(self, descriptor: int) -> bool:
        """Say whether the file still is the one at the path; its last holder may have removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False
