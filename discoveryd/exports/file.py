"""One file of peers: written as a whole, only when it changes, and what became of that."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from time import monotonic
from typing import Any

from discoveryd.config.export_rule import ExportRule
from discoveryd.files import trusted
from discoveryd.query.formats import EXPORT_FILES
from discoveryd.query.formats.exports import ExportOptions, export_text
from discoveryd.query.formats.names import DOMAIN

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
"""Everybody may read the files: what is in them everybody on this machine may ask the daemon."""


class ExportFile:
    """A file that is kept.

    Args:
        rule: what is in it.
        directory: of exports, which is made where it is missing.

    Attributes:
        path: of the file.
        error: why it is not what it should be; empty if it is.
        is_held: whether it keeps what it says, because too little is known at the moment.
        is_due: whether its command is to be run.
        runs, failures: of its command.
        fault: of the last run; empty if that was fine.
    """

    def __init__(self, rule: ExportRule, directory: str) -> None:
        self.rule = rule
        self.path = rule.place(directory)
        self.error = self.fault = ""
        self.is_held = self.is_due = False
        self.runs = self.failures = 0
        self._directory = directory
        self._options = ExportOptions(
            domain=rule.domain or DOMAIN, port=rule.port, service=rule.chosen.service, template=rule.template
        )
        self._content: bytes | None = None  # of the file; None while not known
        self._writes = 0
        self._written: float | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the file says what this daemon knows, and not what one before it did."""
        return self._content is not None

    def take_over(self, former: ExportFile) -> None:
        """Continue the file of another rule."""
        self._content = former._content

    def exists(self) -> bool:
        """Return whether there is a file, of whatever content."""
        return os.path.lexists(self.path)

    def write(self, reply: dict[str, Any]) -> bool:
        """Write what a reply to ``list`` says, unless the file says so already; return whether it changed.

        Raises:
            OSError: it cannot be written, and is as before.
        """
        text = export_text(self.rule.format, reply["peers"], reply.get("self"), self._options)
        content = text.encode("utf-8", "backslashreplace")
        found = self._content
        if found is None or not self.exists():
            found = self._found(len(content) + 1)
        if content == found:
            self._content = content
            return False
        self._replace(content)
        self._content = content
        self._writes += 1
        self._written = monotonic()
        self.is_due = bool(self.rule.command)
        return True

    def remove(self) -> None:
        """Take the file away, if it stands in the directory of exports: elsewhere it may be somebody's."""
        if self.path.startswith(f"{self._directory}/"):
            with suppress(OSError):
                os.unlink(self.path)

    def status(self) -> dict[str, Any]:
        """Return the state of the file as ``status`` shows it."""
        return {
            "format": self.rule.format, "path": self.path, "writes": self._writes,
            "bytes": len(self._content or b""), "held": self.is_held, "error": self.error or None,
            "written_s": None if self._written is None else round(monotonic() - self._written, 3),
            "runs": self.runs, "failures": self.failures, "fault": self.fault or None,
        }  # fmt: skip

    def _found(self, most: int) -> bytes | None:
        """Return the content of the file that is there, so that a restart of the daemon changes no file."""
        try:
            return trusted.read(self.path, most, owners=None)
        except OSError:
            return None

    def _replace(self, content: bytes) -> None:
        folder, name = os.path.split(self.path)
        if self.path.startswith(f"{self._directory}/"):
            make_directory(self._directory)
            make_directory(folder)
        # hidden: a reader that takes every file of a directory, such as dnsmasq, must not see it
        fresh = os.path.join(folder, f".{name}.new")
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        trusted.create(fresh, content, FILE_MODE)
        try:
            os.replace(fresh, self.path)
        except OSError:
            os.unlink(fresh)
            raise


def forget(directory: str, kept: Collection[str]) -> None:
    """Remove the files that a daemon left here that had others to keep: their readers would believe them for ever."""
    for name in EXPORT_FILES.values():
        if (path := os.path.join(directory, name)) not in kept:
            with suppress(OSError):
                os.unlink(path)


def make_directory(path: str) -> None:
    """Make a directory that everybody may enter, whatever the umask, unless it is there."""
    try:
        os.makedirs(path)
    except FileExistsError:
        return
    os.chmod(path, DIRECTORY_MODE)


def in_words(error: OSError, path: str) -> str:
    """Return an error of a path with what helps."""
    folder = os.path.dirname(path)
    helps = {
        errno.ENOENT: f"make the directory: mkdir {folder}",
        errno.EISDIR: "it is a directory: name a file",
        errno.EROFS: f"let the service write there (systemctl edit discoveryd): [Service] ReadWritePaths={folder}",
        errno.EACCES: f"let the user of the daemon write there: chown --reference=/run/discoveryd {folder}",
    }
    remedy = trusted.remedy(error, "")
    if error.errno in (errno.EROFS, errno.EACCES):
        remedy = f"{helps[error.errno]}; or leave path out, and have it read in the directory of exports"
    return f"{error.strerror or error}; {remedy or helps.get(error.errno or 0) or 'see the log of the kernel (dmesg)'}"
