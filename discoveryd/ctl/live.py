"""``discoveryctl list --watch``: a table on a terminal that follows each change."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from discoveryd.cli.parse import UsageError
from discoveryd.ctl.follow import follow
from discoveryd.ctl.output import is_watched, standard_screen
from discoveryd.errors import QueryError
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import peers_table, shortened
from discoveryd.query.watch import Mirror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.net.query_client import QueryClient

TICK = 1.0
"""Seconds between two pictures where nothing happens: ages are shown to the second."""
SHORTEST = 0.1
"""Seconds between two pictures where much happens: nobody reads faster."""
REFRESH = 5.0
"""Seconds between two lists of the peers: no event tells that a round trip or loss has changed."""
PATIENCE = 1.0
"""Seconds that such a list may take: nothing is drawn meanwhile."""
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""Take another page of the terminal, without its cursor, and give it back as it was."""
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


def live(options: Options) -> int:
    """Show the table until interrupted.

    Raises:
        UsageError: there is no terminal to show it on.
    """
    if not is_watched() or os.environ.get("TERM") == "dumb":
        raise UsageError("list --watch is a table on a terminal; for a pipe there is: discoveryctl watch")
    filters = options.filters()

    def ask() -> Mapping[str, Any]:
        client = options.client()
        client.timeout = PATIENCE
        with client:
            return client.request("list", **filters, with_self=True)

    def listen(client: QueryClient) -> Iterator[dict[str, Any]]:
        client.connect()
        table.refresh(client.request("list", **filters, with_self=True))
        return client.watch(**filters)

    table = LiveTable(options, ask)

    _write(_ENTER)
    try:
        for _, event in follow(options, listen, waiting=table.wait):
            table.take(event)
    finally:
        _write(_LEAVE)
    raise AssertionError("watching has no end")


class LiveTable:
    """The peers of a watch, and the picture of them.

    Args:
        options: how the table looks.
        ask: returns the reply to ``list`` with this node; it may raise a `QueryError`.
    """

    def __init__(self, options: Options, ask: Callable[[], Mapping[str, Any]]) -> None:
        self._options = options
        self._ask = ask
        states = frozenset(options.state) or frozenset(("up", "suspect", *(("down", "left") if options.all else ())))
        self._mirror: Mirror[tuple[float, Mapping[str, Any]]] = Mirror(lambda peer: (time.monotonic(), peer), states)
        self._last = ""
        self._drawn_at = 0.0
        self._refreshed_at = time.monotonic()
        self._own: tuple[float, Mapping[str, Any]] | None = None

    def refresh(self, reply: Mapping[str, Any]) -> None:
        """Take over this node, and what a list says of the peers there are; events alone say which there are."""
        now = self._refreshed_at = time.monotonic()
        own = reply.get("self")
        self._own = None if own is None else (now, own)
        self._mirror.refresh(reply["peers"])

    def take(self, event: Mapping[str, Any]) -> None:
        """Take over a line of the watch."""
        self._mirror.take(event)
        if "peer" in event:
            self._last = f"{event['event']} {event['peer']['name'] or event['peer']['id']}: {event['reason']}"

    def wait(self, descriptor: int, seconds: float | None) -> None:
        """Draw, again and again, until the descriptor can be read or the time is over."""
        from select import POLLIN, poll  # noqa: PLC0415 - on a terminal alone

        ready = poll()
        if descriptor >= 0:
            ready.register(descriptor, POLLIN)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            now = time.monotonic()
            pause = SHORTEST - (now - self._drawn_at)
            if pause <= 0:
                if descriptor >= 0 and now - self._refreshed_at >= REFRESH:
                    self._refreshed_at = now  # next time, should it fail: the watch notices that the daemon is gone
                    with suppress(QueryError):
                        self.refresh(self._ask())
                self._draw(now, is_connected=descriptor >= 0)
                pause = TICK
            if end is not None:
                pause = min(pause, end - now)
            if ready.poll(max(pause, 0.0) * 1000) or (end is not None and time.monotonic() >= end):
                return

    def _draw(self, now: float, *, is_connected: bool) -> None:
        self._drawn_at = now
        columns, height = os.get_terminal_size(sys.stdout.fileno())
        lines = self.picture(now, is_connected=is_connected)
        if len(lines) > height - 1:
            lines[height - 2 :] = [f"and {len(lines) - height + 2} more: make the window higher, or filter"]
        lines.append(shortened(printable(self._last), columns))
        _write(_HOME + f"{_REST_OF_LINE}\n".join(lines[:height]) + _REST_OF_LINE + _REST)

    def picture(self, now: float, *, is_connected: bool) -> list[str]:
        """Return the lines of the table at a moment."""
        options = self._options
        peers = [_aged(peer, now - told) for told, peer in self._mirror.rows.values()]
        if not is_connected:
            return ["the daemon is gone; trying again"]
        own = None if self._own is None else _aged(self._own[1], now - self._own[0])
        if not self._mirror.is_synced:
            return ["asking the daemon"]
        if not (peers or own):
            return ["no peers"]
        text = peers_table(
            peers, standard_screen(), wide=options.wide, own=own, sort=options.sort or "",
            has_heads=not options.no_header,
        )  # fmt: skip
        return text.split("\n")


def _aged(peer: Mapping[str, Any], elapsed: float) -> dict[str, Any]:
    ages = {key: peer[key] + elapsed for key in ("first_seen_s", "last_heard_s")}
    return {**peer, **ages, "expires_s": peer["expires_s"] - elapsed}


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
