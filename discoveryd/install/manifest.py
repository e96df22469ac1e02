"""What was installed: written down, so that exactly that is removed again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from discoveryd import __version__

PATH = "/usr/local/share/discoveryd/installed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path that is ours.

    Attributes:
        path: without the root.
        kind: ``file``, ``link``, ``directory``, or ``manifest``: this list itself.
        mark: hash of the content we last had for a file, or where a link leads.
        is_kept: whether it stays when all else is removed.
    """

    path: str
    kind: str
    mark: str = ""
    is_kept: bool = False


def load(root: str) -> dict[str, Entry]:
    """Give what is installed, by path; nothing if nothing is.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what `save` wrote.
    """
    try:
        with open(root + PATH, encoding="utf-8") as file:
            found = json.load(file)
        entries = [Entry(**one) for one in found["entries"]]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{root}{PATH} is damaged ({error}); remove it, and install again") from None
    return {entry.path: entry for entry in entries}


def save(root: str, entries: Iterable[Entry]) -> None:
    """Write it down, all or nothing; the directory is there."""
    written = {
        "about": "what `discoveryd install` put here; `discoveryd uninstall` removes it",
        "version": __version__,
        "entries": [asdict(entry) for entry in entries],
    }
    write_whole(root + PATH, (json.dumps(written, indent=1) + "\n").encode())


def write_whole(path: str, content: bytes) -> None:
    """Write a file for all to read, all or nothing."""
    with open(f"{path}.tmp", "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)  # whatever the umask
    os.replace(f"{path}.tmp", path)
