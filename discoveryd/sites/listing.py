"""Peers of other sites as JSON: the keys of a peer (schema 1), and ``site``, ``via``, ``vouched_s``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discoveryd.sites.row import read_row

UNMEASURED: Mapping[str, Any] = {
    "link": "", "interval_s": None, "rtt_ms": None, "loss": None, "two_way": None, "restarts": 0,
    "hellos_arrive": True, "shares_address": False,
}  # fmt: skip
"""What nobody measures between sites."""


def render(
    key: str, text: str, state: str, *, site: str, via: str | None, vouched: float | None, seen: float, ttl: float
) -> dict[str, Any]:
    """Return a peer of another site as JSON.

    Args:
        key: of the peer.
        text: of the peer.
        state: that is true now.
        site: of the peer.
        via: id of the gateway that vouches for it, None for none.
        vouched: seconds since the moment of which its word is proved, None if it never was.
        seen: seconds since the peer was first listed.
        ttl: seconds for which the word of the gateway holds.
    """
    age = round(vouched, 3) if vouched is not None else None
    found = read_row(key, text)
    found["state"] = state
    found.update(UNMEASURED)
    found["first_seen_s"] = round(seen, 3)
    found["last_heard_s"] = age if age is not None else found["first_seen_s"]
    found["expires_s"] = round(ttl - found["last_heard_s"], 3)
    found["ttl_s"] = round(ttl, 3)
    found["site"], found["via"], found["vouched_s"] = site, via, age
    return found
