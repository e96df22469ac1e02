"""Requests to systemd, and to the kernel of this machine."""

from __future__ import annotations

import os
import subprocess

SERVICE = "discoveryd.service"
SOCKET = "discoveryd.socket"
BOOTED = "/run/systemd/system"
"""A directory that is there if systemd is the init of this machine, see sd_booted(3)."""

PROC = "/proc/sys"
"""Where the kernel has its limits; the file in sysctl.d is read at the next boot only."""
TIMEOUT = 120.0
"""Seconds: a start may take TimeoutStartSec=, 90 by default."""
LINES = "20"
"""Of the journal, when the start failed: about one attempt."""


def is_booted() -> bool:
    """Return whether systemd runs this machine."""
    return os.path.isdir(BOOTED)


def is_enabled(unit: str = SERVICE) -> bool:
    """Return whether a unit starts with the machine."""
    return _run("systemctl", "is-enabled", "--quiet", unit).returncode == 0


def is_active(unit: str = SERVICE) -> bool:
    """Return whether a unit runs."""
    return _run("systemctl", "is-active", "--quiet", unit).returncode == 0


def systemctl(*request: str) -> None:
    """Run a command of systemctl, and wait for its end.

    Raises:
        OSError: the command failed; with the reason.
    """
    done = _run("systemctl", "--no-ask-password", *request)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise OSError(f"systemctl {' '.join(request)}: {said or f'exit code {done.returncode}'}")


def journal() -> str:
    """Return the last lines that the service logged."""
    done = _run("journalctl", "-u", SERVICE, "-n", LINES, "--no-pager", "-o", "short-precise")
    return done.stdout or done.stderr


def raised(content: bytes, *, is_dry: bool) -> list[tuple[str, int, int]]:
    """Raise each limit that is lower than a file in the form of sysctl.d(5) says; lower none.

    Returns:
        name, value before and value now of each that was raised.

    Raises:
        OSError: the kernel has no such limit, or it may not be set here, as in a container; with the path.
    """
    done = []
    for line in content.decode().splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = (part.strip() for part in line.partition("="))
        path = os.path.join(PROC, *name.split("."))
        with open(path, encoding="ascii") as file:
            found = int(file.read())
        if found >= int(value):
            continue
        if not is_dry:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{value}\n")
        done.append((name, found, int(value)))
    return done


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - root's own PATH finds systemd's commands
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{' '.join(command)}: no answer within {TIMEOUT:g} s") from None
