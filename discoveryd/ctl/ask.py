"""The commands of one question and one answer: ``list``, ``show``, ``status``, ``metrics``, ``ping``, ``reload``."""

from __future__ import annotations

import sys

from discoveryd.ctl.output import format_of, standard_screen
from discoveryd.errors import QueryError
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import age, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from discoveryd.ctl.options import Options

FINE, NOTHING = 0, 1
PING_TIMEOUT = 1.0
"""Seconds to wait for a PONG: two hundred times what a LAN takes."""
TRIES = 5
"""To ask a daemon that is busy."""
RELOAD_PATIENCE = 10.0
"""Seconds more that a daemon may take to read its configuration again, if it is busy."""


def list_peers(options: Options) -> int:
    """Show the peers that match."""
    reply = _ask(options, "list", **options.filters())
    peers = reply["peers"]
    if peers:
        if not options.json:
            print(format_of(options, keyed=bool(reply.get("keys"))).write(peers))
        return FINE
    print(f"{_none(options)}{itself(options)}", file=sys.stderr)
    return NOTHING


def show(options: Options) -> int:
    """Show all that is known of a peer, and why it is believed."""
    reply = _ask(options, "show", peer=options.peer)
    if not options.json:
        from discoveryd.ctl.describe import peer_text  # noqa: PLC0415

        screen = standard_screen()
        print("\n\n".join(peer_text(peer, screen) for peer in reply["peers"]))
    return FINE


def status(options: Options) -> int:
    """Show how the daemon itself is."""
    reply = _ask(options, "status")
    if not options.json:
        from discoveryd.ctl.describe import status_text  # noqa: PLC0415

        print(status_text(reply, standard_screen()))
    return FINE


def metrics(options: Options) -> int:
    """Show the counters as Prometheus reads them."""
    reply = _ask(options, "metrics")
    if not options.json:
        print("\n".join(map(printable, reply["text"].split("\n"))), end="")
    return FINE


def ping(options: Options) -> int:
    """Let the daemon probe a peer."""
    count = options.count or 1
    timeout = PING_TIMEOUT if options.timeout is None else options.timeout
    reply = _ask(options, "ping", patience=count * timeout, peer=options.peer, count=count, timeout_s=timeout)
    if not options.json:
        print(_ping_text(reply))
    return FINE if reply["received"] else NOTHING


def reload(options: Options) -> int:
    """Let the daemon read its configuration again."""
    with options.client() as client:
        token = options.token()
        reply = client.request("reload", timeout=client.timeout + RELOAD_PATIENCE, token=token)
        if options.json:
            _print_line(client.line)
            return FINE
    print("configuration reloaded")
    for one in reply["needs_restart"]:
        print(printable(f"{one['key']} needs a restart: it is {one['now']}, {one['wanted']} is wanted"))
    return FINE


def _ask(options: Options, op: str, patience: float = 0.0, **fields: Any) -> dict[str, Any]:
    """Return the reply, and with ``--json`` print it.

    A place may be lost between two lines, to one who opens connections without end; the next try has one again.
    """
    for _ in range(TRIES - 1):
        try:
            return _ask_once(options, op, patience, **fields)
        except QueryError as error:
            if error.code != "busy":
                raise
    return _ask_once(options, op, patience, **fields)


def _ask_once(options: Options, op: str, patience: float, **fields: Any) -> dict[str, Any]:
    with options.client() as client:
        reply = client.request(op, timeout=client.timeout + patience, **fields)
        if options.json:
            _print_line(client.line)
        return reply


def _print_line(line: bytes) -> None:
    from discoveryd.query.formats.json_text import printable_json  # noqa: PLC0415 - with ``--json`` only

    print(printable_json(line))


def _none(options: Options) -> str:
    asked = options.filters()
    if asked.pop("all", False):
        return "no peer matches" if asked else "no peer was heard yet (see 'discoveryctl status')"
    states = " or ".join(options.state)
    hint = "" if options.state else " (--all shows those gone)"
    asked.pop("state", None)
    return f"no peers {states or 'up'}{' match' if asked else ''}{hint}"


def itself(options: Options) -> str:
    """Say that this node is no peer of itself, where it has the name that is asked for."""
    if options.name in (None, "", "*"):
        return ""
    from fnmatch import fnmatchcase  # noqa: PLC0415 - where nothing was found only

    try:
        with options.client() as client:
            name = str(client.greeting.get("node", {}).get("name", ""))
    except QueryError:
        return ""
    is_meant = fnmatchcase(name, options.name or "")
    return f"; {printable(name)} is this node, which is no peer of itself" if is_meant else ""


def _ping_text(reply: dict[str, Any]) -> str:
    peer = reply["peer"]
    who = f"{printable(name_of(peer))} ({printable(peer['address'])})"
    answered = f"{reply['received']} of {reply['sent']} PINGs answered"
    if not reply["received"]:
        heard = age(peer["last_heard_s"])
        return f"{who}: {answered}; it is {printable(peer['state'])}, last heard {heard} ago"
    times = [f"{time:.2f}" for time in (min(reply["rtt_ms"]), max(reply["rtt_ms"]))]
    rtt = " to ".join(dict.fromkeys(times))  # one number where they are equal
    if reply["hears_us_s"] is None:
        return f"{who}: {answered} in {rtt} ms; it does not hear our HELLOs"
    return f"{who}: {answered} in {rtt} ms; it heard our HELLO {age(reply['hears_us_s'])} before"
