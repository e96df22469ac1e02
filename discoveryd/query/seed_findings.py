"""Findings about seeds: names that do not resolve, and seeds that do not answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SETTLED = 10.0
"""Seconds after the start before a seed that is silent is worth a word."""
MOST_NAMED = 8
"""Seeds that one sentence names."""

SeedFinding = tuple[str, str, Mapping[str, Any], tuple[str, ...], str]
"""Code, text, evidence, remedy and subject."""


def seed_findings(status: Mapping[str, Any]) -> Iterator[SeedFinding]:
    """Yield what is wrong with the seeds."""
    seeds = status.get("seeds", ())
    failed = [seed for seed in seeds if seed["error"]]
    for number, seed in enumerate(failed[:MOST_NAMED], 1):
        in_use = [one["address"] for one in seed["addresses"]]
        text = f"seed {seed['seed']}: the name does not resolve ({seed['error']})"
        text += f"; the addresses it had stay in use: {', '.join(in_use)}" if in_use else ": nobody is greeted there"
        text += f"{_more(failed)} do not" if number == MOST_NAMED < len(failed) else ""
        remedy = (f"getent ahosts {seed['seed'].partition(':')[0]}",)
        yield "seed-unresolved", text, {"error": seed["error"], "addresses": in_use}, remedy, seed["seed"]
    silent = [seed for seed in seeds if seed["state"] == "silent"]
    if silent and status["uptime_s"] > SETTLED:
        where = "a seed" if len(silent) == 1 else f"{len(silent)} of {len(seeds)} seeds"
        named = ", ".join(map(_named, silent[:MOST_NAMED])) + _more(silent)
        port = status["hello"]["port"]
        text = (
            f"nobody is heard at {where}: {named}; is discoveryd running there, and does UDP port {port} pass in both "
            "directions?"
        )
        yield "seeds-silent", text, {"silent": len(silent), "seeds": len(seeds)}, (), ""


def _named(seed: Mapping[str, Any]) -> str:
    addresses = ", ".join(one["address"] for one in seed["addresses"])
    return str(seed["seed"]) if addresses == seed["seed"] else f"{seed['seed']} ({addresses})"


def _more(seeds: Sequence[Mapping[str, Any]]) -> str:
    return f" and {len(seeds) - MOST_NAMED} more" if len(seeds) > MOST_NAMED else ""
