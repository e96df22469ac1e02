"""Plays so many nodes of one segment, each with an address and a beat of its own. Run by crowd.py.

    python player.py COUNT BEATS_A_SECOND

Sends what they would: steady HELLOs, every tenth with the record, PONGs, and the record to whom asks for it.
"""

from __future__ import annotations

import heapq
import select
import signal
import socket
import struct
import sys
from random import Random
from time import monotonic

from machine import REPOSITORY  # noqa: F401 - makes the package importable

from discoveryd.errors import WireError
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Hello, Ping, Pong
from discoveryd.protocol.wire.record import Record

PORT = 3400
BROADCAST = "10.77.255.255"
IP_PKTINFO = 8
TTL = 4.0


def address_of(number: int) -> str:
    """Give the address of a node."""
    return f"10.77.{1 + number // 200}.{1 + number % 200}"


class Player:
    """Nodes, and the one socket from which they speak."""

    def __init__(self, count: int, rate: float) -> None:
        self._random = Random(1)
        self._interval = count / rate
        self._seqs = [0] * count
        self._records = [Record(name=f"n{number}", tags={"rack": str(number % 8)}) for number in range(count)]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._socket.bind(("", PORT))
        self._numbers = {address_of(number): number for number in range(count)}
        now = monotonic()
        self._beats = [(now + self._interval * number / count, number) for number in range(count)]

    def run(self) -> None:
        """Play until the end of the process."""
        while True:
            due, number = self._beats[0]
            left = due - monotonic()
            if left <= 0:
                self._seqs[number] += 1
                is_full = self._seqs[number] % 10 == 1
                self._hello(number, BROADCAST, full=is_full, quiet=is_full and self._seqs[number] > 1)
                heapq.heapreplace(self._beats, (due + self._interval * self._random.uniform(0.9, 1.1), number))
            elif select.select([self._socket], [], [], left)[0]:
                self._hear(*self._socket.recvmsg(2048, 64))

    def _hear(self, datagram: bytes, told: list[tuple[int, int, bytes]], _: int, source: tuple[str, int]) -> None:
        to = next((socket.inet_ntoa(struct.unpack("@i4s4s", data)[2]) for *_, data in told), "")
        number = self._numbers.get(to)
        if source[0] in self._numbers:
            return
        try:
            message = decode(datagram)
        except WireError:  # of simple_peer.py
            return
        if isinstance(message, Ping) and number is not None:
            pong = Pong(realm="default", boot=_boot(number), nonce=message.nonce, heard_ms=100)
            self._send(number, pong.encode(), source[0])
        elif isinstance(message, Hello) and message.solicit:
            for one in range(len(self._seqs)) if number is None else [number]:
                self._hello(one, source[0], full=True)

    def _hello(self, number: int, to: str, *, full: bool, quiet: bool = False) -> None:
        record = self._records[number]
        hello = Hello(
            realm="default", id=f"player-{number:03}", boot=_boot(number), interval_ms=round(self._interval * 1000),
            ttl_ms=round(max(TTL, 5 * self._interval) * 1000), digest=record.digest, seq=self._seqs[number],
            record=record.encoded if full else None, quiet=quiet,
        )  # fmt: skip
        self._send(number, hello.encode(), to)

    def _send(self, number: int, datagram: bytes, to: str) -> None:
        info = struct.pack("@i4s4s", 0, socket.inet_aton(address_of(number)), bytes(4))
        self._socket.sendmsg([datagram], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (to, PORT))


def _boot(number: int) -> str:
    return f"{number + 1:016x}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Player(int(sys.argv[1]), float(sys.argv[2])).run()
