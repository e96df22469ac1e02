"""Which files of a directory are hooks, and which of them are refused."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase

from discoveryd.errors import PASSING

MAX_HOOKS = 64
"""Hooks of one directory; a directory with more was not meant to hold hooks."""

_PASSED_OVER = (
    ".*", "*~", "#*#", "*.bak", "*.old", "*.orig", "*.rej", "*.swp", "*.tmp",
    "*.dpkg-*", "*.ucf-*", "*.rpmsave", "*.rpmnew", "*.rpmorig",
)  # fmt: skip
"""What editors and package managers leave behind."""
_FOREIGN_WRITERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file or directory that is not run: why, and what to do about it."""

    path: str
    why: str


def look(directory: str) -> tuple[tuple[str, ...], tuple[RefusedFile, ...]]:
    """Return the paths of the hooks, in the order of their names, and the files that are refused.

    No directory, no hooks: that is no fault. Files named as backups are, and directories, are passed over.

    Raises:
        OSError: of `PASSING`; the directory cannot be read now.
    """
    try:
        names = sorted(os.listdir(directory))
        fault = foreign(directory)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        if error.errno in PASSING:
            raise
        return (), (RefusedFile(directory, f"cannot be read: {error.strerror}"),)
    if fault:
        return (), (RefusedFile(directory, fault),)
    hooks: list[str] = []
    faults: list[RefusedFile] = []
    for name in names:
        path = os.path.join(directory, name)
        if any(fnmatchcase(name, pattern) for pattern in _PASSED_OVER) or os.path.isdir(path):
            continue
        why = why_not(path)
        if why:
            faults.append(RefusedFile(path, why))
        else:
            hooks.append(path)
    if len(hooks) > MAX_HOOKS:
        faults.append(RefusedFile(directory, f"has {len(hooks)} hooks; only the first {MAX_HOOKS} by name are run"))
    return tuple(hooks[:MAX_HOOKS]), tuple(faults[:MAX_HOOKS])


def why_not(path: str) -> str:
    """Return why a file must not be run, empty if it may be.

    A user that can write the file, or replace it, has the rights of the daemon if it is run.
    """
    try:
        found = os.stat(path)
        real = os.path.realpath(path)
        fault = foreign(path) or foreign(os.path.dirname(real))
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file: remove it"
    if fault:
        return fault
    return "" if os.access(path, os.X_OK) else f"is not executable: chmod +x {path}"


def foreign(path: str) -> str:
    """Return which other users may write a file or directory, and the remedy; empty if none may.

    Raises:
        OSError: its owner and mode cannot be read.
    """
    found = os.stat(path)
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to uid {found.st_uid}, neither root nor the daemon's: chown root {path}"
    if found.st_mode & _FOREIGN_WRITERS:
        return f"{path} is writable by group or others: chmod go-w {path}"
    return ""
