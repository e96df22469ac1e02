"""One value per line: a column of the peers, for scripts."""

from __future__ import annotations

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
