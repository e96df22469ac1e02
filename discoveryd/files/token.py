"""The control token: a user who may read its file may change what the daemon does."""

import os
import stat
from contextlib import suppress
from time import monotonic, sleep

from discoveryd.errors import QueryError, UntrustedFile
from discoveryd.files import directories, trusted

NAME = "control.token"
DEFAULT_PATH = f"{directories.RUNTIME}/{NAME}"
MODE = 0o640
"""The owner writes it, the group may use it; others may ask the daemon, but change nothing."""
SIZE = 32
"""Random bytes: too many to guess."""
PATIENCE = 1.0
"""Seconds to wait for another daemon that is making its token."""
_DIGITS = frozenset("0123456789abcdef")


def create(directory: str) -> tuple[str, int]:
    """Return the token of a runtime directory, and a descriptor that keeps it in use until it is closed.

    The token is new, unless another daemon of this directory uses the token that is there.

    Raises:
        OSError: the directory cannot be made or written.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, NAME)
    # two daemons that start at one moment must not each make a token; one that hangs delays the other by a second
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = monotonic() + PATIENCE
        while not _lock(lock, is_shared=False) and monotonic() < deadline:
            sleep(PATIENCE / 100)
        found = _in_use(path)
        if found is None:
            trusted.write(path, f"{os.urandom(SIZE).hex()}\n".encode("ascii"), MODE)
            found = _opened(path)
        _lock(found[1], is_shared=True)
        return found
    finally:
        os.close(lock)


def _in_use(path: str) -> tuple[str, int] | None:
    """Open the token that a daemon uses; None if no daemon does, or if another user could have made or read it."""
    try:
        token, descriptor = _opened(path)
    except OSError:
        return None
    is_ours = stat.S_IMODE(os.fstat(descriptor).st_mode) == MODE and _is_token(token)
    if is_ours and not _lock(descriptor, is_shared=False):
        return token, descriptor
    os.close(descriptor)
    return None


def _opened(path: str) -> tuple[str, int]:
    descriptor = trusted.open_file(path, owners=trusted.ours())
    return os.read(descriptor, 4096).decode("ascii", "replace").strip(), descriptor


def _lock(descriptor: int, *, is_shared: bool) -> bool:
    """Lock a file; return whether no other lock prevented it."""
    import fcntl  # noqa: PLC0415 - not needed to read

    with suppress(BlockingIOError):
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    return False


def default_path() -> str:
    """Return the file of the machine's daemon if it may be read; else that of a daemon of this user, if it is there."""
    own = os.path.join(directories.runtime(), NAME)
    return own if not os.access(DEFAULT_PATH, os.R_OK) and os.path.exists(own) else DEFAULT_PATH


def read(path: str) -> str:
    """Return the token that a daemon keeps in this file.

    Raises:
        QueryError: ``denied``; there is none, or it may not be read. The message says what to do.
    """
    try:
        token = trusted.read(path, 4096, owners=trusted.beside(path)).decode("ascii", "replace").strip()
    except FileNotFoundError:
        helps = "if the daemon's paths.runtime is another directory, name the file with --token-file"
        why = f"no control token at {path}: {helps}; else see in its log why it could not write one"
    except UntrustedFile as error:
        why = f"the control token {path} is not read: {error.strerror}; {error.remedy}"
    except PermissionError:
        helps = "run this as root, or as a user of the file's group (see it with: ls -l)"
        why = f"the control token {path} may not be read: {helps}"
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        why = f"the control token {path} cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        if _is_token(token):
            return token
        helps = "name the file of the daemon with --token-file, or restart the daemon, which writes a new one"
        why = f"{path} holds no control token ({2 * SIZE} hexadecimal digits): {helps}"
    raise QueryError("denied", why)


def vet(path: str, address: tuple[str, int], owner: str) -> None:
    """Check the user that listens in the place of the daemon.

    Args:
        path: of the token.
        address: where the program listens.
        owner: ``uid 1000``; of another machine, or a kernel that does not say, anything else: the token stays secret
            all the same.

    Raises:
        QueryError: ``denied``; it is neither root, nor this user, nor the owner of the token.
    """
    kind, _, uid = owner.partition(" ")
    if kind != "uid":
        return
    try:
        trusts = trusted.ours() | {os.stat(path).st_uid}
    except OSError:  # no token, so there is nothing to show
        return
    if int(uid) in trusts:
        return
    import pwd  # noqa: PLC0415 - hardly ever

    from discoveryd.net.owner import holder  # noqa: PLC0415

    host, port = address
    with suppress(KeyError):
        owner += f" ({pwd.getpwuid(int(uid)).pw_name})"
    program = holder(port, "tcp", host if host.startswith("127.") else "0.0.0.0") or "the program"
    why = f"{program} that listens at {host}:{port} belongs to {owner}, neither root nor the owner of"
    helps = "nothing was shown to it; end it, then start the daemon again"
    raise QueryError("denied", f"{why} the control token {path}: {helps}")


def _is_token(text: str) -> bool:
    return len(text) == 2 * SIZE and set(text) <= _DIGITS
