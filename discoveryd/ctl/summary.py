"""What a person at a terminal is told below a list: how many there are, what looks wrong, and why there are none."""

from __future__ import annotations

import sys

from discoveryd.errors import QueryError
from discoveryd.query.formats import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from discoveryd.cli.ctl_commands import Options

_DEAF = ("interfaces", "sending", "hearing")
"""Areas of the findings that explain why nobody is heard."""


def tell_summary(options: Options, peers: Sequence[Mapping[str, Any]]) -> None:
    """Print on standard error how many peers there are, and how many faults; where there are none, why that may be."""
    try:
        with options.client() as client:
            status = client.request("status")
    except QueryError:  # it has just answered, and is stopping
        return
    for line in summary_lines(status, has_peers=bool(peers)):
        print(printable(line), file=sys.stderr)


def summary_lines(status: Mapping[str, Any], *, has_peers: bool) -> list[str]:
    """Return the lines of the summary of a status."""
    found = status.get("findings", ())
    faults = sum(finding["severity"] != "low" for finding in found)
    counts = [f"{count} {state}" for state, count in status["peers"].items() if count or state == "up"]
    links = len(status["links"])
    text = f"{', '.join(counts)}; {_number(links, 'link')}"
    if faults:
        text += f"; {_number(faults, 'fault')}: see 'discoveryctl doctor'"
    return [text] if has_peers else [*_reasons(status), text]


def _reasons(status: Mapping[str, Any]) -> list[str]:
    """Return why nobody may be heard: what was found, the cause first, else that nobody ever was."""
    from discoveryd.query.finding_kinds import FINDING_KINDS  # noqa: PLC0415 - where nobody is heard alone

    for finding in status.get("findings", ()):
        kind = FINDING_KINDS.get(finding["code"])
        if kind is not None and kind.area in _DEAF:
            return [f"because: {finding['text']}"]
    received = status["received"]
    if not (received.get("hello") or received.get("bare")):
        return [f"because: nobody was heard yet, up for {status['uptime_s']:.1f} s"]
    return []


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
