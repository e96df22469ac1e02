"""The commands that follow the daemon, across its restarts: ``watch`` and ``wait``."""

from __future__ import annotations

import time
from select import select

from discoveryd.ctl import FINE
from discoveryd.ctl.output import note, peers_text, standard_screen, template_of, wait_beside_output
from discoveryd.errors import DaemonUnreachable, QueryError
from discoveryd.net.reconnect import Retry, watch_across_restarts
from discoveryd.query.formats import printable, printable_json
from discoveryd.query.formats.table import NARROWEST, folded, name_of, peers_table, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.net.query_client import QueryClient
    from discoveryd.query.formats.table import Screen

_MARKS = {
    "joined": "+", "recovered": "+", "updated": "~", "restarted": "~",
    "suspect": "?", "down": "-", "left": "-", "clone": "!", "entered": "+", "departed": "-",
    "unknown": "?", "site-unreachable": "?", "site-back": "+",
}  # fmt: skip
_INDENT = 11
"""Columns before the name of a peer: further lines of its event begin there."""
_LOST = frozenset(("closed", "stopping", "lagged", "unreachable"))
"""Codes that end one connection, but not the watch."""


def watch(options: Options) -> int:
    """Print the peers, then each change, until interrupted, or until the reader of the output is gone."""
    if options.messages or options.message:
        from discoveryd.ctl.messages import watch_messages  # noqa: PLC0415 - only where they are wanted

        return watch_messages(options)
    screen = standard_screen()
    for line, event in follow(options, _watching(**options.filters()), waiting=wait_beside_output()):
        if options.json:
            print(printable_json(line), flush=True)
        elif event["event"] == "snapshot":
            print(peers_table(event["peers"], screen) if event["peers"] else "no peers up yet", flush=True)
        elif "peer" in event:
            print(event_text(event, screen), flush=True)
        elif "site" in event:
            print(site_text(event, screen), flush=True)
    raise AssertionError("watching has no end")


def wait(options: Options) -> int:
    """Wait until enough matching peers are up, and print them.

    Raises:
        QueryError: ``timeout``.
    """
    # the filter of the daemon, applied here: a `suspect` or `recovered` does not say whether its peer still matches
    from discoveryd.protocol.table.peer import STATES, peer_from_json  # noqa: PLC0415  50 ms that only `wait` pays
    from discoveryd.query.request import Filter  # noqa: PLC0415
    from discoveryd.query.sites import SiteStates  # noqa: PLC0415
    from discoveryd.query.watch import Mirror  # noqa: PLC0415

    if options.format:
        template_of(options.format)  # before anybody is waited for
    wanted = options.count or 1
    states = options.state or (STATES if options.all else ("up",))
    given = {key: getattr(options, key) for key in ("name", "tags", "service", "link")}
    chosen = Filter(states=frozenset(states), **given)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    mirror, sites = Mirror(lambda found: (found, peer_from_json(found))), SiteStates()
    site = {"site": options.site} if options.site else {}
    found: list[Mapping[str, Any]] = []
    try:
        for _, event in follow(options, _watching(all=True, deadline=deadline, **site), deadline):
            mirror.take(event)
            sites.take(event)
            shown = [(row, peer, sites.of(row)) for row, peer in mirror.rows.values()]
            found = [now for row, peer, now in shown if chosen.accepts(peer if now is row else peer_from_json(now))]
            if mirror.is_synced and len(found) >= wanted:
                print(peers_text(found, options))
                return FINE
    except QueryError as error:
        if error.code != "timeout" or not mirror.is_synced:
            raise
    from discoveryd.ctl.ask import own_name_hint  # noqa: PLC0415 - only on timeout

    here = f"{len(found)} of {wanted} peers {'known' if options.all else ' or '.join(states)}{own_name_hint(options)}"
    raise QueryError("timeout", f"timed out after {options.timeout:g} s with {here}")


def _watching(**request: Any) -> Callable[[QueryClient], Iterator[dict[str, Any]]]:
    """Return what asks a client for the events of peers."""
    return lambda client: client.watch(**request)


def follow(
    options: Options,
    listen: Callable[[QueryClient], Iterator[dict[str, Any]]],
    deadline: float | None = None,
    waiting: Callable[[int, float | None], None] | None = None,
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each line that a daemon tells without end, raw and parsed, across its restarts.

    A connection begins with a snapshot and ``sync``, or with a line that has ``names`` where messages are told.

    Raises:
        QueryError: no connection came about within ``--timeout`` (at once without it), the request is refused, or
            ``timeout`` at the deadline.
    """
    retry = Retry()
    patient_until = time.monotonic() + (options.timeout or 0.0)
    was_connected = False

    def again(error: QueryError) -> bool:
        may_come_later = isinstance(error, DaemonUnreachable) and time.monotonic() < patient_until
        if error.code not in _LOST or not (was_connected or may_come_later):
            raise error
        if retry.failed(error):
            note(f"{error.message}; trying again")
        until = deadline if was_connected else patient_until
        left = retry.pause if until is None else min(retry.pause, until - time.monotonic())
        if left <= 0 and was_connected:
            raise QueryError("timeout", "the daemon did not come back in time")
        # nothing announces a listener on the port: all that helps is to try
        if waiting is None:
            select((), (), (), max(left, 0.0))
        else:
            waiting(-1, max(left, 0.0))
        return True

    for line, event in watch_across_restarts(lambda: options.client(waiting), again, listen):
        kind = "names" if "names" in event else event.get("event")
        if retry.trouble and kind in ("snapshot", "names"):
            note("connected again")
        if kind in ("sync", "names"):
            retry.succeeded()
            was_connected = True
        yield line, event


def event_text(event: dict[str, Any], screen: Screen) -> str:
    """Return the text of an event: time, mark, kind, peer, address, reason; on one line where that fits."""
    peer, kind = event["peer"], printable(event["event"])
    where = printable(" ".join(filter(None, (peer.get("site"), peer["address"], peer["link"]))))
    state = "clone" if kind == "clone" else peer["state"]
    what = f"{_MARKS.get(kind, ' ')} {kind:<9}"
    name, why = printable(name_of(peer)), printable(event["reason"])
    if screen.width is not None:
        name = shortened(name, max(screen.width - _INDENT, NARROWEST), middle=True)
    clock = time.strftime("%H:%M:%S ")
    first, *more = folded(f"{clock}{what}  ", f"{name}  {where}  {why}", screen.width, _INDENT)
    first = clock + screen.paint(state, what) + first[len(clock + what) :]
    return "\n".join((first, *more))


def site_text(event: dict[str, Any], screen: Screen) -> str:
    """Return the text of an event of a site as a whole."""
    kind = printable(event["event"])
    head = f"{time.strftime('%H:%M:%S ')}{_MARKS.get(kind, ' ')} {kind}  "
    return "\n".join(folded(head, f"{printable(event['site'])}  {printable(event['reason'])}", screen.width, _INDENT))
