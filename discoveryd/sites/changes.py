"""What is told of a peer of another site, by what was shown of it before and what is shown now."""

from __future__ import annotations

from collections.abc import Mapping

from discoveryd.sites.values import SiteEventKind

Shown = tuple[str, str]
"""State of a peer, and its text."""
NOWHERE: Shown = ("", "")

REASONS: Mapping[SiteEventKind, str] = {
    "joined": "its site lists it", "updated": "its site tells something else of it",
    "restarted": "its site lists a new boot", "down": "its site found it down", "left": "it said goodbye to its site",
    "unknown": "no gateway of its site lists it any more",
}  # fmt: skip


def kind_of(before: Shown, after: Shown, *, is_restart: bool) -> SiteEventKind | None:
    """Return the kind of the event, None for none: a boot that was replaced is not told to be gone."""
    if after == before:
        return None
    match after[0]:
        case "up":
            return "updated" if before[0] == "up" else "restarted" if is_restart else "joined"
        case "left" | "down" | "unknown":
            return after[0]
        case _:
            return None
