"""What sealing costs: a steady HELLO encoded and read, plain and sealed, in the same run.

``plain`` is what a HELLO costs at both ends together without keys: `Hello.encode` and `decode`. ``sealed``
adds `Sealer.seal` at one end, `Sealer.open` and `Windows.take` at the other. Forgeries are what a stranger makes
us do: a boot invented for each, with the key id that he saw on the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter

from machine import Figure, parser, report

from discoveryd.errors import WireError
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.sealed.channel import Windows
from discoveryd.protocol.sealed.envelope import TO_ONE, Opened, Sealer
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Hello
from discoveryd.protocol.wire.record import Record

COUNT = 2000
KEY = Key(os.urandom(32))
RING = Keyring(keys=(KEY,), mode="require")
ALICE, BOB = "a" * 16, "b" * 16
THERE = Source("10.0.0.1", Link("eth0", 2, "10.0.0.2", 24, "10.0.0.255"))


def hello(record: Record, *, full: bool) -> Hello:
    """Make a HELLO of a node whose id has 16 characters."""
    return Hello(
        realm="default", id="9f86d081884c7d65", boot=ALICE, interval_ms=800, ttl_ms=4000, digest=record.digest,
        seq=1234, record=record.encoded if full else None,
    )  # fmt: skip


def rate(step: Callable[[], object]) -> float:
    """Say how often a second."""
    begun = perf_counter()
    for _ in range(COUNT):
        step()
    return COUNT / (perf_counter() - begun)


class Pair:
    """A sender and a receiver that knows it."""

    def __init__(self) -> None:
        self.sender = Sealer(RING, realm="default", id="9f86d081884c7d65", boot=ALICE, process=os.getpid)
        self.receiver = Sealer(RING, realm="default", id="2c26b46b68ffc68f", boot=BOB)
        self.windows = Windows(1024)
        self.windows.admit(Opened(b"", KEY.id, "9f86d081884c7d65", ALICE, TO_ONE, 0))
        self.sender.seal(b"PONG|2|default|%b|" % ALICE.encode(), key=KEY.id, here=THERE.packed, to=BOB)  # takes the counter 0

    def say(self, hello: Hello) -> None:
        """Seal a HELLO, and take it in at the other end."""
        datagram = self.sender.seal(hello.encode(), key=KEY.id, here=THERE.packed)
        opened = self.receiver.open(datagram, THERE)
        if not self.windows.take(opened) or decode(opened.datagram) != hello:
            raise SystemExit("it was not heard: the figure would be wrong")

    def refuse(self, datagram: bytes) -> None:
        """Take in a forgery."""
        try:
            self.receiver.open(datagram, THERE)
        except WireError:
            return
        raise SystemExit("a forgery was opened")


def forgeries(datagram: bytes) -> Callable[[], bytes]:
    """Give one datagram after the other, each of a boot of its own."""
    boots = iter([datagram.replace(ALICE.encode(), os.urandom(8).hex().encode()) for _ in range(COUNT)])
    return lambda: next(boots)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=9).parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pair = Pair()
    short = Record(name="web1", tags={"rack": "b2"})
    longest = Record(name="web1", tags={"a": "x" * 255, "b": "x" * 255, "c": "x" * 143})
    samples: dict[str, list[float]] = {}
    for what, record, full in (("steady", short, False), ("full", short, True), ("longest", longest, True)):
        one = hello(record, full=full)
        datagram = pair.sender.seal(one.encode(), key=KEY.id, here=THERE.packed)
        print(f"{what}: {len(one.encode())} bytes plain, {len(datagram)} sealed", flush=True) if not options.json else None
        for run in range(options.runs + 1):
            forged = forgeries(datagram)
            taken = {
                "plain": rate(lambda one=one: decode(one.encode())),  # type: ignore[misc]
                "sealed": rate(lambda one=one: pair.say(one)),  # type: ignore[misc]
                "forged": rate(lambda forged=forged: pair.refuse(forged())),  # type: ignore[misc]
            }
            for path, found in taken.items():
                if run:  # the first warms the caches
                    samples.setdefault(f"{what} {path}", []).append(found)
    figures = []
    for what in ("steady", "full", "longest"):
        floor = Figure(what="plain", unit="/s", samples=samples[f"{what} plain"])
        for path, text in (("sealed", "sealed and opened"), ("forged", "forged and refused")):
            figures.append(Figure(what=f"{what} HELLO, {text}", unit="/s", samples=samples[f"{what} {path}"], floor=floor))
    report(figures, as_json=options.json)


if __name__ == "__main__":
    main()
