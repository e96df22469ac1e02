"""Peers as data for other programs: JSON and CSV, without what changes from one moment to the next.

A file has no now: ages and measurements would be wrong as soon as they are written, and make each file another one.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from discoveryd.query.formats import printable
from discoveryd.query.formats.table import service_of
from discoveryd.query.json_text import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discoveryd.query.formats.exports import ExportOptions
    from discoveryd.query.formats.names import Listed

SCHEMA = 1
"""The version of the shape of a peer, as in every JSON of this project."""
PASSING = frozenset(("first_seen_s", "last_heard_s", "expires_s", "rtt_ms", "loss", "interval_s", "ttl_s", "via",
                     "vouched_s"))
"""Keys of a peer that are true for a moment only; in a big network the interval stretches with each newcomer."""
HEADS = (
    "name", "id", "state", "kind", "address", "addresses", "link", "boot", "services", "tags", "two_way", "restarts",
    "clone", "key", "self",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")
"""What begins a formula for a spreadsheet, which may start programs."""


def json_text(found: Sequence[Listed], _: ExportOptions) -> str:
    """Return ``{"schema", "self", "peers"}``, a peer on each line; ``self`` is there where this node is."""
    peers = ",\n".join(dumps(lasting(one.peer)) for one in found if not one.is_self)
    own = "".join(f'"self":{dumps(lasting(one.peer))},' for one in found if one.is_self)
    return f'{{"schema":{SCHEMA},{own}"peers":[\n{peers}\n]}}' if peers else f'{{"schema":{SCHEMA},{own}"peers":[]}}'


def lasting(peer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a peer without the keys that are true for a moment only."""
    return {key: value for key, value in peer.items() if key not in PASSING}


class _Lines(list[str]):
    """Takes what `csv` writes."""

    write = list.append


def csv_text(found: Sequence[Listed], _: ExportOptions) -> str:
    """Return a line of heads and a line for each peer; several values of a cell are separated by blanks."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="")
    writer.writerow(HEADS)
    for one in found:
        peer = one.peer
        cells = {**peer, "name": one.name, "self": one.is_self, "addresses": " ".join(peer["addresses"])}
        cells["services"] = " ".join(map(service_of, peer["services"]))
        cells["tags"] = " ".join(f"{key}={value}" for key, value in peer["tags"].items())
        writer.writerow([_cell(cells.get(head)) for head in HEADS])
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """Return a value as text that is no formula."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    text = printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
