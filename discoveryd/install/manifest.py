"""What was installed: written down, so that exactly that is removed again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from discoveryd import __version__
from discoveryd.files import trusted

PATH = "/usr/local/share/discoveryd/installed.json"


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


def load(root: str) -> dict[str, Entry]:
    """Return what is installed, by path.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is not what `save` wrote.
    """
    try:
        found = json.loads(trusted.read(root + PATH, owners=None))
        entries = [Entry(**one) for one in found["entries"]]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{root}{PATH} is damaged ({error}); remove it, and install again") from None
    return {entry.path: entry for entry in entries}


def save(root: str, entries: Iterable[Entry]) -> None:
    """Write the manifest, all or nothing; its directory is there."""
    written = {
        "about": "what `discoveryd install` put here; `discoveryd uninstall` removes it",
        "version": __version__,
        "entries": [asdict(entry) for entry in entries],
    }
    trusted.write(root + PATH, (json.dumps(written, indent=1) + "\n").encode())
