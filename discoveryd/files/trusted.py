"""Files that a less trusted user could have made: read, written and locked without obeying that user.

A command of root works in directories that belong to the user of the daemon. There a link is never followed, a pipe
never waited for, a file of a third user never trusted, and a file is replaced as a whole, never written into.
"""

from __future__ import annotations

import errno
import os
import stat

from discoveryd.errors import UntrustedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

MAX_FILE = 1 << 20
"""Bytes that are read of a file: all that this program reads are far shorter."""

_OPEN = "too many files are open: raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)"
_MEMORY = "there is too little memory: end something else, or raise MemoryMax= in the unit"
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space on it, or name a directory on another",
    errno.EDQUOT: "the quota of this user is used up: free some space, or name a directory on another disk",
    errno.EROFS: "that file system is mounted read-only: name a directory on another",
    errno.EIO: "the disk does not answer as it should: look at dmesg",
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
}
"""What helps against an error of the system whose number says more than its place."""


def ours() -> frozenset[int]:
    """Return the users whose files are always trusted: root, and the user of this process."""
    return frozenset((0, os.geteuid()))


def beside(path: str) -> frozenset[int]:
    """Return the users who may own a file at this path: root, the user of this process, the owner of the directory.

    Raises:
        OSError: there is no such directory.
    """
    return ours() | {os.stat(os.path.dirname(path) or ".").st_uid}


def check(path: str) -> None:
    """Refuse a path unless nothing is there, or a regular file of a user in `beside`.

    Raises:
        UntrustedFile: something else is there.
        OSError: the path cannot be examined.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    _accept(path, found, beside(path))


def open_file(
    path: str, flags: int = os.O_RDONLY, mode: int = 0o644, *, owners: Collection[int] | None, follows: bool = False
) -> int:
    """Open a regular file, without ever waiting; the descriptor is the caller's to close.

    Args:
        path: of the file.
        flags: of open(2), besides those that are always set.
        mode: of a file that it creates.
        owners: users who may own the file, None for anybody.
        follows: whether the path may be a symbolic link.

    Raises:
        UntrustedFile: a link, no regular file, or a file of another user.
        OSError: as from open(2).
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO) and not follows:  # a link, a socket
            _accept(path, os.lstat(path), owners)
        raise
    try:
        _accept(path, os.fstat(descriptor), owners)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read(path: str, limit: int = MAX_FILE, *, owners: Collection[int] | None, follows: bool = False) -> bytes:
    """Return the first `limit` bytes of a file; the rest as for `open_file`."""
    descriptor = open_file(path, owners=owners, follows=follows)
    with open(descriptor, "rb") as file:
        return file.read(limit)


def read_text(path: str, limit: int = MAX_FILE) -> str:
    """Return the first `limit` bytes of a file of any user as text; what is not UTF-8 becomes U+FFFD."""
    return read(path, limit, owners=None, follows=True).decode("utf-8", "replace")


def write(path: str, content: bytes, mode: int = 0o644, *, to_owner: bool = False) -> None:
    """Replace whatever is at a path by a file, as a whole; on an error what was there stays. The rest as for `create`.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    fresh = f"{path}.{os.urandom(4).hex()}"  # a name that no other user could guess
    create(fresh, content, mode, to_owner=to_owner)
    try:
        os.replace(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise


def create(path: str, content: bytes, mode: int, *, to_owner: bool = False) -> None:
    """Write a file that was not there before.

    Args:
        path: of the file.
        content: all of it.
        mode: of the file; the umask does not count.
        to_owner: whether a file that root writes belongs to the owner of its directory.

    Raises:
        FileExistsError: something is there already.
        OSError: the file cannot be written; nothing is left behind.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            if to_owner and os.geteuid() == 0:
                owner = os.stat(os.path.dirname(path) or ".")
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)  # else a crash may leave the name with nothing in it
    except OSError:
        os.unlink(path)
        raise


def open_in_place(path: str) -> int:
    """Open a file to lock it and to write into it; create it if it is missing.

    Raises:
        UntrustedFile: as from `open_file`, or the file has a second name elsewhere.
        OSError: as from open(2).
    """
    descriptor = open_file(path, os.O_RDWR | os.O_CREAT, owners=beside(path))
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise UntrustedFile(path, "it is a file that has another name too", f"remove {path}")
    return descriptor


def _accept(path: str, found: os.stat_result, owners: Collection[int] | None) -> None:
    """Refuse anything but a regular file of these owners.

    Raises:
        UntrustedFile: with what is there.
    """
    if stat.S_ISLNK(found.st_mode):
        raise UntrustedFile(path, "it is a symbolic link", "a link is not followed here: remove it, or name its target")
    if not stat.S_ISREG(found.st_mode):
        raise UntrustedFile(path, "it is no regular file", "remove it")
    if owners is not None and found.st_uid not in owners:
        names = " or ".join("root" if uid == 0 else f"uid {uid}" for uid in sorted(owners))
        helps = f"remove it, or chown it: its owner must be {names}"
        raise UntrustedFile(path, f"it belongs to uid {found.st_uid}", helps)


def remedy(error: OSError, otherwise: str) -> str:
    """Return what helps against an error.

    Args:
        error: of the system.
        otherwise: what helps against an error whose meaning depends on the place: a missing permission above all.
    """
    return error.remedy if isinstance(error, UntrustedFile) else _REMEDIES.get(error.errno or 0, otherwise)
