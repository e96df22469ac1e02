"""Installs and removes files, and leaves alone what is not ours or was changed.

A file is ours as long as its content is what we last put there. A file that was changed stays; then the new
default goes beside it as ``NAME.new``, once for each new default.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from discoveryd import __version__
from discoveryd.files import trusted
from discoveryd.install.layout import Directory, File, Item, SymLink

PATH = "/usr/local/share/discoveryd/installed.json"
"""The manifest: what was installed, so that exactly that is removed again."""
NEW = ".new"

Tell = Callable[[str, str, str], None]
"""Is called with what was done, the path, and a remark or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A path that was installed.

    Attributes:
        path: without the root.
        kind: ``file``, ``link``, ``directory``, or ``manifest``: this list itself.
        mark: hash of the content that was last put into a file, or the target of a link.
        is_kept: whether it stays when all else is removed.
    """

    path: str
    kind: str
    mark: str = ""
    is_kept: bool = False


def load_manifest(root: str) -> dict[str, Entry]:
    """Return what is installed, by path.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is not what `save_manifest` wrote.
    """
    try:
        found = json.loads(trusted.read(root + PATH, owners=None))
        entries = [Entry(**one) for one in found["entries"]]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{root}{PATH} is damaged ({error}); remove it, and install again") from None
    return {entry.path: entry for entry in entries}


def save_manifest(root: str, entries: Iterable[Entry]) -> None:
    """Write the manifest, all or nothing; its directory is there."""
    written = {
        "about": "what `discoveryd install` put here; `discoveryd uninstall` removes it",
        "version": __version__,
        "entries": [asdict(entry) for entry in entries],
    }
    trusted.write(root + PATH, (json.dumps(written, indent=1) + "\n").encode())


class Places:
    """The places of a machine.

    Args:
        root: directory under which they are; empty for this machine.
        former: what was installed earlier, by path.
        tell: called with each thing that is done.
        is_dry: whether nothing is done but `tell`.

    Attributes:
        entries: what is ours, in the order in which it was made.
        changed: paths that are not as they were.
    """

    def __init__(self, root: str, former: dict[str, Entry], tell: Tell, *, is_dry: bool) -> None:
        self.entries: dict[str, Entry] = {}
        self.changed: set[str] = set()
        self._root = root
        self._former = former
        self._report = tell
        self._is_dry = is_dry
        self._gone: set[str] = set()

    def put_all(self, items: list[Item]) -> None:
        """Install everything, and remove what an earlier version installed and this version does not.

        Raises:
            OSError: with the path.
        """
        self._need_directory(os.path.dirname(PATH))
        self._claim(Entry(path=PATH, kind="manifest"))  # before all that it lists, so removed after them
        for item in items:
            if isinstance(item, SymLink):
                self._put_link(item)
            elif isinstance(item, File):
                self._put_file(item)
            else:
                self._put_directory(item)
        for entry in [entry for path, entry in self._former.items() if path not in self.entries]:
            if entry.path.endswith(NEW) or entry.kind == "directory":
                self._claim(entry)
            else:
                self._remove(entry)

    def remove_all(self) -> None:
        """Remove all that is ours, what was made last first.

        Raises:
            OSError: with the path.
        """
        for entry in reversed(self._former.values()):
            self._remove(entry)

    def _claim(self, entry: Entry) -> None:
        self.entries[entry.path] = entry

    def _tell(self, what: str, path: str, remark: str = "") -> None:
        if what not in ("unchanged", "kept"):
            self.changed.add(path)
        self._report(what, self._root + path, remark)

    def _put_directory(self, item: Directory) -> None:
        if os.path.isdir(self._root + item.path):
            self._tell("unchanged", item.path)
        self._need_directory(item.path)

    def _need_directory(self, path: str) -> None:
        """Make a directory and those above it; a directory that was not there before is ours."""
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
        self._tell("made", path)

    def _put_file(self, item: File) -> None:
        self._need_directory(os.path.dirname(item.path))
        mark, former, found = _mark(item.content), self._former.get(item.path), self._content(item.path)
        if found == item.content:
            self._tell("unchanged", item.path)
        elif found is None or item.path.endswith(NEW) or (former is not None and _mark(found) == former.mark):
            if not self._is_dry:
                trusted.write(self._root + item.path, item.content)
            self._tell("made" if found is None else "replaced", item.path)
        elif former is not None and former.mark == mark:
            self._tell("kept", item.path, "it was edited")
        else:
            beside = f"{item.path}{NEW}"
            self._tell("kept", item.path, f"it was edited; the new default is {self._root}{beside}")
            self._put_file(replace(item, path=beside, is_kept=False))
        self._claim(Entry(path=item.path, kind="file", mark=mark, is_kept=item.is_kept))

    def _put_link(self, item: SymLink) -> None:
        self._need_directory(os.path.dirname(item.path))
        place, former = self._root + item.path, self._former.get(item.path)
        target = _target(place)
        if target is None and os.path.lexists(place):
            self._tell("kept", item.path, "it is not ours")
            return
        if target == item.target:
            self._tell("unchanged", item.path)
        elif target is None or not os.path.exists(place) or (former is not None and former.mark == target):
            if not self._is_dry:
                with suppress(FileNotFoundError):
                    os.unlink(place)
                os.symlink(item.target, place)
            self._tell("made" if target is None else "replaced", item.path)
        else:
            self._tell("kept", item.path, f"it is not ours: it leads to {target}")
            return
        self._claim(Entry(path=item.path, kind="link", mark=item.target))

    def _remove(self, entry: Entry) -> None:
        place = self._root + entry.path
        if not os.path.lexists(place):
            return
        if reason := self._reason_to_keep(entry, place):
            self._tell("kept", entry.path, reason)
            return
        if not self._is_dry:
            (os.rmdir if entry.kind == "directory" else os.unlink)(place)
        self._gone.add(place)
        self._tell("removed", entry.path)

    def _reason_to_keep(self, entry: Entry, place: str) -> str:
        if entry.kind == "directory":
            left = {os.path.join(place, name) for name in os.listdir(place)} - (self._gone if self._is_dry else set())
            return f"it holds {os.path.basename(min(left))}" if left else ""
        if entry.is_kept:
            return "the configuration is yours"
        if entry.kind == "manifest":
            return ""
        content = self._content(entry.path) if entry.kind == "file" else None
        found = _target(place) if entry.kind == "link" else None if content is None else _mark(content)
        return "" if found == entry.mark else "it was changed since"

    def _content(self, path: str) -> bytes | None:
        try:
            return trusted.read(self._root + path, owners=None, follows=True)
        except FileNotFoundError:
            return None


def _mark(content: bytes) -> str:
    return sha256(content).hexdigest()


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:  # no link; nothing there
            return None
        raise
