"""The control token: whoever may read its file may change what the daemon does."""

from __future__ import annotations

import os
import stat

from discoveryd import directories, trusted
from discoveryd.errors import QueryError, UntrustedFile

NAME = "control.token"
DEFAULT_PATH = f"{directories.RUNTIME}/{NAME}"
MODE = 0o640
"""Its owner writes it, its group may use it; others may ask the daemon, but change nothing."""
SIZE = 32
"""Random bytes: nobody guesses them."""
_DIGITS = frozenset("0123456789abcdef")


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
    token = os.urandom(SIZE).hex()
    trusted.write(path, f"{token}\n".encode("ascii"), MODE)
    return token


def _kept(path: str) -> str:
    """Give the token of a file that is ours alone; empty if it is not."""
    try:
        descriptor = trusted.open_file(path, owners=(os.geteuid(),))
    except OSError:
        return ""
    with open(descriptor, encoding="ascii", errors="replace") as file:
        is_ours = stat.S_IMODE(os.fstat(descriptor).st_mode) == MODE
        token = file.read(4096).strip() if is_ours else ""
    return token if _is_token(token) else ""


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
        token = trusted.read(path, 4096, owners=trusted.beside(path)).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise QueryError(
            "denied",
            f"no control token at {path}: if the daemon's paths.runtime is another directory, name the file with "
            "--token-file; else see in its log why it could not write one",
        ) from None
    except UntrustedFile as error:
        why = f"the control token {path} is not read: {error.strerror}; {error.remedy}"
        raise QueryError("denied", why) from None
    except PermissionError:
        raise QueryError(
            "denied",
            f"the control token {path} may not be read: run this as root, or as a user of the file's group "
            "(see it with: ls -l)",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise QueryError("denied", f"the control token {path} cannot be read: {reason}") from None
    if not _is_token(token):
        helps = "name the file of the daemon with --token-file, or restart the daemon, which writes a new one"
        raise QueryError("denied", f"{path} holds no control token ({2 * SIZE} hexadecimal digits): {helps}")
    return token


def _is_token(text: str) -> bool:
    return len(text) == 2 * SIZE and set(text) <= _DIGITS
