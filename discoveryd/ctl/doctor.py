"""``discoveryctl doctor``: what is wrong here, or why a peer is missing, and what helps.

The daemon reports what it knows. What it cannot see is looked for here: which rule of the firewall it is (root may read
the rules), and what the machine of a missing peer answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from select import select
from typing import TYPE_CHECKING, Any

from discoveryd.ctl import FINE, NO_DAEMON, NOTHING
from discoveryd.ctl.ask import entitled
from discoveryd.ctl.history import tell_past
from discoveryd.ctl.output import standard_screen
from discoveryd.errors import ConfigError, DaemonUnreachable
from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.address import is_address
from discoveryd.query.answers import hearers, named
from discoveryd.query.doctor import HEALTHY, address_of, with_more
from discoveryd.query.findings import Finding
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import Screen, age, folded, name_of
from discoveryd.query.json_text import dumps

if TYPE_CHECKING:
    from discoveryd.cli.ctl_commands import Options
    from discoveryd.net.reachability import Reachability
    from discoveryd.query.answers import Answers

AGAIN = 2.0
"""Seconds between two reports of ``--watch``."""
TIMEOUT = 2.0
"""Seconds for a word of the service manager."""
_FIREWALLS = {"own-firewall-in": False, "own-firewall-out": True}
UNASKED = (
    "it is not listed, and only with the control token the daemon asks such an address; run this as root, or as a user "
    "that may read the token, whose file --token-file names"
)
_MANAGERS = ("ufw ", "firewall-cmd ")
"""How the commands of tools begin that keep the rules: what is put between those by hand is lost."""
_MARKS = {"ok": "ok", "fault": "FAULT", "note": "note", "unknown": "not known yet"}


def doctor(options: Options) -> int:
    """Print the report; with ``--watch`` again and again, with ``--bundle`` into an archive."""
    if options.site:
        from discoveryd.ctl.sites import refer  # noqa: PLC0415 - only for a peer of another site

        return refer(options)
    if options.bundle:
        return _bundle(options)
    while True:
        code = _once(options)
        if not options.watch:
            return code
        sys.stdout.flush()
        select((), (), (), AGAIN)
        print()


def _bundle(options: Options) -> int:
    from discoveryd.ctl.bundle import write  # noqa: PLC0415 - only where one is wanted

    try:
        said = write(options.bundle, options, lambda: _examined(options))
    except OSError as error:
        helps = ": choose another name" if isinstance(error, FileExistsError) else ""
        print(f"discoveryctl: {printable(options.bundle)}: {error.strerror}{helps}", file=sys.stderr)
        return NOTHING
    print(printable(said))
    return FINE


def _examined(options: Options) -> dict[str, Any]:
    with options.client() as client:
        if options.peer:
            found = entitled(options, lambda token: client.request("doctor", peer=options.peer, token=token))
        else:
            found = client.request("doctor")
        status = client.request("status")
    closer = look_closer(found, status["hello"]["port"])
    if not options.peer:
        from discoveryd.ctl.names import of_names  # noqa: PLC0415 - only for the doctor of this machine

        known = {finding["code"] for finding in closer["findings"]}
        if (more := of_names(status)) and more.code not in known:
            return with_more(closer, more)
    return closer


def _once(options: Options) -> int:
    try:
        found = _examined(options)
    except DaemonUnreachable as error:
        return _without_daemon(options, error)
    if options.json:
        print(dumps(found))
    else:
        print(report_text(found, standard_screen()))
        tell_past(options, found)
    return FINE if found["verdict"] == HEALTHY else NOTHING


def look_closer(found: dict[str, Any], port: int) -> dict[str, Any]:
    """Return a report with what the daemon cannot see."""
    for finding in found["findings"]:
        if finding["code"] in _FIREWALLS and os.geteuid() == 0:
            from discoveryd.ctl.firewall import openings  # noqa: PLC0415 - only where a firewall is meant

            is_ipv6 = finding["subject"].endswith("IPv6")
            words, commands = openings(port, is_out=_FIREWALLS[finding["code"]], is_ipv6=is_ipv6)
            if commands:
                finding["evidence"]["rules"] = words
                if not any(command.startswith(_MANAGERS) for command in finding["remedy"]):  # they rewrite rules
                    finding["remedy"] = commands
    if address := address_of(found):
        from discoveryd.net.reachability import probe  # noqa: PLC0415 - only where a machine is to be asked

        if sys.stderr.isatty():
            print(f"asking {address} ...", file=sys.stderr)
        answered = probe(address, port)
        if more := _of_answer(address, port, answered, found.get("asked", ())):
            found = with_more(found, more)
    closer = {"peers-one-way": _of_arp, HEALTHY: _of_routes}.get(found["verdict"])
    for peer in found["peers"]:
        if closer and (more := closer(peer, port)):
            found = with_more(found, more)
    return found


def _of_arp(peer: dict[str, Any], port: int) -> Finding | None:
    """Return that nobody answers for the address of a live peer that does not hear this node, None if somebody does."""
    from discoveryd.net.reachability import probe  # noqa: PLC0415 - only where a machine is to be asked

    if peer["state"] not in LIVE or not peer["link"] or not is_address(peer["address"]):
        return None
    answered = probe(peer["address"], port)
    if "no-machine" not in (answered.answer, answered.elsewhere):
        return None
    text = (
        f"the HELLOs of {name_of(peer)} arrive, and nobody answers for {peer['address']} on the link (ARP): nothing "
        "that is for that machine alone reaches it"
    )
    return Finding("no-arp", text, {"answer": answered.answer, "two_way": peer["two_way"]}, (), peer["id"])


def _of_routes(peer: dict[str, Any], _: int) -> Finding | None:
    """Return that other programs send to a live peer by an interface where it is not heard, None if they do not."""
    heard = {path["link"] for path in peer.get("paths", ())}
    if peer["state"] not in LIVE or not heard or None in heard:  # a routed peer goes by the routes in any case
        return None
    from discoveryd.net.reachability import way_to  # noqa: PLC0415 - only for a peer

    way = way_to(peer["address"])
    if way is None or way.interfaces & {*heard, "lo"}:  # an address of lo says nothing of the way
        return None
    on, by = " and ".join(sorted(heard)), " or ".join(sorted(way.interfaces))
    text = (
        f"{name_of(peer)} is heard on {on}, and the routes of this machine lead to {peer['address']} by {by} (from "
        f"{way.source}): the peer is up, and other programs may not reach it"
    )
    evidence = {"heard_on": sorted(heard), "routed_by": sorted(way.interfaces), "source": way.source}
    return Finding("routed-elsewhere", text, evidence, (f"ip route get {peer['address']}",), peer["id"])


def _of_answer(address: str, port: int, answered: Reachability, asked: Answers) -> Finding | None:
    """Return what the answers of a machine say, and of nodes that were asked about it; None where they say nothing."""
    witnesses = [one for one in asked if one["about"] and one["answered"]]
    evidence: dict[str, Any] = {"port": answered.answer, "elsewhere": answered.elsewhere}
    evidence |= {"neighbour": answered.has_neighbour}
    if answered.answer == "refused":
        text = f"{address} is there, and nothing listens at its UDP port {port}: discoveryd does not run there"
        return Finding("not-running", text, evidence, (), address)
    if "prohibited" in (answered.answer, answered.elsewhere):
        text = f"a firewall of {address} rejects UDP port {port}"
        return Finding("firewall-rejects", text, evidence, (), address)
    if "no-machine" in (answered.answer, answered.elsewhere) or answered.has_neighbour is False:
        evidence |= {"asked": [one["address"] for one in witnesses]}
        if others := hearers(asked):
            verb = "hears" if len(others) == 1 else "hear"
            text = (
                f"nobody answers for {address} on the link, and {named(others)} {verb} it: a switch or an access point "
                "keeps the two machines apart"
            )
            return Finding("client-isolation", text, evidence, (), address)
        text = f"nobody answers for {address} on the link: off, in another VLAN, or isolated by an access point"
        if witnesses:
            text += f"; {named(witnesses)} {'does' if len(witnesses) == 1 else 'do'} not hear it either"
        return Finding("no-such-machine", text, evidence, (), address)
    if answered.answer == "silent" and answered.elsewhere == "refused":
        text = (
            f"{address} is there, and its UDP port {port} is open or dropped by a firewall: run discoveryctl doctor on "
            "that machine"
        )
        return Finding("port-silent", text, evidence, (), address)
    if answered.has_neighbour:
        text = f"{address} answers nothing, though it was there a minute ago: off, cut off, or a firewall drops all"
        return Finding("no-answer", text, evidence, (), address)
    return None


# --- without a daemon -------------------------------------------------------------------------------


def _without_daemon(options: Options, error: DaemonUnreachable) -> int:
    """Tell what can be seen where no daemon answers."""
    seen = [*_seen_here()]
    if options.json:
        failed = {"code": error.code, "message": error.message}
        print(dumps({"ok": False, "verdict": "no-daemon", "error": failed, "seen": seen}))
    else:
        screen = standard_screen()
        print("\n".join(folded("", printable(f"{error.message}. This was seen here:"), screen.width, 0)))
        for text in seen:
            print("\n".join(folded("  - ", printable(text), screen.width, 4)))
    return NO_DAEMON


def _seen_here() -> Iterator[str]:
    """Yield what is known of this machine and its service."""
    from discoveryd.config import load  # noqa: PLC0415 - only where no daemon answers
    from discoveryd.net.owner import holder  # noqa: PLC0415
    from discoveryd.protocol.parameters import PORT  # noqa: PLC0415

    port = PORT
    try:
        port = load().parameters.port
    except ConfigError as error:
        yield f"the configuration is wrong, so that no daemon starts with it: {'; '.join(error.problems)}"
    held, others = holder(port, "udp"), "" if os.geteuid() == 0 else ", or held by a process of another user"
    yield f"UDP port {port} is held by {held}" if held else f"UDP port {port} is free{others}"
    helps = {
        "failed": ": journalctl -u discoveryd -n 20", "inactive": ": systemctl start discoveryd",
    }  # fmt: skip
    state = _unit()
    if state:
        yield f"the unit discoveryd.service is {state}{helps.get(state, '')}"
    else:
        yield "there is no unit discoveryd.service here: discoveryd install --now, or discoveryd run"


def _unit() -> str:
    """Return the state of the service, empty where there is none."""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "discoveryd.service"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)  # noqa: S603
        known = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        if known.get("LoadState") == "loaded":  # an unknown unit counts as inactive
            return known["ActiveState"]
    return ""


# --- text -------------------------------------------------------------------------------------------


def report_text(found: dict[str, Any], screen: Screen) -> str:
    """Return a report for a person: what was examined, then each finding with what helps."""
    lines: list[str] = []
    for check in [] if found["peer"] else found["checks"]:
        mark = _MARKS.get(check["result"], check["result"])
        lines += folded(f"  {check['name']:<12}{mark:<15}", printable(check["text"]), screen.width, 29)
    for peer in found["peers"]:
        lines += folded("  ", printable(_peer(peer)), screen.width, 4)
    for one in found.get("asked", ()):
        lines += folded("  ", printable(_asked(one)), screen.width, 4)
    if _is_unasked(found):
        lines += folded("  ", f"{found['peer']} was not asked: {UNASKED}", screen.width, 4)
    for finding in found["findings"]:
        lines += ["", *_finding(finding, screen)]
    return "\n".join([_verdict(found), "", *lines])


def _peer(peer: dict[str, Any]) -> str:
    hears = {None: "perhaps hears", True: "hears", False: "does not hear"}[peer["two_way"]]
    mutual = f"; it {hears} this node" if peer["state"] in ("up", "suspect") else ""
    return f"{name_of(peer)} ({peer['address']}) is {peer['state']}, last heard {age(peer['last_heard_s'])} ago{mutual}"


def _asked(one: dict[str, Any]) -> str:
    """Return what a node was asked and answered."""
    name = f"{one['name']} ({one['address']})" if one["name"] else one["address"]
    if not one["answered"]:
        return f"{name} was asked {one['asked']} times, and did not answer"
    if one["about"]:
        if third := one["third"]:
            return f"{name} was asked about it: {third['state']} there, last heard {age(third['last_heard_s'])} ago"
        return f"{name} was asked about it, and does not list it"
    hears = "never heard this node" if one["hears_us_s"] is None else f"heard this node {age(one['hears_us_s'])} ago"
    return f"{name} was asked, and answered in {one['rtt_ms']:.1f} ms: it {hears}"


def _is_unasked(found: dict[str, Any]) -> bool:
    """Return whether a report is about an address that the daemon did not ask."""
    is_missing = found["verdict"] not in (HEALTHY, None) and not found["peers"] and is_address(str(found["peer"]))
    return is_missing and all(one["about"] for one in found.get("asked", ()))


def _verdict(found: dict[str, Any]) -> str:
    about = f"{found['peer']}: " if found["peer"] else ""
    if found["verdict"] != HEALTHY:
        faults = sum(finding["severity"] != "low" for finding in found["findings"])
        counted = f"{faults} fault{'' if faults == 1 else 's'}"
        return printable(f"{about}{counted}: {found['verdict']} ({found['certainty']})")
    notes = len(found["findings"])
    noted = f"; {notes} thing{'' if notes == 1 else 's'} to know" if notes else ""
    return printable(f"{about}nothing is wrong{noted}")


def _finding(finding: dict[str, Any], screen: Screen) -> Iterator[str]:
    mark = "!" if finding["severity"] != "low" else "-"
    since = f", for {age(finding['since_s'])}" if finding.get("since_s") else ""
    title = f"{finding['title']} ({finding['code']}, {finding['certainty']}{since})"
    yield from folded(f"{mark} ", printable(title), screen.width, 2)
    yield from folded("  ", printable(finding["text"]), screen.width, 2)
    for rule in finding["evidence"].get("rules", ()):
        yield from folded("  ", printable(rule), screen.width, 2)
    for command in finding["remedy"]:
        yield printable(f"    {command}")  # whole: it is to be copied
