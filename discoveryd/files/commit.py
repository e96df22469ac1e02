"""The commit that this program is of, where that is known: in a checkout, and in what was built from one."""

import os
from contextlib import suppress

from discoveryd import __version__
from discoveryd.files.directories import PACKAGE

FILE = "discoveryd/commit.txt"
"""Made by setup.py when it builds from a checkout."""
_TIMEOUT = 5.0
"""Seconds for git, which may have to look at every file."""


def version() -> str:
    """Return the version, followed by the commit where it is known: ``0.2.0 (1b307a0)``."""
    root = os.path.dirname(PACKAGE)
    commit = described(root)
    if not commit:
        with suppress(OSError), open(os.path.join(root, FILE), encoding="ascii") as file:
            commit = file.read().strip()
    return f"{__version__} ({commit})" if commit else __version__


def described(root: str) -> str:
    """Return the commit of a checkout, ``-dirty`` if it was changed since.

    Empty where there is no checkout or no git.
    """
    if not (os.path.exists(f"{root}/.git") and os.path.exists(f"{root}/pyproject.toml")):
        return ""
    import subprocess  # noqa: PLC0415 - in a checkout only

    git = ["git", "-c", f"safe.directory={root}", "-C", root, "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
