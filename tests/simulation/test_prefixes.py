"""Hosts with different prefixes on one wire, in virtual time."""

import pytest

from discoveryd.protocol.limited_broadcast import DIRECTED_EVERY, MEMORY
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from tests.simulation.wire import Wire, link

KEY = Key(b"k" * 32)
REQUIRE = Keyring(keys=(KEY,), mode="require")
A, B, C = link("10.77.0.1", 24), link("10.77.0.130", 25), link("10.77.0.2", 16)
D = link("10.77.0.4", 24)


def is_complete(wire):
    names = set(wire.machines)
    return all(machine.peers == names - {name} for name, machine in wire.machines.items())


def forget_events(wire):
    for machine in wire.machines.values():
        machine.events.clear()


def events(wire):
    return {name: machine.events for name, machine in wire.machines.items() if machine.events}


@pytest.mark.parametrize("keyring", [NO_KEYS, REQUIRE], ids=["plain", "require"])
@pytest.mark.parametrize("links", [(A, B, C), (A, C), (B, C), (A, link("10.99.0.1", 24))], ids=["three", "24-16", "25-16", "none"])
def test_hosts_of_different_prefixes_list_each_other(links, keyring):
    wire = Wire()
    for name, one in zip("abc", links, strict=False):
        wire.add(name, one, keyring=keyring)
    wire.run(10.0)
    assert is_complete(wire)
    forget_events(wire)
    wire.run(120.0)
    assert events(wire) == {}
    for machine in wire.machines.values():
        assert {row.paths.best(wire.now).link for row in machine.node.table.rows(wire.now)} == {"eth0"}
        assert {peer.two_way for peer in machine.node.peers(wire.now)} == {True}
        assert {peer.loss for peer in machine.node.peers(wire.now)} == {0.0}


def test_a_host_of_another_prefix_that_comes_later_is_listed():
    wire = Wire()
    wire.add("a", A)
    wire.add("d", D)
    wire.run(50.0)
    assert [machine.is_limited for machine in wire.machines.values()] == [[False], [False]]
    wire.add("c", C)
    wire.run(1.0)
    assert is_complete(wire)
    forget_events(wire)
    wire.run(90.0)
    assert events(wire) == {}
    assert all(machine.is_limited == [True] for machine in wire.machines.values())


def test_hosts_of_one_prefix_use_its_broadcast_address():
    wire = Wire(loss=0.05)
    for name, one in (("a", A), ("d", D)):
        wire.add(name, one)
        wire.run(3.0)
    for _ in range(100):
        wire.run(6.0)
        assert [machine.is_limited for machine in wire.machines.values()] == [[False], [False]]


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_limited_broadcasts_end_ten_minutes_after_the_need(loss):
    """Who came while it lasted never heard the others by another broadcast but each thirtieth."""
    wire = Wire(loss=loss)
    wire.add("c", C)
    for number in range(5, 9):
        wire.add(f"n{number}", link(f"10.77.0.{number}", 24))
        wire.run(20.0)
    wire.run(600.0)
    others = [machine for name, machine in wire.machines.items() if name != "c"]
    assert all(machine.is_limited == [True] for machine in others)
    wire.remove("c")
    wire.run(MEMORY - 60.0)
    assert all(machine.is_limited == [True] for machine in others)
    wire.run(120.0)
    assert not any(machine.is_limited == [True] for machine in others)


@pytest.mark.parametrize("keyring", [NO_KEYS, REQUIRE], ids=["plain", "require"])
def test_limited_broadcasts_do_not_double_the_hellos(keyring):
    counts = []
    for links in ((A, D), (A, C)):
        wire = Wire()
        for name, one in zip("ab", links, strict=True):
            wire.add(name, one, keyring=keyring)
        wire.run(600.0)
        counts.append(sum(machine.hellos for machine in wire.machines.values()))
        assert {link_state.sent for machine in wire.machines.values() for link_state in machine.node.outlets}
    before, after = counts
    assert 1.0 < after / before < 1 + 1.02 / DIRECTED_EVERY
    assert [machine.node.interval(wire.now) for machine in wire.machines.values()] == [0.8, 0.8]


def test_steady_hellos_of_all_prefixes_take_the_fast_path():
    wire = Wire()
    for name, one in (("a", A), ("b", B), ("c", C)):
        wire.add(name, one)
    wire.run(10.0)
    a = wire.machines["a"].node
    quick = a.hello_rate.steady
    wire.run(100.0)
    hellos = sum(wire.machines[name].hellos for name in "bc")
    assert a.hello_rate.steady - quick > 0.9 * 2 * 100 / 0.8 * 0.95
    assert hellos > 0


def test_a_further_network_of_a_peer_is_no_flapping_path():
    wire = Wire()
    wire.add("a", A)
    wire.add("d", D, link("192.168.5.4", 24))
    wire.add("e", link("192.168.5.5", 24))
    wire.run(10.0)
    assert is_complete(wire)
    a, d, e = (wire.machines[name].node for name in "ade")
    assert a.table.get(d.id, d.boot).paths.best(wire.now).address == "10.77.0.4"
    assert e.table.get(d.id, d.boot).paths.best(wire.now).address == "192.168.5.4"
    assert a.limited.is_aside(A, "192.168.5.4", wire.now)
    forget_events(wire)
    wire.run(120.0)
    assert events(wire) == {}


def test_two_networks_on_each_host_need_no_limited_broadcasts():
    wire = Wire()
    wire.add("a", A)
    wire.add("d", D, link("192.168.5.4", 24))
    wire.run(60.0)
    assert wire.machines["a"].is_limited == [False]
    assert wire.machines["d"].is_limited == [False, False]


@pytest.mark.parametrize(("before", "after"), [(24, 16), (16, 24)])
def test_a_change_of_prefix_loses_no_peer(before, after):
    wire = Wire()
    wire.add("a", A)
    wire.add("d", D)
    c = wire.add("c", link("10.77.0.2", before))
    wire.run(100.0)
    forget_events(wire)
    c.set_links([link("10.77.0.2", after)])
    wire.run(60.0)
    assert events(wire) == {}
    assert is_complete(wire)


def test_a_bare_hello_to_all_starts_no_limited_broadcasts():
    wire = Wire()
    a = wire.add("a", A)
    for _ in range(20):
        a.receive(b"HELLO|", "10.77.0.9", "255.255.255.255", wire.now)
        wire.run(0.8)
    assert a.peers == {"10.77.0.9"}
    assert a.is_limited == [False]


def test_loss_takes_no_peer_down_with_two_prefixes_either():
    counts = []
    for links in ((A, D), (A, C)):
        wire = Wire(seed=3, loss=0.1)
        for name, one in zip("ab", links, strict=True):
            wire.add(name, one, parameters=Parameters())
        wire.run(10.0)
        forget_events(wire)
        wire.run(600.0)
        assert is_complete(wire)
        counts.append(len([kind for found in events(wire).values() for _, kind, _ in found if kind in ("down", "left")]))
    assert counts == [0, 0]


def test_the_first_beat_goes_to_the_broadcast_address_too():
    wire = Wire()
    wire.add("c", C)
    a = wire.add("a", A)
    wire.run(1.0)
    assert a.is_limited == [True]
    beats = [send.limited for send in a.node.beacon.poll(a.node.beacon.next_beat)]
    assert beats == [True]
    d = wire.add("d", D)
    d.node.beacon.next_beat = 3.0  # when it has heard a beat of c
    wire.run(1.0)
    assert [send.limited for send in d.node.beacon.poll(3.0)] == [True, False]


@pytest.mark.parametrize("keyring", [NO_KEYS, REQUIRE], ids=["plain", "require"])
@pytest.mark.parametrize("newcomer", [B, C, link("10.99.0.1", 24)], ids=["25", "16", "none"])
def test_a_newcomer_of_another_prefix_is_listed_in_two_seconds(newcomer, keyring):
    wire = Wire()
    for name, one in (("a", A), ("d", D)):
        wire.add(name, one, keyring=keyring)
    wire.run(50.3)  # seq 62: the next full one comes in 6 s
    wire.add("n", newcomer, keyring=keyring)
    wire.run(2.0)
    assert is_complete(wire)


def test_a_seed_of_another_prefix_opens_what_is_sealed_for_it():
    wire = Wire()
    wire.add("a", B, keyring=REQUIRE, parameters=Parameters(seeds=("10.77.0.2",)))
    c = wire.add("c", C, keyring=REQUIRE)
    wire.run(10.0)
    before = dict(c.node.drops)
    wire.run(60.0)
    assert is_complete(wire)
    assert dict(c.node.drops) == before
