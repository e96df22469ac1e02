"""A machine cloned with its memory: two nodes of one boot, until one of them draws another."""

import copyreg
from copy import deepcopy
from types import MappingProxyType

import pytest

from discoveryd.errors import SealError
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.own_boot import MAX_DOUBLES, REDRAW
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.table.rows import MAX_PAST
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Pong, mark
from discoveryd.query.engine_status import engine_status
from tests.protocol.samples import ETH0, ProvedTable, hello, kinds, make_node, row_of
from tests.protocol.segment import K1, fleet, ring

RINGS = pytest.mark.parametrize("keyring", [NO_KEYS, ring(K1)], ids=["plain", "require"])
HERE, THERE = Source("10.0.0.7", ETH0), Source("10.0.0.9", ETH0)


@pytest.fixture(autouse=True)
def tags_can_be_copied(monkeypatch):
    monkeypatch.setitem(copyreg.dispatch_table, MappingProxyType, lambda tags: (MappingProxyType, (dict(tags),)))


def clone_of(station):
    """Copy a running node with all it has in memory, and give it another address."""
    station.node.set_keyring(station.keyring)  # derived keys cannot be copied
    other = station.segment.add(station.keyring)
    other.node = deepcopy(station.node)
    other.node.set_links(other.links.values(), station.segment.now)
    return other


def restarts(station):
    return {peer.address: peer.restarts for peer in station.node.peers(station.segment.now)}


def listed(station):
    return sorted((peer.address, peer.clone) for peer in station.node.peers(station.segment.now))


@RINGS
@pytest.mark.parametrize("pause", [0.0, 0.25, 0.5])
def test_clones_of_one_boot_see_each_other_within_seconds(keyring, pause):
    segment, (a, third) = fleet(2, keyring)
    segment.run(20.0 + pause)
    former = a.node.boot
    b = clone_of(a)
    segment.run(5.0)
    assert a.node.boot != b.node.boot
    assert former in {a.node.boot, b.node.boot}
    for one, other in ((a, b), (b, a)):
        assert listed(one) == sorted([(other.address, True), (third.address, False)])
    assert listed(third) == [(a.address, True), (b.address, True)]
    assert restarts(third) == {a.address: 0, b.address: 0}
    drawn = a.node.doubles.count + b.node.doubles.count
    assert drawn == 1
    segment.run(1200.0 if not keyring.keys else 60.0)
    assert a.node.doubles.count + b.node.doubles.count == drawn
    assert third.lost() == []


@RINGS
def test_clones_in_lockstep_are_told_apart(keyring):
    segment, (a, third) = fleet(2, keyring)
    segment.run(20.0)
    b = clone_of(a)
    a.node.set_links([], segment.now)  # both get their address at one moment, and draw the same random numbers
    a.node.set_links(a.links.values(), segment.now)
    segment.run(8.0)
    assert a.node.boot != b.node.boot
    assert listed(third) == [(a.address, True), (b.address, True)]
    assert restarts(third) == {a.address: 0, b.address: 0}


def test_a_new_boot_ends_the_use_of_one_nonce_twice():
    segment, (a, _) = fleet(2, ring(K1))
    segment.run(20.0)
    b = clone_of(a)
    segment.run(5.0)
    seen = {}
    for _, sender, _, datagram in [one for one in segment.tape if one[0] > segment.now - 2.5]:
        place = tuple(datagram.split(b"|")[3:5]), datagram.split(b"|")[5][1:]
        assert seen.setdefault(place, (sender, datagram)) == (sender, datagram)
    assert {sender for sender, _ in seen.values()} >= {a.address, b.address}


def test_restarts_before_the_clone_are_not_those_of_the_clone():
    segment, (a, third) = fleet(2)
    segment.run(3.0)
    for _ in range(3):
        a.crash()
        a.start()
        segment.run(3.0)
    assert restarts(third) == {a.address: 3}
    b = clone_of(a)
    segment.run(5.0)
    assert sorted(restarts(third).values()) == [0, 3]
    [drawn] = [one for one in (a, b) if one.node.doubles.count]
    drawn.crash()
    drawn.start()
    segment.run(5.0)
    [first_seen] = [peer.first_seen_s for peer in third.node.peers(segment.now) if peer.address == drawn.address]
    assert restarts(third)[drawn.address] == 0 + 1
    assert first_seen < 11.0


def turns(table, *boots):
    """Let boots of one id come one after the other, each when the former is down; give the restarts of each."""
    found = []
    for place, number in enumerate(boots):
        now = 10.0 * place
        table.heard(hello(number, seq=100 * place + 1), HERE, now=now)
        found += [peer.restarts for peer in table.peers(now)]
        table.expire(now + 5.0)
    return found


def test_clones_that_take_turns_are_no_restarts_of_each_other():
    assert turns(ProvedTable(), 1, 2, 1, 2, 1) == [0, 1, 0, 0, 0]
    assert turns(ProvedTable(), 1, 2, 3) == [0, 1, 2]


def test_the_former_boots_of_a_node_are_bounded():
    assert turns(ProvedTable(), *range(1, 2 * MAX_PAST), 1)[-1] == 2 * MAX_PAST - 1
    table = ProvedTable()
    turns(table, *range(1, 2 * MAX_PAST))
    assert len(row_of(table, 2 * MAX_PAST - 1).past) == MAX_PAST


# --- what is no clone ------------------------------------------------------------------------------


@RINGS
def test_what_a_relay_sends_back_is_no_clone(keyring):
    segment, (a, _) = fleet(2, keyring)
    before = a.node.boot
    for _ in range(60):
        segment.run(1.0)
        for datagram in segment.recorded(segment.now - 1.0, sender=a.address):
            segment.deliver(datagram, "10.0.0.77", a)
    segment.run(1.0)
    assert a.node.boot == before
    assert a.node.doubles.count == 0
    assert a.drops()["own-echo"] >= 60
    asked = len(segment.recorded(sender=a.address, to="10.0.0.77"))
    assert asked == 0 if keyring.keys else 1 <= asked <= 12  # ever more seldom; a seal tells that it was not said there


def forged(node, seq):
    fields = f"HELLO|2|default|{node.id}|{node.boot}|800|4000||{node.record.digest}|{seq}"
    return fields.encode("ascii")


def test_a_forged_hello_of_our_boot_draws_no_new_one():
    node = make_node()
    before = node.boot
    outcome = node.receive(forged(node, 99), THERE, 1.0)
    [send] = outcome.sends
    assert send.to == THERE.address
    assert decode(send.datagram).to == mark(node.id, before)
    assert [drop.reason for drop in outcome.drops] == ["own-boot"]
    wrong = Pong(realm="default", boot=before, nonce="0" * 16, heard_ms=None).encode()
    assert node.receive(wrong, THERE, 1.1).double == ""
    right = Pong(realm="default", boot=before, nonce=decode(send.datagram).nonce, heard_ms=None).encode()
    assert node.receive(right, HERE, 1.1).double == ""  # from another address than was asked
    assert node.receive(right, THERE, 7.0).double == ""  # too late
    assert node.boot == before
    assert node.drops["own-boot", "eth0"] == 4
    assert node.table.get(before) is None
    assert engine_status(node, 7.0)["new_boots"] == {"count": 0, "address": ""}


def test_without_a_seal_one_new_boot_in_ten_minutes():
    node = make_node()
    boots = [node.boot]
    for now in (1.0, 2.1, 60.0, REDRAW + 0.9, REDRAW + 10.0):
        [ping] = [decode(send.datagram) for send in node.receive(forged(node, 10**6), THERE, now).sends]
        answer = Pong(realm="default", boot=node.boot, nonce=ping.nonce, heard_ms=None).encode()
        outcome = node.receive(answer, THERE, now + 0.1)
        if outcome.double:
            boots.append(node.boot)
            assert node.boot != boots[-2]
            assert (outcome.double, node.seq) == (THERE.address, 0)
            assert engine_status(node, now)["new_boots"] == {"count": len(boots) - 1, "address": THERE.address}
    assert len(set(boots)) == 3
    assert node.drops["own-boot", "eth0"] == 5 + 3  # the HELLOs, and the answers that came too soon


def test_a_new_boot_greets_as_after_a_start():
    node = make_node()
    before = node.boot
    [send] = node.receive(forged(node, 9), THERE, 1.0).sends
    answer = Pong(realm="default", boot=before, nonce=decode(send.datagram).nonce, heard_ms=None).encode()
    node.poll(1.0)
    node.receive(answer, THERE, 1.1)
    assert node.next_deadline() == 1.1
    hellos = [send.datagram for now in (1.1, 1.25, 1.45) for send in node.poll(now).sends]
    assert [hello.split(b"|")[4] for hello in hellos] == 3 * [node.boot.encode()]
    assert [hello.split(b"|")[10] for hello in hellos] == 3 * [b"s"]
    assert [hello.endswith(b"}|") for hello in hellos] == 3 * [True]
    assert kinds(node.receive(forged(node, 9).replace(node.boot.encode(), before.encode()), THERE, 1.5).events) == ["joined"]


def test_what_is_not_sealed_says_nothing_of_a_boot_that_seals():
    segment, (a, _) = fleet(2, ring(K1, mode="accept"))
    segment.run(3.0)
    before = a.node.boot
    segment.deliver(forged(a.node, 9999), "10.0.0.77", a)
    segment.run(3.0)
    assert a.node.boot == before
    assert segment.recorded(to="10.0.0.77") == []
    assert a.drops()["own-boot"] == 1


def test_a_question_of_ours_that_comes_back_is_not_answered():
    node = make_node()
    [send] = node.receive(forged(node, 99), THERE, 1.0).sends
    assert node.receive(send.datagram, THERE, 1.1).sends == ()
    assert node.drops["own-echo", "eth0"] == 1
    other = Ping(realm="default", id=node.id, boot=node.boot, nonce="1" * 16, to=node.boot).encode()
    [answer] = node.receive(other, THERE, 1.2).sends
    assert decode(answer.datagram) == Pong(realm="default", boot=node.boot, nonce="1" * 16, heard_ms=None)


def test_addresses_that_speak_under_our_boot_are_bounded():
    node = make_node()
    node.set_links([Link("eth0", 2, "10.0.0.1", 8, "10.255.255.255")], 0.0)
    [link] = node.links
    asked = [
        send for number in range(4 * MAX_DOUBLES)
        for send in node.receive(forged(node, 99), Source(f"10.1.{number >> 8}.{number & 255}", link), 1.0 + number / 1e3).sends
    ]  # fmt: skip
    assert len(asked) <= 8 + 8 * 0.3
    for number in range(4 * MAX_DOUBLES):
        node.receive(forged(node, 99), Source(f"10.2.0.{number}", link), 2.0 + number)
    assert len(node.doubles.doubted) == MAX_DOUBLES


def test_a_fork_may_not_seal_under_a_new_boot_either():
    process = [1]
    sealer = Sealer(ring(K1), realm="default", id="n1", boot="4" * 16, process=lambda: process[0])
    process[0] = 2
    sealer.reboot("5" * 16)
    with pytest.raises(SealError, match="forked"):
        sealer.seal(b"PONG|2|default|5555555555555555|0000000000000000|-|0|", key=K1.id)
