"""Puts things in place and takes them away, and leaves alone what somebody else made or changed.

A file is ours as long as its content is what we last put there. One that was changed stays; then the new
default goes beside it as ``NAME.new``, once for each new default.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

from discoveryd.files import trusted
from discoveryd.install import manifest
from discoveryd.install.layout import Directory, File, Item, Link
from discoveryd.install.manifest import Entry

NEW = ".new"
MAX_FILE = 1 << 20
"""Bytes that are read of a file: all of ours are far shorter."""

Tell = Callable[[str, str, str], None]
"""Takes what was done, to which path, and a remark or nothing."""


class Places:
    """The places of a machine.

    Args:
        root: directory under which they are; empty for this machine.
        former: what we put there earlier, by path.
        tell: is told of each thing.
        is_dry: only tell.
    """

    def __init__(self, root: str, former: dict[str, Entry], tell: Tell, *, is_dry: bool) -> None:
        self._root = root
        self._former = former
        self._tell = tell
        self._is_dry = is_dry
        self._gone: set[str] = set()
        self.entries: dict[str, Entry] = {}
        """What is ours, in the order in which it was made."""
        self.changed: set[str] = set()
        """Paths that are not as they were."""

    def put_all(self, items: list[Item]) -> None:
        """Put everything there, and take away what an earlier version had and this one has not.

        Raises:
            OSError: with the path.
        """
        self._need_directory(os.path.dirname(manifest.PATH))
        self._claim(Entry(path=manifest.PATH, kind="manifest"))  # before all that it lists, so removed after them
        for item in items:
            if isinstance(item, Link):
                self._put_link(item)
            elif isinstance(item, File):
                self._put_file(item)
            else:
                self._put_directory(item)
        left = [entry for path, entry in self._former.items() if path not in self.entries]
        for entry in left:
            if entry.path.endswith(NEW) or entry.kind == "directory":
                self._claim(entry)
            else:
                self._remove(entry)

    def remove_all(self) -> None:
        """Take away all that is ours, what was made last first.

        Raises:
            OSError: with the path.
        """
        for entry in reversed(self._former.values()):
            self._remove(entry)

    def _claim(self, entry: Entry) -> None:
        self.entries[entry.path] = entry

    def _did(self, what: str, path: str, remark: str = "") -> None:
        self.changed.add(path)
        self._tell(what, self._root + path, remark)

    def _put_directory(self, item: Directory) -> None:
        if os.path.isdir(self._root + item.path):
            self._tell("unchanged", self._root + item.path, "")
        self._need_directory(item.path)

    def _need_directory(self, path: str) -> None:
        """Make a directory and those above it; what was not there before is ours."""
        if path in self.entries:
            return
        if path != "/":
            self._need_directory(os.path.dirname(path))
        if os.path.isdir(self._root + path):
            if path in self._former:
                self._claim(self._former[path])
            return
        if not self._is_dry:
            os.mkdir(self._root + path)
            os.chmod(self._root + path, 0o755)  # noqa: S103 - whatever the umask: for all to enter
        self._claim(Entry(path=path, kind="directory"))
        self._did("made", path)

    def _put_file(self, item: File) -> None:
        self._need_directory(os.path.dirname(item.path))
        mark = _mark(item.content)
        former = self._former.get(item.path)
        found = self._content(item.path)
        if found is None:
            self._write(item)
            self._did("made", item.path)
        elif found == item.content:
            self._tell("unchanged", self._root + item.path, "")
        elif item.path.endswith(NEW) or (former is not None and _mark(found) == former.mark):
            self._write(item)
            self._did("replaced", item.path)
        elif former is not None and former.mark == mark:
            self._tell("kept", self._root + item.path, "it was edited")
        else:
            beside = f"{item.path}{NEW}"
            self._tell("kept", self._root + item.path, f"it was edited; the new default is {self._root}{beside}")
            self._put_file(replace(item, path=beside, is_kept=False))
        self._claim(Entry(path=item.path, kind="file", mark=mark, is_kept=item.is_kept))

    def _put_link(self, item: Link) -> None:
        self._need_directory(os.path.dirname(item.path))
        former = self._former.get(item.path)
        target = _target(self._root + item.path)
        if target is None and os.path.lexists(self._root + item.path):
            self._tell("kept", self._root + item.path, "it is not ours")
            return
        is_free = target is None or not os.path.exists(self._root + item.path)
        if target == item.target:
            self._tell("unchanged", self._root + item.path, "")
        elif is_free or (former is not None and former.mark == target):
            if not self._is_dry:
                with suppress(FileNotFoundError):
                    os.unlink(self._root + item.path)
                os.symlink(item.target, self._root + item.path)
            self._did("made" if target is None else "replaced", item.path)
        else:
            self._tell("kept", self._root + item.path, f"it is not ours: it leads to {target}")
            return
        self._claim(Entry(path=item.path, kind="link", mark=item.target))

    def _remove(self, entry: Entry) -> None:
        path = self._root + entry.path
        if not os.path.lexists(path):
            return
        if entry.kind == "directory":
            self._remove_directory(entry)
        elif entry.is_kept:
            self._tell("kept", path, "the configuration is yours")
        elif entry.kind != "manifest" and entry.mark != self._found_mark(entry):
            self._tell("kept", path, "it was changed since")
        else:
            if not self._is_dry:
                os.unlink(path)
            self._gone.add(path)
            self._did("removed", entry.path)

    def _remove_directory(self, entry: Entry) -> None:
        path = self._root + entry.path
        left = {os.path.join(path, name) for name in os.listdir(path)} - (self._gone if self._is_dry else set())
        if left:
            self._tell("kept", path, f"it holds {os.path.basename(min(left))}")
            return
        if not self._is_dry:
            os.rmdir(path)
        self._gone.add(path)
        self._did("removed", entry.path)

    def _found_mark(self, entry: Entry) -> str | None:
        if entry.kind == "link":
            return _target(self._root + entry.path)
        content = self._content(entry.path)
        return None if content is None else _mark(content)

    def _content(self, path: str) -> bytes | None:
        try:
            return trusted.read(self._root + path, MAX_FILE, owners=None, follows=True)
        except FileNotFoundError:
            return None

    def _write(self, item: File) -> None:
        if not self._is_dry:
            trusted.write(self._root + item.path, item.content)


def _mark(content: bytes) -> str:
    return sha256(content).hexdigest()


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:  # no link; nothing there
            return None
        raise
