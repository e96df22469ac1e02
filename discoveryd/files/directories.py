"""The directories of a daemon whose configuration names none: those of the machine, or of a user."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME = "/run/discoveryd"
STATE = "/var/lib/discoveryd"


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
