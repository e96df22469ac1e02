"""The bytes of a configuration: of a file, or of a pipe, which is not waited for without end."""

from __future__ import annotations

import os
import stat

STDIN = "-"
"""Names standard input instead of a file."""
PATIENCE = 5.0
"""Seconds that a configuration may take to come through a pipe."""
MAX_FILE = 64 * 1024
"""Bytes of a configuration file: eight times the commented sample. More is some other file."""


def read_content(path: str) -> tuple[bytes, bool]:
    """Read a file, or a pipe until its end; more than `MAX_FILE` bytes are not read to the end.

    Returns:
        the bytes, and whether it was a pipe.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no file; the pipe stays idle; the path has a NUL in it.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.dup(0) if path == STDIN else os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return _stream(descriptor), True
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a directory reading it says so
            raise ValueError("Not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE + 1), False
    finally:
        os.close(descriptor)


def _stream(descriptor: int) -> bytes:
    """Read what comes through a pipe, as ``--config <(...)`` and ``--config -`` have it."""
    import select  # noqa: PLC0415 - files are the rule
    from time import monotonic  # noqa: PLC0415

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline, raw = monotonic() + PATIENCE, b""
    while len(raw) <= MAX_FILE:
        if not poll.poll(max(deadline - monotonic(), 0.0) * 1000):
            raise ValueError(f"Nothing more came in {PATIENCE:g} s")
        piece = os.read(descriptor, MAX_FILE)
        if not piece:
            break
        raw += piece
    return raw
