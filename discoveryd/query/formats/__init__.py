"""Output formats: each writes peers as text, for both programs and for programs that embed them.

A format is a function of peers, a sequence of objects as a reply holds them (JSON of schema 1), that returns text
without the last line end. It does no I/O. Keys that this version does not know may be there. Nothing in the text moves
a cursor or changes a colour unless the format put it there: names, tags and services are of a stranger's choice, and
are escaped (`printable`, or as JSON in ASCII).

Those for scripts are here: JSON as the daemon writes it, and one value per line. Another format is another module; what
chooses among them (``discoveryctl`` by its options) is the only other place that knows it.
"""

from __future__ import annotations

from discoveryd.query.json_text import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def printable(text: str) -> str:
    """Escape what could move the cursor, change colours or lie about order."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def column(peers: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the values of a column that ``--only`` knows: sorted, each once. A peer without a name goes by its id."""
    found: set[str] = set()
    for peer in peers:
        if name == "service":
            found.update(service["name"] for service in peer["services"])
        elif name == "tag":
            found.update(f"{key}={value}" for key, value in peer["tags"].items())
        else:
            found.add(peer[name] or peer["id"])
    return "\n".join(sorted(map(printable, found)))


def reply(peers: Sequence[Mapping[str, Any]]) -> str:
    """Return the reply to ``list``, one line of JSON."""
    return dumps({"ok": True, "schema": 1, "peers": list(peers)})


def printable_json(line: bytes) -> str:
    """Return a line of JSON as it came, or, where a terminal would obey something in it, written anew in ASCII."""
    text = line.decode("utf-8", "replace")
    return text if text.isprintable() else dumps(loads(line))
