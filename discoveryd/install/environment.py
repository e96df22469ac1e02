"""The Python environment that runs this, and whether a service in a sandbox could be started from it."""

from __future__ import annotations

import os
import re
import stat
import sys
import sysconfig

import discoveryd

_HIDDEN = (
    ("/home", "ProtectHome="),
    ("/root", "ProtectHome="),
    ("/run/user", "ProtectHome="),
    ("/tmp", "PrivateTmp="),  # noqa: S108 - named because it cannot be used
    ("/var/tmp", "PrivateTmp="),  # noqa: S108
)
"""What the unit shows to the service as empty, and the setting that does."""


def commands() -> str:
    """Give the directory of this environment's ``discoveryd`` command."""
    return sysconfig.get_path("scripts")


def obstacles() -> list[str]:
    """Say why a service could not be started from here: one sentence each, none if it could.

    Looked at are the command, the interpreter behind a virtual environment, and the package, which an
    editable installation leaves where it was checked out.
    """
    command = os.path.join(commands(), "discoveryd")
    if not os.path.exists(command):
        return [f"there is no {command}: install the package into this environment first"]
    if not re.fullmatch(r"[\w/.+@:-]+", command, re.ASCII):
        return [f"a unit cannot name {command} plainly: its path needs to be of letters, digits and / . _ + @ : -"]
    needed = (command, sys.executable, os.path.realpath(sys.executable), os.path.abspath(discoveryd.__file__))
    found = [obstacle(os.path.realpath(path)) or obstacle(path) for path in needed]
    return list(dict.fromkeys(text for text in found if text))


def obstacle(path: str) -> str:
    """Say why a user without privileges in the unit's sandbox could not read a file; empty if it could."""
    for hidden, setting in _HIDDEN:
        if path.startswith(f"{hidden}/"):
            return f"the service cannot reach {path}: {setting} of its unit hides {hidden}"
    directory = os.path.dirname(path)
    while directory != os.path.dirname(directory):
        if not _mode(directory) & stat.S_IXOTH:
            return f"the service's user cannot enter {directory}, needed for {path}"
        directory = os.path.dirname(directory)
    return "" if _mode(path) & stat.S_IROTH else f"the service's user cannot read {path}"


def _mode(path: str) -> int:
    return os.stat(path).st_mode
