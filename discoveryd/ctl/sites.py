"""``discoveryctl sites``: the sites of the fleet."""

from __future__ import annotations

import sys

from discoveryd.ctl import FINE, NOTHING
from discoveryd.ctl.ask import reply_to
from discoveryd.ctl.output import standard_screen
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import age, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from discoveryd.cli.ctl_commands import Options

_HEADS = ("SITE", "STATE", "PEERS", "UNKNOWN", "VOUCHED", "GATEWAYS")


def sites(options: Options) -> int:
    """Print the sites; the exit code is 1 where one of them cannot be reached."""
    reply = reply_to(options, "sites")
    lost = [one for one in reply["sites"] if one["state"] == "unreachable"]
    if options.json:
        return NOTHING if lost or not reply["connection"]["connected"] else FINE
    own = (f"{reply['site']} *", reply["role"], str(reply["peers"]), "", "", ", ".join(reply["gateways"]))
    rows = [own, *map(_row, sorted(reply["sites"], key=lambda one: str(one["name"])))]
    print(table(_HEADS, rows, standard_screen(), flexible=("GATEWAYS",), spare=("GATEWAYS", "VOUCHED", "UNKNOWN")))
    if not reply["connection"]["connected"]:
        print(printable(f"no NATS server is connected: {_why(reply['connection'])}"), file=sys.stderr)
    return NOTHING if lost or not reply["connection"]["connected"] else FINE


def _row(site: Mapping[str, Any]) -> tuple[str, ...]:
    vouched = "" if site["vouched_s"] is None else age(site["vouched_s"])
    omitted = f" (+{site['omitted']} not kept)" if site.get("omitted") else ""
    unknown = str(site["unknown"]) if site["unknown"] else ""
    return site["name"], site["state"], f"{site['peers']}{omitted}", unknown, vouched, ", ".join(site["gateways"])


def _why(connection: Mapping[str, Any]) -> str:
    trouble = connection["trouble"]
    return f"{trouble['server']}: {trouble['error']}" if trouble else "it has just begun"
