"""Peers that do not exist: HELLOs from loopback addresses, sent over a real socket to a real daemon."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from time import monotonic, sleep

import machine  # noqa: F401 - makes the checkout importable

from discoveryd.net.families import IP_PKTINFO
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Hello, Pong
from discoveryd.protocol.wire.record import Record, Service

BROADCAST = "127.255.255.255"
NODE = "127.77.0.1"
"""Address of the daemon under test."""
FLEET = "127.77.0.2"
PIECE, PAUSE = 100, 0.01
"""Records said at once, and the seconds until the next: a receive buffer of 208 KiB holds about 360 of them."""
AGAIN = 0.5
"""Seconds after which the records are said again: a daemon takes in so many newcomers a second and no more."""
PATIENCE = 60.0
"""Seconds until each peer must have been heard."""

Datagram = tuple[bytes, list[tuple[int, int, bytes]]]


class Fleet:
    """So many peers, each with an address of 127.78.0.0/15 and a record of ordinary size.

    Their HELLOs are good for an hour, as they answer PINGs: a benchmark need not keep them alive.
    """

    def __init__(self, size: int, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.bind((FLEET, port))  # a node speaks from the port it listens on
        # the kernel takes the source address from here, so that one socket speaks for all
        self._routes = [[_from(number)] for number in range(size)]
        self._hellos = [_hello(number, 0) for number in range(size)]
        self._seq = 0
        self._answering = Answering(size, port)
        self._answering.start()

    def __len__(self) -> int:
        return len(self._hellos)

    def say_records(self, generation: int = 0) -> None:
        """Send the full HELLO of every peer; another generation has other records."""
        self._seq += 1
        for number in range(len(self)):
            hello = self._hellos[number] = _hello(number, generation)
            record = _record(number, generation)
            self._send((replace(hello, seq=self._seq, record=record.encoded).encode(), self._routes[number]))
            if number % PIECE == PIECE - 1:
                sleep(PAUSE)

    def introduce(self, heard: Callable[[float], int], generation: int = 0) -> None:
        """Say the records until each is heard.

        Args:
            heard: waits for news, so many seconds at most, and gives how many of these records were heard by then.
            generation: of the records.
        """
        deadline = monotonic() + PATIENCE
        while True:
            self.say_records(generation)
            again = monotonic() + AGAIN
            while (left := again - monotonic()) > 0:
                if heard(left) == len(self):
                    return
            if monotonic() > deadline:
                raise SystemExit(f"only {heard(0)} of {len(self)} peers were heard")

    def steady(self, count: int) -> list[Datagram]:
        """Make the next so many steady HELLOs, of one peer after the other."""
        heads = [hello.encode().rpartition(b"|")[0] for hello in self._hellos]
        made = []
        for turn in range(count):
            number = turn % len(self)
            self._seq += number == 0
            made.append((b"%b|%d" % (heads[number], self._seq), self._routes[number]))
        return made

    def send(self, datagrams: list[Datagram], *, port: int | None = None) -> None:
        """Send what `steady` made."""
        for one in datagrams:
            self._send(one, port)

    def say_bare(self, number: int) -> str:
        """Send a bare HELLO from an address not used yet, and give the address."""
        address = f"127.80.{number >> 8}.{number & 255}"
        self._send((b"HELLO|", [_route(address)]))
        return address

    def close(self) -> None:
        """Close the sockets."""
        self._answering.end()
        self._socket.close()

    def _send(self, datagram: Datagram, port: int | None = None) -> None:
        self._socket.sendmsg((datagram[0],), datagram[1], 0, (BROADCAST, port or self._port))


class Answering(Thread):
    """Answers the PINGs that peers get: who never does is forgotten in seconds, and of such few are listed a second."""

    def __init__(self, size: int, port: int) -> None:
        super().__init__(daemon=True)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * size + 1024)), hard))
        with ExitStack() as stack:
            self._selector = stack.enter_context(DefaultSelector())
            self._ender, self._ended = (stack.enter_context(one) for one in socket.socketpair())
            self._selector.register(self._ended, EVENT_READ, "")
            for number in range(size):
                one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                one.bind((_address(number), port))
                self._selector.register(one, EVENT_READ, _boot(number))
            self._stack = stack.pop_all()

    def end(self) -> None:
        """Stop it, and close its sockets."""
        self._ender.send(b"x")
        self.join()
        self._stack.close()

    def run(self) -> None:
        """Answer until the end."""
        while True:
            for key, _ in self._selector.select():
                if not key.data:
                    return
                assert isinstance(key.fileobj, socket.socket)
                asked, there = key.fileobj.recvfrom(2048)
                if asked.startswith(b"PING"):
                    pong = Pong(realm="default", boot=key.data, nonce=decode(asked).nonce, heard_ms=1)
                    key.fileobj.sendto(pong.encode(), there)


def free_port() -> int:
    """Find a port that neither UDP nor TCP uses on loopback."""
    while True:
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


def _record(number: int, generation: int) -> Record:
    return Record(
        name=f"peer-{number:04}",
        tags={"role": "worker", "rack": str(number % 40), "generation": str(generation)},
        services=(Service(name="http", port=8080),),
    )


def _hello(number: int, generation: int) -> Hello:
    return Hello(
        realm="default",
        id=f"{number:016x}",
        boot=_boot(number),
        interval_ms=600_000,
        ttl_ms=3_600_000,
        digest=_record(number, generation).digest,
        seq=0,
    )


def _boot(number: int) -> str:
    return f"b{number:015x}"


def _address(number: int) -> str:
    return f"127.78.{number // 250}.{number % 250 + 1}"


def _from(number: int) -> tuple[int, int, bytes]:
    return _route(_address(number))


def _route(address: str) -> tuple[int, int, bytes]:
    return socket.IPPROTO_IP, IP_PKTINFO, struct.pack("@i4s4s", 0, socket.inet_aton(address), bytes(4))
