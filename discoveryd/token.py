"""The control token: whoever may read its file may change what the daemon does."""

from __future__ import annotations

import os
import re
import stat

from discoveryd import directories
from discoveryd.errors import QueryError

NAME = "control.token"
DEFAULT_PATH = f"{directories.RUNTIME}/{NAME}"
MODE = 0o640
"""Its owner writes it, its group may use it; others may ask the daemon, but change nothing."""
SIZE = 32
"""Random bytes: nobody guesses them."""


def create(directory: str) -> str:
    """Give the token of a runtime directory, a new one if there is none that nobody else could have made or read.

    The one that is there stays: another daemon of this directory may live by it.

    Raises:
        OSError: the directory cannot be made or written.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, NAME)
    kept = _kept(path)
    if kept:
        return kept
    fresh = f"{path}.{os.getpid()}"
    token = os.urandom(SIZE).hex()
    try:
        # a new file, never one that somebody put or linked there
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            os.fchmod(descriptor, MODE)  # whatever the umask is
        os.replace(fresh, path)
    except FileExistsError:
        os.unlink(fresh)  # left by one that was killed right here
        return create(directory)
    except OSError:
        _remove(fresh)
        raise
    return token


def _kept(path: str) -> str:
    """Give the token of a file that is ours alone; empty if it is not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == MODE
        token = os.read(descriptor, 4096).decode("ascii", "replace").strip() if is_ours else ""
    finally:
        os.close(descriptor)
    return token if re.fullmatch(f"[0-9a-f]{{{2 * SIZE}}}", token) else ""


def default_path() -> str:
    """Give the file of the machine's daemon, where that may be read; else of a daemon of this user, if there is one."""
    own = os.path.join(directories.runtime(), NAME)
    return own if not os.access(DEFAULT_PATH, os.R_OK) and os.path.exists(own) else DEFAULT_PATH


def read(path: str) -> str:
    """Give the token that a daemon keeps in this file.

    Raises:
        QueryError: ``denied``; there is none, or we may not read it. The message says what to do.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            token = file.read(4096).strip()
    except FileNotFoundError:
        raise QueryError(
            "denied",
            f"no control token at {path}: if the daemon's paths.runtime is another directory, name the file with "
            "--token-file; else see in its log why it could not write one",
        ) from None
    except PermissionError:
        raise QueryError(
            "denied",
            f"the control token {path} may not be read: run this as root, or as a user of the file's group "
            "(see it with: ls -l)",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise QueryError("denied", f"the control token {path} cannot be read: {reason}") from None
    if not token:
        raise QueryError("denied", f"the control token {path} is empty: restart the daemon, which writes a new one")
    return token


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # what is told is why it could not be written
        return
