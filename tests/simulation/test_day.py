"""A day of comings and goings, ever-new ids, boots and addresses: what a node keeps does not grow."""

import gc
import os
import sys
from collections.abc import Sized
from functools import partial
from itertools import count
from types import BuiltinFunctionType, FunctionType, ModuleType

from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.rate_limits import MAX_COMPLAINTS
from discoveryd.protocol.wire.messages import Hello, Ping
from discoveryd.protocol.wire.record import Record
from tests.simulation.machine import Lan
from tests.simulation.medium import Medium, Segment

SPELL = 1800.0
"""Seconds between two looks at what a node keeps."""
SPELLS = 2 * int(os.environ.get("DISCOVERYD_DAY_HOURS") or 2)
"""At least 4. DISCOVERYD_DAY_HOURS=24 is the long run."""
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What does not belong to a node although it refers to it."""
PARAMETERS = Parameters(interval=20.0, ttl=100.0, bare_ttl=800.0, limits=Limits(peers=30, remember=900.0))


class Day:
    """A few residents, guests who stay some minutes, and strangers who are heard once."""

    def __init__(self, seed):
        self.medium = Medium(seed)
        self.lan = Lan(self.medium, PARAMETERS)
        self.segment = Segment(self.medium, loss=0.2)
        self.residents = [self.lan.add(self.segment) for _ in range(3)]
        for machine in self.residents:
            machine.start()
        self.strangers = count()
        self.addresses = count(5000)
        self.guest()
        self.stranger()
        self.move()

    def guest(self):
        """Someone new comes, and some minutes later leaves or crashes."""
        guest = self.lan.add(self.segment, name=f"g{self.medium.now:.0f}")
        guest.start()
        end = self.medium.random.choice((guest.leave, guest.crash))
        self.medium.after(self.medium.random.uniform(1, 300), end)
        self.medium.after(100.0, self.guest)

    def stranger(self):
        """The first resident hears something from an address that speaks this once."""
        number = next(self.strangers)
        address = f"10.9.{number >> 8 & 255}.{number & 255}"
        hello = partial(self.hello, f"{self.medium.random.getrandbits(64):016x}")
        datagram = (
            b"garbage",
            b"HELLO|",
            hello(f"s{number}", f"name {number}"),
            hello("restless", "restless"),
            Ping(realm="default", id=f"p{number}", boot=f"{number:016x}", nonce=f"{number:016x}").encode(),
        )[number % 5]
        self.residents[0].hear_stranger(datagram, address)
        self.medium.after(8.0, self.stranger)

    def hello(self, boot, id, name):
        record = Record(name=name)
        return Hello(
            realm="default", id=id, boot=boot, interval_ms=20_000, ttl_ms=100_000,
            digest=record.digest, seq=0, solicit=True, record=record.encoded,
        ).encode()  # fmt: skip

    def move(self):
        """The second resident gets another address."""
        self.residents[1].set_links({self.segment: self.segment.link(next(self.addresses))})
        self.medium.after(61.0, self.move)

    def ping_all(self):
        """Ask whoever is listed, more often than can wait for an answer."""
        node = self.residents[0].node
        rows = list(node.table.rows(self.medium.now))
        for number in range(MAX_PINGS + 10):
            node.ping(rows[number % len(rows)], self.medium.now)

    def spell(self):
        """Let half an hour pass and measure at its end."""
        self.medium.run(self.medium.now + SPELL)
        self.lan.forget()
        self.ping_all()
        return dict(container_sizes(self.residents[0].node)), weigh(self.residents[0].node)


def container_sizes(node):
    """Give the length of every container that a node, its table and its limiters keep."""
    table, beacon, gate = node.table, node.beacon, node.rate_limits
    parts = (node, table, table.event_log, node.prober, beacon, node.answers, gate)
    for part in (*parts, gate.answers, gate.newcomers):
        names = [*getattr(part, "__dict__", ()), *getattr(type(part), "__slots__", ())]
        for name in names:
            value = getattr(part, name)
            if isinstance(value, Sized) and not isinstance(value, str | bytes | tuple):
                yield f"{type(part).__name__}.{name} {id(part)}", len(value)


def weigh(node):
    """Give the number of objects that a node holds on to, and their bytes."""
    seen = {id(node)}
    found = [node]
    for one in found:  # grows as we go
        for child in gc.get_referents(one):
            if id(child) not in seen and not isinstance(child, SHARED):
                seen.add(id(child))
                found.append(child)
    return len(found), sum(map(sys.getsizeof, found))


def test_memory_is_flat(capsys):
    day = Day("a day")
    spells = [day.spell() for _ in range(SPELLS)]
    node = day.residents[0].node
    sizes = [size for size, _ in spells]
    weights = [weight for _, weight in spells]
    with capsys.disabled():
        print(f"\na node after 1 and {SPELLS // 2} hours of churn: {weights[1]} and {weights[-1]} (objects, bytes)")
    # the bounds were reached, and held
    assert PARAMETERS.limits.peers - 5 < len(node.table) <= PARAMETERS.limits.peers
    assert 0 < len(node.rate_limits.complaints) <= MAX_COMPLAINTS  # forgotten each hour
    assert MAX_PINGS <= len(node.prober.asked) + len(node.prober.wanted) <= 2 * MAX_PINGS  # those that programs want are kept apart
    for name in sizes[-1]:
        early, late = (max(one[name] for one in part) for part in (sizes[1 : SPELLS // 2], sizes[SPELLS // 2 + 1 :]))
        assert late <= max(early * 1.1, early + 16), f"{name} grows: {[one[name] for one in sizes]}"
    for early, late in zip(*(map(max, zip(*part, strict=True)) for part in (weights[1 : SPELLS // 2], weights[SPELLS // 2 + 1 :])), strict=True):
        assert late < early * 1.05, f"memory grows: {weights}"
