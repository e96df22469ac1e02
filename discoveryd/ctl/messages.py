"""``discoveryctl watch --messages``: the messages of other nodes that come to this one."""

from __future__ import annotations

import time

from discoveryd.cli.parse import UsageError
from discoveryd.ctl.follow import follow
from discoveryd.ctl.output import standard_screen, wait_beside_output
from discoveryd.query.formats import printable_json
from discoveryd.query.formats.messages import message_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.net.query_client import QueryClient


def watch_messages(options: Options) -> int:
    """Print each message as it comes, until interrupted, or until the reader of the output is gone."""
    if options.filters():
        raise UsageError("watch --messages takes no filters: choose messages by their name, --message MESSAGE")
    screen = standard_screen()

    def listen(client: QueryClient) -> Iterator[dict[str, Any]]:
        # the token is read now: a daemon that was restarted has made a new one
        client.connect()
        return client.stream("messages", timeout=None, names=list(options.message), token=options.token())

    for line, found in follow(options, listen, waiting=wait_beside_output()):
        if "message" in found:
            clock = time.strftime("%H:%M:%S")
            text = printable_json(line) if options.json else message_text(found["message"], screen, clock)
            print(text, flush=True)
    raise AssertionError("watching has no end")
