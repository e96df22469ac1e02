"""What helps against an error of the system; its number mostly says more than its place."""

from __future__ import annotations

import errno

from discoveryd.errors import UntrustedFile

_FULL = "the disk is full: free some space on it, or name a directory on another"
_OPEN = "too many files are open: raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)"
_BY_NUMBER = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the quota of this user is used up: free some space, or name a directory on another disk",
    errno.EROFS: "that file system is mounted read-only: name a directory on another",
    errno.EIO: "the disk does not answer as it should: look at dmesg",
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.ENOMEM: "there is too little memory: end something else, or raise MemoryMax= in the unit",
    errno.ENOBUFS: "there is too little memory: end something else, or raise MemoryMax= in the unit",
}


def remedy(error: OSError, otherwise: str) -> str:
    """Return what helps against an error.

    Args:
        error: of the system.
        otherwise: what helps against an error whose meaning depends on the place: a missing permission above all.
    """
    if isinstance(error, UntrustedFile):
        return error.remedy
    return _BY_NUMBER.get(error.errno or 0, otherwise)
