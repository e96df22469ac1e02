"""The commands of one request and one reply: ``list``, ``show``, ``status``, ``metrics``, ``ping``, ``reload``."""

from __future__ import annotations

import sys

from discoveryd.ctl import FINE, NOTHING
from discoveryd.ctl.output import is_watched, peers_text, standard_screen, template_of
from discoveryd.errors import QueryError
from discoveryd.query.address import is_address
from discoveryd.query.formats import printable, printable_json
from discoveryd.query.formats.table import age, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from discoveryd.cli.ctl_commands import Options

PING_TIMEOUT = 1.0
"""Seconds to wait for a PONG: two hundred times what a LAN takes."""
TRIES = 5
"""Attempts while the daemon is busy."""
UNLISTED_GAP = 1.0
"""Seconds between two questions to an address that is not listed."""
RELOAD_PATIENCE = 10.0
"""Further seconds that a busy daemon may take to read its configuration again."""


def list_(options: Options) -> int:
    """Print the peers that match; on a terminal this node too, how many there are, and why there are none."""
    if options.format:
        template_of(options.format)  # before anybody is asked
    if options.watch:
        from discoveryd.ctl.live import live  # noqa: PLC0415 - on a terminal alone

        return live(options)
    has_reader = options.self or (is_watched() and not (options.only or options.format or options.json))
    reply = list_reply(options, with_self=has_reader)
    peers, own = reply["peers"], reply.get("self")
    if (peers or own) and not options.json:
        print(peers_text(peers, options, keyed=bool(reply.get("keys")), own=own))
    if not peers:
        print(f"{_nolist_reply(options)}{own_name_hint(options)}", file=sys.stderr)
    if has_reader and not options.json:
        from discoveryd.ctl.summary import tell_summary  # noqa: PLC0415 - for a person

        tell_summary(options, peers)
    return FINE if peers else NOTHING


def list_reply(options: Options, *, with_self: bool) -> dict[str, Any]:
    """Return the reply to ``list``; a daemon that was started before an update of this program may not know `self`."""
    try:
        return reply_to(options, "list", **options.filters(), with_self=with_self or None)
    except QueryError as error:
        if not with_self or error.code != "bad_argument":
            raise
    return reply_to(options, "list", **options.filters())


def show(options: Options) -> int:
    """Print all that is known of a peer, and why it is believed."""
    site = {"site": options.site} if options.site else {}
    reply = reply_to(options, "show", peer=options.peer, **site)
    if not options.json:
        from discoveryd.ctl.describe import peer_text  # noqa: PLC0415
        from discoveryd.ctl.history import past_of  # noqa: PLC0415

        screen = standard_screen()
        print("\n\n".join(peer_text(peer, screen, past_of(options, peer["id"])) for peer in reply["peers"]))
    return FINE


def status(options: Options) -> int:
    """Print the state of the daemon itself."""
    reply = reply_to(options, "status")
    if not options.json:
        from discoveryd.ctl.describe import status_text  # noqa: PLC0415

        print(status_text(reply, standard_screen()))
    return FINE


def metrics(options: Options) -> int:
    """Print the counters in the text format of Prometheus."""
    reply = reply_to(options, "metrics")
    if not options.json:
        print("\n".join(map(printable, reply["text"].split("\n"))), end="")
    return FINE


def ping(options: Options) -> int:
    """Let the daemon send PINGs to a peer, and print the round-trip times."""
    count = options.count or 1
    timeout = PING_TIMEOUT if options.timeout is None else options.timeout
    asked = {"peer": options.peer, "count": count, "timeout_s": timeout}
    patience = count * max(timeout, UNLISTED_GAP)
    if is_address(options.peer):
        reply = entitled(options, lambda token: reply_to(options, "ping", patience=patience, token=token, **asked))
    else:
        reply = reply_to(options, "ping", patience=patience, **asked)
    if not options.json:
        print(_ping_text(reply))
    return FINE if reply["received"] else NOTHING


def reload(options: Options) -> int:
    """Let the daemon read its configuration again."""
    reply = reply_to(options, "reload", patience=RELOAD_PATIENCE, is_proven=True)
    if not options.json:
        print("configuration reloaded")
        for one in reply["needs_restart"]:
            print(printable(f"{one['key']} needs a restart: it is {one['now']}, {one['wanted']} is wanted"))
    return FINE


def entitled(options: Options, request: Callable[[str | None], dict[str, Any]]) -> dict[str, Any]:
    """Return the reply to a request with the control token: the daemon then asks nodes that are not listed, too.

    Without it where this user may not read it, or it is not that of the daemon; that is an error where its file was
    named.
    """
    try:
        return request(options.token())
    except QueryError as error:
        if error.code != "denied" or options.token_file:
            raise
        return request(None)


def reply_to(
    options: Options, op: str, *, patience: float = 0.0, is_proven: bool = False, token: str | None = None,
    **fields: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the reply, and with ``--json`` print it. A request that `is_proven` has the proof of the control token.

    A program that opens connections without end may take the place of this one between two lines; the next attempt
    gets a place again.
    """
    for further in reversed(range(TRIES)):
        try:
            with options.client() as client:
                shown = options.token() if is_proven else token
                reply = client.request(op, timeout=client.timeout + patience, token=shown, **fields)
        except QueryError as error:
            if error.code == "busy" and further:
                continue
            raise
        if options.json:
            print(printable_json(client.line), flush=True)
        return reply
    raise AssertionError("the last attempt returns or raises")


def _nolist_reply(options: Options) -> str:
    """Return what an empty list says."""
    asked = options.filters()
    if asked.pop("all", False):
        return "no peer matches" if asked else "no peer was heard yet (see 'discoveryctl status')"
    states = " or ".join(options.state)
    hint = "" if options.state else " (--all shows those gone)"
    asked.pop("state", None)
    return f"no peers {states or 'up'}{' match' if asked else ''}{hint}"


def own_name_hint(options: Options) -> str:
    """Return a hint that this node is no peer of itself, if ``--name`` matches its name."""
    if options.name in (None, "", "*"):
        return ""
    from fnmatch import fnmatchcase  # noqa: PLC0415 - only if no peer was found

    try:
        with options.client() as client:
            name = str(client.greeting.get("node", {}).get("name", ""))
    except QueryError:
        return ""
    return f"; {printable(name)} is this node, which is no peer of itself" if fnmatchcase(name, options.name) else ""


def _ping_text(reply: dict[str, Any]) -> str:
    """Return the answers of a peer, or of a node that is not listed, which is asked by questions."""
    peer, address = reply["peer"], printable(reply.get("address") or reply["peer"]["address"])
    name = f"{printable(name_of(peer))} ({address})" if peer else f"{address} (not listed)"
    start = f"{name}: {reply['received']} of {reply['sent']} {'PINGs' if peer else 'questions'} answered"
    if not reply["received"]:
        if peer:
            return f"{start}; it is {printable(peer['state'])}, last heard {age(peer['last_heard_s'])} ago"
        return f"{start}; see 'discoveryctl doctor {address}'"
    times = [f"{time:.2f}" for time in (min(reply["rtt_ms"]), max(reply["rtt_ms"]))]
    start += f" in {' to '.join(dict.fromkeys(times))} ms"  # one number where they are equal
    if reply["hears_us_s"] is None:
        return f"{start}; it does not hear our HELLOs"
    return f"{start}; it heard our HELLO {age(reply['hears_us_s'])} before"
