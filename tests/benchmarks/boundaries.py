"""How many module boundaries a HELLO crosses in the engine, from `Node.receive` to its return.

In the order of the calls, each function of another module than that of the call before counts: a reader who follows a
HELLO turns as many pages. Functions outside the package count for nothing. Measured are

- the first plain full HELLO of a new peer, and the HELLO of its next beat;
- the PONG that proves the peer.

``--trace`` prints the calls, indented.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Hello, Pong
from discoveryd.protocol.wire.record import Record

PACKAGE = "discoveryd."
BOOT = "0" * 15 + "1"
MOST = 40
"""Changes of module that the first HELLO may cost; 92 in version 0.1.0."""


class Trace:
    """Counts calls, and changes from one module of the package to another."""

    def __init__(self, *, is_printed: bool) -> None:
        self.calls = 0
        self.changes = 0
        self.entered: Counter[str] = Counter()
        self._is_printed = is_printed
        self._module = f"{PACKAGE}protocol.node"
        self._depth = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take an event of the interpreter."""
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(PACKAGE):
            return
        if event == "call":
            self.calls += 1
            if module != self._module:
                self.changes += 1
                self.entered[module.removeprefix(PACKAGE)] += 1
            self._module = module
            self._depth += 1
            if self._is_printed:
                where = f"{module.removeprefix(PACKAGE)}.{frame.f_code.co_qualname}"
                print(f"{self.changes:4} {'  ' * self._depth}{where}")
        elif event == "return":
            self._depth -= 1


def traced(call: Callable[[], Any], *, is_printed: bool) -> Trace:
    """Return what a call crossed."""
    trace = Trace(is_printed=is_printed)
    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return trace


def measure(*, is_printed: bool) -> dict[str, Trace]:
    """Return what each datagram of a new peer crosses."""
    link = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
    node = Node(Parameters(), Record(name="me"), node_id="me", random=Random(1))
    node.set_links([link], 0.0)
    record = Record(name="peer")
    source = Source("10.0.0.7", link)
    found: dict[str, Trace] = {}

    def hear(what: str, datagram: bytes, now: float) -> None:
        found[what] = traced(lambda: node.receive(datagram, source, now), is_printed=is_printed)

    def hello(seq: int, encoded: bytes | None) -> bytes:
        return Hello(
            realm="default", id="peer", boot=BOOT, interval_ms=800, ttl_ms=4000, digest=record.digest, seq=seq,
            record=encoded,
        ).encode()  # fmt: skip

    hear("first plain HELLO of a new peer", hello(1, record.encoded), 0.5)
    hear("HELLO of its next beat", hello(2, None), 1.3)
    sends = [send for at in (1.4, 1.5, 1.6) for send in node.poll(at).sends if send.datagram.startswith(b"PING")]
    nonce = decode(sends[0].datagram).nonce
    hear("PONG that proves it", Pong(realm="default", boot=BOOT, nonce=nonce, heard_ms=5).encode(), 1.61)
    hear("HELLO of the beat after it", hello(3, None), 2.1)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trace", action="store_true", help="print each call")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(is_printed=options.trace)
    if options.json:
        print(json.dumps({what: {"calls": one.calls, "changes": one.changes} for what, one in found.items()}))
        return
    for what, one in found.items():
        print(f"{what:34} {one.calls:4} calls {one.changes:4} changes of module")
    entered = next(iter(found.values())).entered
    print("entered by the first:", ", ".join(f"{name} {times}" for name, times in entered.most_common()))
    print(f"aim: at most {MOST} changes")


if __name__ == "__main__":
    main()
