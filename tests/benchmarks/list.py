"""How long a `list` with 1,000 peers takes on an open connection to the query socket.

A Discovery in this process, on loopback, hears the full HELLOs of 1,000 made-up peers over its real
socket. One TCP connection stays open; measured from before `list` is written until the reply line is
wholly read, and with `json.loads` on top. Each run is the median of 20 round trips; `all changed` is
the first after each peer changed its record, when nothing is prepared.

Floor: an echo server, in a thread of this process too, that answers a line with as many bytes.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from fleet import NODE, Fleet, free_port
from machine import Figure, parser, report
from mirror import PATIENCE

from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.subscription import Subscription

SIZE = 1000
TRIPS = 20
NO_FLOOD = Limits(datagrams=100_000, source_datagrams=100_000)
"""A thousand peers of one address, all at once."""


class Connection:
    """An open connection to a server of lines."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._buffer = bytearray(4 << 20)

    def read_line(self) -> bytes:
        """Read to the end of a line; there is only ever one on its way."""
        view, filled = memoryview(self._buffer), 0
        while filled == 0 or self._buffer[filled - 1] != 0x0A:
            got = self._socket.recv_into(view[filled:])
            if not got:
                raise SystemExit("the server closed the connection")
            filled += got
        return bytes(view[:filled])

    def ask(self) -> bytes:
        """Send the request and read the reply."""
        self._socket.sendall(b"list\n")
        return self.read_line()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


@contextmanager
def echo(reply: bytes) -> Iterator[tuple[str, int]]:
    """Serve one connection, in a thread: the same bytes for whatever line comes."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            while sock.recv(4096):
                sock.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join(PATIENCE)


def hear_all(fleet: Fleet, events: Subscription, generation: int) -> None:
    """Let every peer tell its record of this generation; wait for the event of each: joined or updated."""
    told: set[str] = set()

    def heard(seconds: float) -> int:
        event = events.get(timeout=seconds)
        if event and event.peer.tags.get("generation") == str(generation):
            told.add(event.peer.id)
        return len(told)

    fleet.introduce(heard, generation)


def milliseconds(action: Callable[[], Any]) -> float:
    """Time an action."""
    begun = perf_counter()
    action()
    return (perf_counter() - begun) * 1000


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=7).parse_args()
    port = free_port()
    discovery = Discovery(Parameters(loopback=NODE, port=port, limits=NO_FLOOD), query=("127.0.0.1", 0))
    events = discovery.subscribe()
    times: dict[str, list[float]] = {"cold": [], "warm": [], "parsed": [], "echo": []}
    with discovery, closing(Fleet(SIZE, port)) as fleet:
        assert discovery.query_address is not None
        with closing(Connection(discovery.query_address)) as connection:
            connection.read_line()  # the greeting
            for run in range(options.runs):
                hear_all(fleet, events, run)
                times["cold"].append(milliseconds(connection.ask))
                times["warm"].append(median(milliseconds(connection.ask) for _ in range(TRIPS)))
                parsed = [milliseconds(lambda: json.loads(connection.ask())) for _ in range(TRIPS)]
                times["parsed"].append(median(parsed))
                reply = connection.ask()
                if len(json.loads(reply)["peers"]) != SIZE:
                    raise SystemExit(f"not all {SIZE} peers are listed")
                with echo(reply) as address, closing(Connection(address)) as other:
                    times["echo"].append(median(milliseconds(other.ask) for _ in range(TRIPS)))
    floor = Figure(what=f"echo of {len(reply):,} bytes", unit="ms", samples=times["echo"])
    report(
        [
            Figure(
                what=f"`list` round trip, {SIZE:,} peers",
                unit="ms",
                samples=times["warm"],
                most=3,
                floor=floor,
            ),
            Figure(what="the same with `json.loads`", unit="ms", samples=times["parsed"], floor=floor),
            Figure(what="the same, all changed", unit="ms", samples=times["cold"], floor=floor),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
