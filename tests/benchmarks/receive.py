"""How many HELLOs a second the receive path takes in: socket, decoding, engine, table.

1,000 made-up peers, each at a loopback address of its own, send steady HELLOs in turn. They are first
put into the receive buffer, a few thousand at a time; only the draining is measured, on one core, in
three ways that take turns:

- floor: `recvfrom` on a bare socket;
- path: `UdpTransport.listen` and `Node.receive`, in this thread;
- daemon: the hello-receiver thread of a whole Discovery, with its lock, until the event of a newcomer
  that was last in the buffer.

Each datagram is checked to have been counted as received.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from time import perf_counter

from fleet import BROADCAST, NODE, Datagram, Fleet, free_port
from machine import Figure, parser, report
from mirror import PATIENCE

from discoveryd.net.stamps import boottime
from discoveryd.net.udp import UdpTransport
from discoveryd.net.udp_socket import RECEIVE_BUFFER, SO_RCVBUFFORCE
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.messages import MAX_DATAGRAM
from discoveryd.protocol.wire.record import Record
from discoveryd.runtime.discovery import Discovery

NO_FLOOD = Limits(datagrams=100_000_000, source_datagrams=100_000_000)
"""So that full speed is not taken for an attack."""
SIZE = 1000
ROUNDS = 10
"""Fillings of the buffer per run."""
COST = 1280
"""Bytes of receive buffer that a datagram of a hundred bytes takes, by the kernel's own account, at most."""


class Bare:
    """The floor."""

    def __init__(self) -> None:
        self.port = free_port()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.bind((BROADCAST, self.port))
        self.room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // COST

    def drain(self, fleet: Fleet, datagrams: list[Datagram]) -> float:
        """Take in what the fleet sends; seconds."""
        fleet.send(datagrams, port=self.port)
        take, count = self._socket.recvfrom, 0
        begun = perf_counter()
        try:
            while True:
                take(MAX_DATAGRAM + 1)
                count += 1
        except BlockingIOError:
            seconds = perf_counter() - begun
        _check(count, len(datagrams))
        return seconds

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Path:
    """Transport and Node, driven as the hello-receiver does."""

    def __init__(self) -> None:
        self.port = free_port()
        parameters = Parameters(loopback=NODE, port=self.port)
        self._node = Node(parameters, Record(name="receiver"))
        self._transport = UdpTransport(parameters)
        self._transport.open()
        self._node.set_links(self._transport.rescan(parameters.interfaces), boottime())

    def warm(self, fleet: Fleet) -> None:
        """Hear the record of each peer."""

        def heard(_: float) -> int:
            for outcome in (*self._take(), self._node.poll(boottime())):
                self._transport.send(outcome.sends)
            return self._node.table.live_count(boottime())

        fleet.introduce(heard)

    def drain(self, fleet: Fleet, datagrams: list[Datagram]) -> float:
        """Take in what the fleet sends; seconds."""
        fleet.send(datagrams)
        before = self._node.received["hello"]
        begun = perf_counter()
        self._take()
        seconds = perf_counter() - begun
        _check(self._node.received["hello"] - before, len(datagrams))
        return seconds

    def close(self) -> None:
        """Close the sockets."""
        self._transport.close()

    def _take(self) -> list[Outcome]:
        receive = self._node.receive
        outcomes = []
        while batch := self._transport.read()[0]:
            for datagram, source, arrived in batch:
                outcome = receive(datagram, source, arrived)
                if outcome is not NOTHING:
                    outcomes.append(outcome)
        return outcomes


class Daemon:
    """A whole Discovery; `look` holds its lock, so that it does not drain the buffer while it is being filled."""

    def __init__(self) -> None:
        self.port = free_port()
        self._discovery = Discovery(Parameters(loopback=NODE, port=self.port, bare_ttl=3600, limits=NO_FLOOD))
        self._events = self._discovery.subscribe()
        self._discovery.start()
        self._newcomers = 0

    def warm(self, fleet: Fleet) -> None:
        """Hear the record of each peer."""
        told: set[str] = set()

        def heard(seconds: float) -> int:
            if event := self._events.get(timeout=seconds):
                told.add(event.peer.id)
            return len(told)

        fleet.introduce(heard)

    def drain(self, fleet: Fleet, datagrams: list[Datagram]) -> float:
        """Take in what the fleet sends; seconds."""
        before = self._received()
        self._newcomers += 1

        def fill(*_: object) -> tuple[str, float]:
            fleet.send(datagrams)
            return fleet.say_bare(self._newcomers), perf_counter()

        newcomer, begun = self._discovery.look(fill)  # the lock is held meanwhile
        heard = self._await_event()
        seconds = perf_counter() - begun
        if heard != newcomer:
            raise SystemExit(f"the newcomer {newcomer} was last in the buffer, but the event was of {heard}")
        _check(self._received() - before, len(datagrams))
        return seconds

    def close(self) -> None:
        """Stop it."""
        self._discovery.stop()

    def _await_event(self) -> str:
        event = self._events.get(timeout=PATIENCE)
        if event is None:
            raise SystemExit(f"nothing was heard within {PATIENCE:g} s")
        return event.peer.id

    def _received(self) -> int:
        count: int = self._discovery.status()["received"]["hello"]
        return count


def _check(found: int, sent: int) -> None:
    if found != sent:
        raise SystemExit(f"{found} of {sent} HELLOs were taken in: the figure would be wrong")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=7).parse_args()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    rates: dict[str, list[float]] = {"floor": [], "path": [], "daemon": []}
    with closing(Bare()) as bare, closing(Path()) as path, closing(Daemon()) as daemon:
        count = min(4000, bare.room)
        with closing(Fleet(SIZE, path.port)) as to_path, closing(Fleet(SIZE, daemon.port)) as to_daemon:
            path.warm(to_path)
            daemon.warm(to_daemon)
            for _ in range(options.runs + 1):
                seconds = dict.fromkeys(rates, 0.0)
                for _ in range(ROUNDS):
                    datagrams = to_path.steady(count)
                    seconds["floor"] += bare.drain(to_path, datagrams)
                    seconds["path"] += path.drain(to_path, datagrams)
                    seconds["daemon"] += daemon.drain(to_daemon, to_daemon.steady(count))
                for name, taken in seconds.items():
                    rates[name].append(ROUNDS * count / taken)
    rates = {name: samples[1:] for name, samples in rates.items()}  # the first warms the caches
    floor = Figure(what="bare `recvfrom`", unit="/s", samples=rates["floor"])
    report(
        [
            Figure(
                what=f"steady HELLOs of {SIZE:,} peers, socket to table",
                unit="/s",
                samples=rates["path"],
                least=100_000,
                floor=floor,
                least_of_floor=0.25,
            ),
            Figure(
                what="the same in the threads of a daemon", samples=rates["daemon"], unit="/s", floor=floor
            ),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
