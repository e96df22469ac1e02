"""The pid file of a detached daemon: locked while the daemon lives, so that a stale file means nothing."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from discoveryd.errors import UntrustedFile
from discoveryd.files import trusted

PROGRAM = "discoveryd"
PID_DIGITS = 10
"""A number with as many digits is more than the kernel surely takes."""


class PidFile:
    """Holds the lock and the pid; a context manager that leaves no file behind.

    Args:
        path: of the file; its directory is made if it can be.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def holder(self) -> int | None:
        """Return the pid of the daemon that runs, 0 if the file does not say, None if none runs.

        Raises:
            UntrustedFile: the file is not ours.
            OSError: the file is there but may not be read.
        """
        found = self._holder()
        return None if found is None else found[0]

    def open_daemon(self) -> tuple[int, int] | None:
        """Return pid and pidfd of the daemon that runs, checked, so that root does not end any process a file names.

        Raises:
            UntrustedFile: the process is another program, or belongs to another user than the file.
            ProcessLookupError: it has just ended.
            OSError: the file is there but may not be read.
        """
        found = self._holder()
        if found is None or not found[0]:
            return None
        pid, owner = found
        handle = os.pidfd_open(pid)  # first: the pid may belong to another process by the time it has been checked
        why = _foreign(pid, owner)
        if why:
            os.close(handle)
            raise UntrustedFile(self.path, f"it names pid {pid}, {why}", f"nothing was ended; remove {self.path}")
        return pid, handle

    def fileno(self) -> int:
        """Return the descriptor to keep while detaching."""
        assert self._descriptor is not None
        return self._descriptor

    def write_pid(self) -> None:
        """Write the pid of this process into the file."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            BlockingIOError: another process holds it.
            UntrustedFile: the file is not ours.
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

    def _holder(self) -> tuple[int, int] | None:
        """Return the pid in the file and the owner of the file, None if nobody holds the lock."""
        try:
            descriptor = trusted.open_file(self.path, owners=trusted.beside(self.path))
        except FileNotFoundError:
            return None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = os.read(descriptor, 32).strip()
                is_pid = text.isdigit() and len(text) < PID_DIGITS
                return (int(text) if is_pid else 0), os.fstat(descriptor).st_uid
            return None
        finally:
            os.close(descriptor)

    def _locked(self) -> int:
        descriptor = trusted.open_in_place(self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_there(self, descriptor: int) -> bool:
        """Return whether the file is still at the path; its last holder may have removed it meanwhile."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False


def _foreign(pid: int, owner: int) -> str:
    """Return why a process is not a daemon that the owner of the file started; empty if it is."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended, as the signal will show
        lines = trusted.read_text(f"/proc/{pid}/status", 4096).splitlines()
        uids = next((line.split()[1:] for line in lines if line.startswith("Uid:")), [])
        if set(uids) != {str(owner)}:  # real, effective, saved and file system
            return f"which belongs to uid {'/'.join(dict.fromkeys(uids))}, not to uid {owner} as the file"
        words = trusted.read_text(f"/proc/{pid}/cmdline", 4096).split("\0")
        if "start" not in words or not any(PROGRAM in word for word in words):
            return f"which is no daemon that `{PROGRAM} start` began"
    return ""
