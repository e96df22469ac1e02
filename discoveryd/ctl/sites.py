"""``discoveryctl sites``: the sites of the fleet."""

from __future__ import annotations

import sys

from discoveryd.cli.parse import UsageError
from discoveryd.ctl import FINE, NOTHING
from discoveryd.ctl.ask import reply_to
from discoveryd.ctl.output import standard_screen
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import age, name_of, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from discoveryd.cli.ctl_commands import Options

_MARKS_OF_NAMES = {ord(mark): None for mark in "._-"}
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


def refer(options: Options) -> int:
    """Print what is known here of a peer of another site, and where its doctor is to be asked.

    A report is of what a node hears itself. Of another site this one has the word of its gateways alone.
    """
    if not options.peer:
        raise UsageError("--site is for a peer: give its name, as in doctor bert --site berlin")
    if options.watch or options.bundle:
        raise UsageError("--site gives no report: leave out --watch and --bundle, or ask a node of that site for them")
    reply = reply_to(options, "show", peer=options.peer, site=options.site)
    if not options.json:
        for peer in reply["peers"]:
            print("\n".join(map(printable, _referral(peer))))
    return FINE if any(peer["state"] == "up" for peer in reply["peers"]) else NOTHING


def _referral(peer: Mapping[str, Any]) -> tuple[str, ...]:
    name, site = name_of(peer), peer["site"]
    plain = (one for one in (name, peer["id"]) if one.isascii() and one.translate(_MARKS_OF_NAMES).isalnum())
    command = f"    discoveryctl doctor {next(plain, 'PEER')}"  # that a shell takes as it stands
    if peer["via"] is None:
        return f"{name} is of this network. Run", command
    word = "" if peer["vouched_s"] is None else f", proved {age(peer['vouched_s'])} ago"
    known = f"{name} of {site} is {peer['state']}, by the word of its gateway {peer['via']}{word}."
    if peer["state"] == "unknown":
        known += f" No gateway of {site} is heard, or none lists it any more: see discoveryctl sites."
    return known, f"What is wrong with it a node of its own network can tell. Run on a node of {site}", command


def _row(site: Mapping[str, Any]) -> tuple[str, ...]:
    vouched = "" if site["vouched_s"] is None else age(site["vouched_s"])
    omitted = f" (+{site['omitted']} not kept)" if site.get("omitted") else ""
    unknown = str(site["unknown"]) if site["unknown"] else ""
    return site["name"], site["state"], f"{site['peers']}{omitted}", unknown, vouched, ", ".join(site["gateways"])


def _why(connection: Mapping[str, Any]) -> str:
    trouble = connection["trouble"]
    return f"{trouble['server']}: {trouble['error']}" if trouble else "it has just begun"
