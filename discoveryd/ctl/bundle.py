"""``discoveryctl doctor --bundle FILE``: what a report of a fault needs, as one archive without secrets.

Whatever can be had is in it, with or without a daemon; what cannot is named in its place. Keys and the control token
are in files of their own, which are never read here; what looks like one in a configuration or a log is taken out.
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from discoveryd.config import DEFAULT_PATH, PATH_VARIABLE
from discoveryd.errors import QueryError
from discoveryd.files.commit import version
from discoveryd.query.json_text import dumps

if TYPE_CHECKING:
    from discoveryd.cli.ctl_commands import Options

LINES = "200"
"""Lines of the log."""
TIMEOUT = 5.0
"""Seconds for each other program."""
MOST = 4 * 1024 * 1024
CUT = b"\n... cut here\n"
"""Bytes of one member, and what ends one that would be longer."""
COMMANDS = {
    "log.txt": ("journalctl", "-u", "discoveryd", "-n", LINES, "--no-pager", "-o", "short-precise"),
    "unit.txt": ("systemctl", "status", "discoveryd", "--no-pager", "-n", "0"),
    "interfaces.txt": ("ip", "-details", "address"),
    "routes.txt": ("ip", "route", "show", "table", "all"),
    "rules.txt": ("ip", "rule"),
    "neighbours.txt": ("ip", "neighbour"),
    "firewall.txt": ("nft", "list", "ruleset"),  # root alone may
}
"""Member -> the program that writes it."""
COUNTERS = ("snmp", "netstat", "udp", "arp", "dev")
"""Files of /proc/net."""
_SECRET = re.compile(r"(?<![\w/+-])[A-Za-z0-9+/_-]{40,}={0,2}(?![\w/+=-])")
REMOVED = "(removed: it may be a key)"


def write(path: str, options: Options, doctor: Callable[[], dict[str, Any]]) -> str:
    """Write an archive, and return what to say of it.

    Args:
        path: of the archive, which must not exist yet.
        options: which daemon is asked.
        doctor: returns the report.

    Raises:
        OSError: the file exists, or cannot be written.
    """
    began = int(time.time())
    # what it shows of this network is for the user that asked
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    members = 0
    with ExitStack() as undo:
        undo.callback(os.unlink, path)  # half an archive, as after Ctrl-C, helps nobody
        with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in _members(options, doctor):
                content = text.encode("utf-8", "backslashreplace")
                content = content[:MOST] + CUT if len(content) > MOST else content
                member = tarfile.TarInfo(f"discoveryd-{began}/{name}")
                member.size, member.mtime, member.mode = len(content), began, 0o600
                archive.addfile(member, io.BytesIO(content))
                members += 1
        undo.pop_all()
    size = os.stat(path).st_size
    return (
        f"{path}: {members} files, {size / 1000:.0f} kB, without keys and tokens, but with the names, addresses and "
        "tags of your machines: look before you send it."
    )


def _members(options: Options, doctor: Callable[[], dict[str, Any]]) -> Iterator[tuple[str, str]]:
    yield "version.txt", f"discoveryd {version()}\nPython {sys.version}\n{platform.platform()}\n"
    for name, ask in (
        ("doctor.json", doctor),
        ("status.json", lambda: _asked(options, "status")),
        ("peers.json", lambda: _asked(options, "list", all=True)),
    ):
        try:
            yield name, dumps(ask())
        except QueryError as error:
            yield name, dumps({"ok": False, "error": {"code": error.code, "message": error.message}})
    yield "discoveryd.yaml", without_secrets(_read(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH))
    for name, command in COMMANDS.items():
        yield name, without_secrets(_output(command))
    for name in COUNTERS:
        yield f"net/{name}.txt", _read(f"/proc/net/{name}")


def _asked(options: Options, op: str, **more: Any) -> dict[str, Any]:
    with options.client() as client:
        return client.request(op, **more)


def without_secrets(text: str) -> str:
    """Return a text without what may be a key: 40 or more characters of base64 or hex in a row."""
    return _SECRET.sub(REMOVED, text)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read(MOST + 1)
    except OSError as error:
        return f"{path}: {error.strerror}\n"


def _output(command: tuple[str, ...]) -> str:
    with suppress(subprocess.TimeoutExpired):
        try:
            done = subprocess.run(  # noqa: S603 - one of `COMMANDS`
                command, capture_output=True, text=True, errors="backslashreplace", check=False, timeout=TIMEOUT
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}\n"
        return done.stdout + done.stderr
    return f"{' '.join(command)}: not done after {TIMEOUT:g} s\n"
