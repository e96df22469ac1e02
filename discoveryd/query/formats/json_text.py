"""JSON in ASCII, on one line: as the daemon writes it, and safe on a terminal."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


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
