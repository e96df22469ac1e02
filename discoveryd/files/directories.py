"""Directories of a daemon whose configuration names none, and places of the files that ship with the package."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME = "/run/discoveryd"
STATE = "/var/lib/discoveryd"
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def runtime(environ: Mapping[str, str] = os.environ) -> str:
    """Return the runtime directory: that of the machine if this user may write there, else that of this user.

    Where this user has none (no login session) it is that of the machine all the same.
    """
    base = environ.get("XDG_RUNTIME_DIR", "")
    return f"{base}/discoveryd" if base.startswith("/") and not _may_write(RUNTIME) else RUNTIME


def state(environ: Mapping[str, str] = os.environ) -> str:
    """Return the state directory: that of the machine if this user may write there, else that of this user."""
    base, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if not base.startswith("/"):  # the XDG base directories are absolute, or to be passed over
        base = f"{home}/.local/state" if home.startswith("/") else ""
    return f"{base}/discoveryd" if base and not _may_write(STATE) else STATE


def _may_write(directory: str) -> bool:
    """Return whether this is root, or the user that a service manager made the directory for."""
    return os.geteuid() == 0 or os.access(directory, os.W_OK)


def shipped(name: str) -> str:
    """Return the path of a shipped file or directory, given its name in the repository, ``config/discoveryd.yaml``.

    A checkout serves its own files. A wheel has put them under ``share/discoveryd`` of the prefix it was
    installed to, which is ``sys.prefix`` in a virtual environment, but not for ``pip install --user``, nor for the
    system's Python on Debian: there the package's own place tells it.

    Raises:
        FileNotFoundError: there is no such file; with the places that were searched.
    """
    checkout = os.path.dirname(PACKAGE)
    prefix = os.path.abspath(os.path.join(PACKAGE, *[os.pardir] * 4))  # of PREFIX/lib/python3.x/site-packages/…
    roots = [checkout] if os.path.exists(os.path.join(checkout, "pyproject.toml")) else []
    roots += dict.fromkeys(os.path.join(base, "share", "discoveryd") for base in (prefix, sys.prefix))
    tried = [os.path.join(root, name) for root in roots]
    for path in tried:
        if os.path.exists(path):
            return path
    raise FileNotFoundError(
        f"{name} of discoveryd is missing, looked for at {', '.join(tried)}; install the package again, whole"
    )
