"""``history``, ``availability``, ``maintenance`` and ``forget``; and what other commands say of the past."""

from __future__ import annotations

import sys
from time import localtime, strftime, time

from discoveryd.cli.parse import UsageError
from discoveryd.ctl import FINE, NOTHING
from discoveryd.ctl.ask import reply_to
from discoveryd.ctl.output import standard_screen
from discoveryd.errors import QueryError
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import age, folded, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.query.formats.table import Screen

DAY = 86_400.0
WEEK = 7 * DAY
PATIENCE = 5.0
"""Further seconds that reading a long past may take on a slow disk."""
LATE = 3600.0
"""Seconds at most by which a stay ends before the event that tells of it: a ttl."""
_OURS = {
    "stopped": "this node was stopped", "killed": "this node was killed, or lost power", "suspended": "this node slept",
    "isolated": "this node was cut off", "unwritten": "this node could not write its history",
}  # fmt: skip
_ENDED = {"left": "said goodbye", "down": "fell silent", "unknown": "it was up when this node ceased to watch"}
_CAME, _WENT = ("joined", "recovered", "restarted"), ("down", "left")


def history(options: Options) -> int:
    """Print what happened, the newest last."""
    wanted = {"peer": options.peer} if options.peer else {}
    reply = reply_to(options, "history", patience=PATIENCE, since_s=options.since, **wanted)
    lines = _lines(reply)
    if options.json:
        return FINE if lines or reply["stays"] else NOTHING
    screen = standard_screen()
    for peer in reply["peers"]:
        print("\n".join(folded("", printable(_about(peer)), screen.width, 2)))
    if not lines:
        print(f"nothing happened in the last {age(options.since)}", file=sys.stderr)
        return FINE if reply["peers"] else NOTHING
    if not reply["complete"]:
        print("only the newest are shown: ask for a shorter time, or for one peer", file=sys.stderr)
    print(table(("WHEN", "PEER", "WHAT", "WHY"), lines, screen, flexible=("WHY",)))
    return FINE


def availability(options: Options) -> int:
    """Print how available each peer was."""
    reply = reply_to(options, "availability", patience=PATIENCE, since_s=options.since, **options.filters())
    if not reply["peers"]:
        print("no peer is remembered that matches", file=sys.stderr)
        return NOTHING
    if not options.json:
        print(availability_text(reply, standard_screen()))
    return FINE


def maintenance(options: Options) -> int:
    """Let nobody be told of the absence of a peer for a while."""
    seconds = vars(options)["for"]
    if seconds > WEEK:
        raise UsageError("--for must be at most 7d")
    reply = reply_to(options, "maintenance", is_proven=True, peer=options.peer, for_s=seconds)
    if not options.json:
        name = printable(reply["name"] or reply["id"])
        over = f"is under maintenance for {age(reply['for_s'])}: nobody is told that it is away"
        print(f"{name} {over if reply['for_s'] else 'is no longer under maintenance'}")
    return FINE


def forget(options: Options) -> int:
    """Forget the past of a peer."""
    reply = reply_to(options, "forget", is_proven=True, patience=PATIENCE, peer=options.peer)
    if not options.json:
        up = "; it is up, and is remembered anew from now on" if reply["up"] else ""
        print(f"{printable(reply['name'] or reply['id'])} ({reply['id']}) is forgotten{up}")
    return FINE


def availability_text(reply: Mapping[str, Any], screen: Screen) -> str:
    """Return a table with a line for each peer, and what the shares are shares of."""
    heads = ("NAME", "STATE", "UP %", "DOWNS", "DOWN", "LONGEST", "RESTARTS", "LAST")
    rows = [
        (
            peer["name"] or peer["id"], peer["state"], share(peer["availability"]), str(peer["downs"]),
            _time(peer["down_s"]), _time(peer["longest_s"]), str(peer["restarts"]),
            "now" if peer["state"] == "up" else f"{age(peer['last_seen_s'])} ago",
        )
        for peer in reply["peers"]
    ]  # fmt: skip
    of = f"of the last {age(reply['since_s'])}, of which this node watched {age(reply['watched_s'])}"
    shown = table(heads, rows, screen, spare=("DOWN", "RESTARTS", "LONGEST"))
    return "\n".join([shown, "", *folded("", of, screen.width, 0)])


def share(found: float | None) -> str:
    """Return a share in percent, never more than it is: only what was never away has 100."""
    if found is None:
        return "-"
    return "100" if found == 1 else f"{int(found * 100_000) / 1000:.3f}"


def past_of(options: Options, peer: str) -> str:
    """Return what the history says of a peer, in a clause; empty where there is none."""
    try:
        with options.client() as client:
            found = client.request("availability", peer=peer, since_s=WEEK)["peers"]
    except QueryError:
        return ""
    for one in found[:1]:
        counts = (("restarts", "restart"), ("downs", "outage"))
        told = [f"{one[key]} {word}{'' if one[key] == 1 else 's'}" for key, word in counts if one[key]]
        up = [] if one["availability"] is None else [f"up {share(one['availability'])} %"]
        week = ", ".join([*told, *up])
        return f"{age(one['first_seen_s'])} ago" + (f"; {week} in the last 7 days" if week else "")
    return ""


def tell_past(options: Options, report: Mapping[str, Any]) -> None:
    """Print when the peer of a doctor's report was seen last, if the table does not know it and the history does."""
    if options.json or not report["peer"] or report["peers"]:
        return
    try:
        with options.client() as client:
            found = client.request("history", peer=report["peer"], since_s=1.0)["peers"]
    except QueryError:
        return
    for peer in found:
        print("\n" + "\n".join(folded("  The history knows it: ", printable(_about(peer)), standard_screen().width, 4)))


# --- text -------------------------------------------------------------------------------------------


def _about(peer: Mapping[str, Any]) -> str:
    name, at = peer["name"] or peer["id"], f"{peer['address']} on {peer['link'] or 'a routed path'}"
    first = f"first seen {age(peer['first_seen_s'])} ago"
    if peer["state"] == "up":
        return f"{name} ({peer['id']}) is up, at {at}; {first}"
    why = _ENDED.get(peer["state"], peer["state"])
    return f"{name} ({peer['id']}): last seen {age(peer['last_seen_s'])} ago at {at}, {why}; {first}"


def _lines(reply: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what happened to peers and to this node, in the order of time."""
    found = [
        (one["age_s"], one["name"] or one["id"], one["event"], one["reason"] + _beside(one, reply["stays"]))
        for one in reply["events"]
    ]
    for one in reply["absences"]:
        lasted = f" for {age(one['start_s'] - one['end_s'])}" if one["end_s"] is not None else ", and still is"
        found.append((one["start_s"], "-", one["kind"], _OURS.get(one["kind"], one["kind"]) + lasted))
    now = time()
    found.sort(key=lambda one: -one[0])
    return [(strftime("%Y-%m-%d %H:%M:%S", localtime(now - ago)), *rest) for ago, *rest in found]


def _beside(event: Mapping[str, Any], stays: Sequence[Mapping[str, Any]]) -> str:
    """Return for how long the peer had been up, or away."""
    own = [one for one in stays if one["id"] == event["id"]]
    if event["event"] in _WENT:
        ended = [one for one in own if one["end_s"] is not None and 0 <= one["end_s"] - event["age_s"] + 1 < LATE]
        last = min(ended, key=lambda one: one["end_s"], default=None)
        return f"; it was up for {age(last['up_s'])}" if last else ""
    if event["event"] in _CAME:
        before = [one for one in own if one["end_s"] is not None and one["end_s"] > event["age_s"]]
        last = min(before, key=lambda one: one["end_s"], default=None)
        return f"; it was away for {age(last['end_s'] - event['age_s'])}" if last else ""
    return ""


def _time(seconds: float) -> str:
    return age(seconds) if seconds else "-"
