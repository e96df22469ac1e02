"""The Python environment that runs this, and whether a service in a sandbox could be started from it."""

from __future__ import annotations

import os
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator

import discoveryd

HIDDEN = (
    ("/home", "ProtectHome="),
    ("/root", "ProtectHome="),
    ("/run/user", "ProtectHome="),
    ("/tmp", "PrivateTmp="),  # noqa: S108 - named because it cannot be used
    ("/var/tmp", "PrivateTmp="),  # noqa: S108
)
"""What the unit shows to the service as empty, and the setting that does."""
_ROOTS = ("root", "staff")
"""Groups that may write where root's programs are: Debian gives /usr/local to the second, which it calls root's."""


def commands() -> str:
    """Return the directory of this environment's ``discoveryd`` command."""
    return sysconfig.get_path("scripts")


def obstacles() -> list[str]:
    """Return why a service could not be started from here, or should not be: a sentence each.

    Checked are the command, the interpreter behind a virtual environment, and the package, which an editable
    installation leaves where it was checked out. Root runs all of them, by the links in /usr/local/bin.
    """
    command = os.path.join(commands(), "discoveryd")
    if not os.path.exists(command):
        return [f"there is no {command}: install the package into this environment first"]
    if not re.fullmatch(r"[\w/.+@:-]+", command, re.ASCII):
        return [f"a unit cannot name {command} plainly: its path needs to be of letters, digits and / . _ + @ : -"]
    needed = (command, sys.executable, os.path.realpath(sys.executable), os.path.abspath(discoveryd.__file__))
    found = [obstacle(os.path.realpath(path)) or obstacle(path) for path in needed]
    found += [intruder(os.path.realpath(path)) or intruder(path) for path in needed]
    return list(dict.fromkeys(text for text in found if text))


def obstacle(path: str) -> str:
    """Return why a user without privileges in the unit's sandbox could not read a file; empty if the user could."""
    for hidden, setting in HIDDEN:
        if path.startswith(f"{hidden}/"):
            return f"the service cannot reach {path}: {setting} of its unit hides {hidden}"
    for directory in _above(path):
        if not mode_of(directory) & stat.S_IXOTH:
            return f"the service's user cannot enter {directory}, needed for {path}"
    return "" if mode_of(path) & stat.S_IROTH else f"the service's user cannot read {path}"


def intruder(path: str) -> str:
    """Return which users besides root could replace a file, or what it runs; empty if none could."""
    for place in (path, *_above(path)):
        found = os.stat(place)
        mode, is_sticky = found.st_mode, bool(found.st_mode & stat.S_ISVTX)
        user = ""
        if found.st_uid:
            user = f"uid {found.st_uid}, its owner,"
        elif mode & stat.S_IWOTH and not is_sticky:
            user = "everybody"
        elif mode & stat.S_IWGRP and not is_sticky and _group(found.st_gid) not in _ROOTS:
            user = f"the group {_group(found.st_gid)}"
        if user:
            helps = f"chown -R root:root {place}; chmod -R go-w {place}"
            return f"{user} may change {place}, and root would run it: {helps}"
    return ""


def _above(path: str) -> Iterator[str]:
    """Yield the directories above a path, the nearest first."""
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _group(gid: int) -> str:
    import grp  # noqa: PLC0415 - seldom wanted

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def mode_of(path: str) -> int:
    """Return the mode of a file."""
    return os.stat(path).st_mode
