"""The machine: whether its service could be started from this environment, and requests to systemd and the kernel."""

import os
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress

import discoveryd
from discoveryd.install import packaged

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
    """Return the directory of this environment's ``discoveryd`` command, or of that of a package."""
    return packaged.COMMANDS if packaged.is_packaged() else sysconfig.get_path("scripts")


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
    checks = (obstacle, intruder)
    found = [check(os.path.realpath(path)) or check(path) for check in checks for path in needed]
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
        writable = 0 if found.st_mode & stat.S_ISVTX else found.st_mode
        user = ""
        if found.st_uid:
            user = f"uid {found.st_uid}, its owner,"
        elif writable & stat.S_IWOTH:
            user = "everybody"
        elif writable & stat.S_IWGRP and (group := _group(found.st_gid)) not in _ROOTS:
            user = f"the group {group}"
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


def is_booted() -> bool:
    """Return whether systemd runs this machine."""
    return os.path.isdir(BOOTED)


def has(state: str, unit: str = SERVICE) -> bool:
    """Return whether a unit is ``active`` (it runs) or ``enabled`` (it starts with the machine)."""
    return _run("systemctl", f"is-{state}", "--quiet", unit).returncode == 0


def systemctl(*request: str) -> None:
    """Run a command of systemctl, and wait for its end.

    Raises:
        OSError: the command failed; with the reason.
    """
    _check(_run("systemctl", "--no-ask-password", *request), f"systemctl {' '.join(request)}")


def do(*command: str) -> None:
    """Run a command, and wait for its end.

    Raises:
        OSError: the command failed; with the reason.
    """
    _check(_run(*command), " ".join(command))


def said(*command: str) -> str:
    """Return what a command prints, nothing where it fails or is not there."""
    with suppress(OSError):
        done = _run(*command)
        return done.stdout if done.returncode == 0 else ""
    return ""


def _check(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode:
        words = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise OSError(f"{what}: {words or f'exit code {done.returncode}'}")


def journal() -> str:
    """Return the last lines that the service logged."""
    done = _run("journalctl", "-u", SERVICE, "-n", LINES, "--no-pager", "-o", "short-precise")
    return done.stdout or done.stderr


def raised(content: bytes, *, is_dry: bool) -> Iterator[tuple[str, int, int]]:
    """Raise each limit that is lower than a file in the form of sysctl.d(5) says; lower none.

    Yields:
        name, value before and value now of each that was raised.

    Raises:
        OSError: the kernel has no such limit, or it may not be set here, as in a container; with the path.
    """
    for name, value in re.findall(r"^([^#\s]+) *= *(\d+)", content.decode(), re.MULTILINE):
        path = os.path.join(PROC, *name.split("."))
        with open(path, encoding="ascii") as file:
            found = int(file.read())
        if found < int(value):
            if not is_dry:
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"{value}\n")
            yield name, found, int(value)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - root's own PATH finds systemd's commands
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{' '.join(command)}: no answer within {TIMEOUT:g} s") from None
