"""Formats for scripts: JSON as the daemon writes it, and one value per line."""

from __future__ import annotations

import json

from discoveryd.query.formats import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Column:
    """Writes a column that ``--only`` knows: sorted, each value once. A peer without a name goes by its id."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, peers: Sequence[Mapping[str, Any]]) -> str:
        """Return the values."""
        found: set[str] = set()
        for peer in peers:
            if self._name == "service":
                found.update(service["name"] for service in peer["services"])
            elif self._name == "tag":
                found.update(f"{key}={value}" for key, value in peer["tags"].items())
            else:
                found.add(peer[self._name] or peer["id"])
        return "\n".join(sorted(map(printable, found)))


class JsonReply:
    """Writes peers as the reply to ``list`` has them."""

    def write(self, peers: Sequence[Mapping[str, Any]]) -> str:
        """Return one line."""
        return compact({"ok": True, "schema": 1, "peers": list(peers)})


def compact(value: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def printable_json(line: bytes) -> str:
    """Return a line of JSON as it came, or, where a terminal would obey something in it, written anew in ASCII."""
    text = line.decode("utf-8", "replace")
    return text if text.isprintable() else compact(json.loads(line))
