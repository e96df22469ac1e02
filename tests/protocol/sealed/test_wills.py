"""Sealed wills: a scope and counters of their own, taken once, of boots that have proved to live."""

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.sealed.envelope import MAX_COUNTER, OF_WILL, Sealer
from discoveryd.protocol.wire.messages import Ping, Will
from tests.protocol.segment import K1, fleet, ring

HERE = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
THERE = Source("10.0.0.1", Link("eth0", 2, "10.0.0.2", 24, "10.0.0.255"))
BOOT, OTHER = "a" * 16, "b" * 16
WILL = Will(realm="r", id="me", boot=BOOT).encode()
PING = Ping(realm="r", id="me", boot=BOOT, nonce="c" * 16).encode()


def sealer(boot=BOOT, id="me"):
    return Sealer(ring(K1), realm="r", id=id, boot=boot)


def seal(one, datagram=WILL, here=HERE.packed):
    return one.seal(datagram, key=K1.id, here=here)


def test_a_will_has_counters_of_its_own():
    one, reader = sealer(), sealer(OTHER, "other")
    opened = [reader.open(seal(one, datagram), THERE) for datagram in (WILL, PING, WILL, PING)]
    assert [each.counter for each in opened] == [MAX_COUNTER, 0, MAX_COUNTER + 1, 1]
    assert [each.scope for each in opened] == [OF_WILL, b"b", OF_WILL, b"b"]
    assert opened[0].datagram == WILL
    one.reboot("d" * 16)
    assert (one.counter, one.will_counter) == (0, MAX_COUNTER)


@pytest.mark.parametrize(
    ("here", "source"), [(HERE.packed, Source("10.0.0.9", THERE.link)), (b"", THERE), (HERE.packed, Source("10.0.0.1", None))],
    ids=["another address", "for beyond", "from beyond"],
)  # fmt: skip
def test_a_will_is_bound_to_its_address_on_a_link(here, source):
    with pytest.raises(WireError, match="bad-seal"):
        sealer(OTHER, "other").open(seal(sealer(), here=here), source)


def test_a_will_beyond_the_links_opens_there():
    assert sealer(OTHER, "other").open(seal(sealer(), here=b""), Source("10.9.0.1", None)).datagram == WILL


@pytest.mark.parametrize("other", [(b"|8000000000000000|", b"|0|"), (b"|w", b"|b")], ids=["counter", "scope"])
def test_scope_and_counter_of_a_will_go_together(other):
    with pytest.raises(WireError, match="malformed"):
        sealer(OTHER, "other").open(seal(sealer()).replace(*other), THERE)


def test_a_sealed_will_is_asked_about_and_taken_once():
    segment, (one, two) = fleet(2, ring(K1))
    segment.run(5)
    datagrams = [send.datagram for _ in range(2) for send in one.node.will()]
    assert len(set(datagrams)) == 2
    before = two.node.sent["ping"]
    segment.deliver(datagrams[1], one.address, two)
    segment.deliver(datagrams[1], one.address, two, after=0.01)
    segment.deliver(datagrams[0], one.address, two, after=0.02)
    segment.run(0.2)
    assert (two.node.sent["ping"] - before, two.drops()["replayed"], two.lost()) == (1, 2, [])
    one.crash()
    segment.run(30)
    for datagram in datagrams:
        segment.deliver(datagram, one.address, two)
    segment.run(0.1)
    assert two.drops()["unproven"] >= 2
