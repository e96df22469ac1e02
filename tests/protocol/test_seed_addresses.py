"""A seed that answers from another address than the one that was named."""

import pytest

from discoveryd.protocol.link import Source
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.seeds import AGAIN, AT_ONCE, LIFE, MAX_ALIASES, SeedAddresses
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.samples import ETH0, boot, hello, make_node
from tests.protocol.segment import K1, Segment, ring

RINGS = pytest.mark.parametrize("keyring", [NO_KEYS, ring(K1)], ids=["plain", "require"])
NAMED, OWN = "10.0.0.99", "10.0.0.2"
ELSEWHERE = Source("192.0.2.8", None)


def hub_and_spoke(keyring, *, also=False):
    """Return a node with a seed whose name is not the address it speaks from; with `also` the other way round too."""
    segment = Segment(routed=True)
    a = segment.add(keyring, parameters=Parameters(seeds=(NAMED,)))
    b = segment.add(keyring, parameters=Parameters(seeds=("10.0.0.98" if also else a.address,)))
    segment.stations[NAMED] = b
    segment.stations["10.0.0.98"] = a
    return segment, a.start(), b.start()


def seen(station):
    return [(peer.name, peer.address, peer.two_way) for peer in station.node.peers(station.segment.now)]


@RINGS
def test_a_seed_that_answers_from_another_address_is_two_way(keyring):
    segment, a, b = hub_and_spoke(keyring)
    segment.run(8.0)
    assert seen(a) == [("n2", OWN, True)]
    assert seen(b) == [("n1", a.address, True)]
    segment.run(600.0)
    assert a.lost() == b.lost() == []
    assert (seen(a), seen(b)) == ([("n2", OWN, True)], [("n1", a.address, True)])
    assert [kind for _, kind, _ in a.told + b.told].count("updated") <= 4  # a record, and that it is two-way


def test_with_keys_neither_side_names_the_other_as_seed():
    segment, a, b = hub_and_spoke(ring(K1), also=True)
    segment.run(8.0)
    assert (seen(a), seen(b)) == ([("n2", OWN, True)], [("n1", a.address, True)])


@RINGS
def test_its_crash_is_noticed_as_that_of_any_peer(keyring):
    segment, a, b = hub_and_spoke(keyring)
    segment.run(60.0)
    b.crash()
    segment.run(4.0)
    assert [kind for _, kind, _ in a.told[-2:]] == ["suspect", "down"]


@RINGS
def test_a_seed_whose_pongs_alone_come_from_elsewhere_is_two_way(keyring):
    segment, a, b = hub_and_spoke(keyring)
    carry = segment.carry

    def translated(sender, to, datagram):
        is_pong = b.node is not None and segment.pongs != b.node.sent["pong"]
        segment.pongs = b.node.sent["pong"]
        carry(NAMED if sender == OWN and not is_pong else sender, to, datagram)

    segment.pongs, segment.carry = 0, translated
    segment.run(10.0)
    assert [(name, two_way) for name, _, two_way in seen(a)] == [("n2", True)]
    assert seen(b) == [("n1", a.address, True)]


def node_with(*seeds):
    node = make_node(parameters=Parameters(seeds=seeds))
    node.poll(0.0)
    return node


def test_who_does_not_know_the_nonce_becomes_no_seed():
    node = node_with(NAMED)
    sends = node.receive(hello().encode(), ELSEWHERE, 1.0).sends
    (to, ping), (there, _) = [(send.to, decode(send.datagram)) for send in sends]
    assert (to, there) == (NAMED, ELSEWHERE.address)
    forged = Pong(realm="default", boot=boot(1), nonce="0" * 16, heard_ms=None)
    node.receive(forged.encode(), ELSEWHERE, 1.1)
    right = Pong(realm="default", boot=boot(1), nonce=ping.nonce, heard_ms=0)
    node.receive(right.encode(), Source("10.0.0.7", ETH0), 1.1)  # on our link: not the seed
    node.receive(right.encode(), Source(ELSEWHERE.address, None), 1.0 + LIFE)
    assert node.peers(1.0 + LIFE / 2)[0].two_way is None
    assert node.drops["unexpected", "-"] + node.drops["unexpected", "eth0"] == 3


def test_seeds_are_asked_a_few_at_a_time():
    seeds = tuple(f"198.51.100.{number}" for number in range(1, 21))
    node = node_with(*seeds)
    asked = []
    for place in range(40):
        address, now = f"192.0.2.{place}", 1.0 + place * AGAIN / 4
        sends = node.receive(hello(place + 1, id=f"n{place}").encode(), Source(address, None), now).sends
        asked += [(now, send.to) for send in sends if send.to in seeds]
    assert {seed for _, seed in asked} == set(seeds)
    assert all(len([one for at, one in asked if at == now]) <= AT_ONCE for now, _ in asked)
    assert len(asked) == 10 * AT_ONCE


def test_a_seed_that_is_none_any_more_takes_its_addresses_along():
    aliases = SeedAddresses()
    aliases.admit("10.1.0.1", "10.0.0.1")
    aliases.admit("10.1.0.2", "10.0.0.2")
    assert aliases.of("10.0.0.1") == {"10.0.0.1", "10.1.0.1"}
    aliases.keep(("10.0.0.2",))
    assert "10.1.0.1" not in aliases
    assert "10.1.0.2" in aliases


def test_addresses_of_seeds_are_bounded():
    aliases = SeedAddresses()
    for number in range(MAX_ALIASES + 10):
        aliases.admit(str(number), "10.0.0.1")
    assert len(aliases) == MAX_ALIASES
    assert "9" not in aliases
    assert "10" in aliases
