"""Nodes with keys, on a segment where somebody listens, records, alters and repeats."""

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest

from discoveryd.protocol.challenges import AGAIN
from discoveryd.protocol.link import Source, pack_address
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.sealed.channel import MAX_SOURCES, PROVED_FOR
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.wire.messages import (
    MAX_DATAGRAM,
    MAX_SEALED_PING,
    MAX_SEALED_PONG,
    MAX_SEALED_STEADY,
    Ping,
    Pong,
)
from discoveryd.protocol.wire.record import MAX_RECORD, Record
from tests.protocol.samples import ETH0, hello, make_node, source
from tests.protocol.segment import DELAY, K1, K2, K3, Segment, all_listed, fleet, others, ring

TTL = 4.0
EVIL = pack_address("10.0.0.66")
OFF, ACCEPT, REQUIRE = (ring(K1, mode=mode) for mode in ("off", "accept", "require"))


def drain(segment, victim, datagrams, sender="10.0.0.66"):
    """Let somebody send these to a station, and give what is counted of them, and what was told."""
    before, told = victim.node.drops.copy(), len(victim.told)
    for datagram in datagrams:
        segment.deliver(datagram, sender, victim)
    segment.run(0.001)
    return {reason: count for (reason, _), count in (victim.node.drops - before).items()}, victim.told[told:]


# --- finding each other ------------------------------------------------------------------------------


@pytest.mark.parametrize("keyring", [OFF, ACCEPT, REQUIRE], ids=lambda ring: ring.mode)
def test_two_nodes_with_a_key_find_each_other_at_once(keyring):
    segment, (a,) = fleet(1, keyring)
    segment.run(3.0)
    b = segment.add(keyring).start()
    segment.run(16 * DELAY)
    key = K1.id if keyring.sends else None
    assert (a.peers(), b.peers()) == ({"n2": key}, {"n1": key})
    segment.run(20.0)
    assert [kind for _, kind, _ in a.told + b.told] == ["joined", "joined"]
    assert a.drops().keys() | b.drops().keys() <= {"unproven"}
    assert all(peer.two_way for peer in a.node.peers(segment.now))


def test_what_is_sealed_takes_the_short_way():
    segment, (a, _) = fleet(2, REQUIRE)
    segment.run(60.0)
    assert a.node.hello_rate.steady > 60


@pytest.mark.parametrize("loss", [0.3, 0.6])
def test_they_find_each_other_where_much_is_lost(loss):
    segment, stations = fleet(3, REQUIRE)
    segment.loss = loss
    segment.run(10.0)
    segment.loss = 0
    segment.run(2.0)
    assert all_listed(stations)


def test_a_restart_is_one_event():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    a.told.clear()
    b.crash()
    b.start()
    segment.run(16 * DELAY)
    assert [kind for _, kind, _ in a.told] == ["restarted"]
    segment.run(10.0)
    assert [kind for _, kind, _ in a.told] == ["restarted"]
    assert a.peers() == {"n2": K1.id}


def test_a_goodbye_counts_at_once_and_is_not_asked_about():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    asked = a.node.sent["ping"]
    b.leave()
    segment.run(2 * DELAY)
    assert a.told[-1][1:] == ("left", "n2")
    segment.run(10.0)
    assert (a.peers(), a.node.sent["ping"]) == ({}, asked)


def test_who_is_refused_by_its_machine_is_down_before_its_ttl():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    silent = segment.now
    b.crash()
    while not a.lost():
        before = len(segment.tape)
        segment.run(0.05)
        for _, sender, to, datagram in segment.tape[before:]:
            if (sender, to) == (a.address, b.address):
                a.act(a.node.refused(datagram, segment.now))
        assert segment.now < silent + TTL
    assert segment.now < silent + 3.0


def test_seeds_find_each_other_where_no_broadcast_passes():
    segment = Segment(routed=True)
    seeds = [Parameters(seeds=(address,)) for address in ("10.0.0.2", "10.0.0.1")]
    stations = [segment.add(REQUIRE, parameters=one).start() for one in seeds]
    segment.run(3.0)
    assert all_listed(stations)
    for station, keyring in ((stations[0], ACCEPT), (stations[0], OFF), (stations[1], ACCEPT), (stations[1], OFF)):
        station.set(keyring)
        segment.run(5.0)
    assert all(station.lost() == [] for station in stations)


def test_a_seed_that_is_not_heard_is_greeted_in_each_way_in_turn():
    """It may be restarted while we have changed: it knows the old key only, and does not know of us."""
    segment = Segment(routed=True)
    segment.add(ring(K1, K2, mode="accept"), parameters=Parameters(seeds=("10.0.0.2",))).start()
    b = segment.add(ring(K2), parameters=Parameters(seeds=()))
    segment.run(10.0)
    said = {datagram[:17] for datagram in segment.recorded(5.0, to="10.0.0.2")}
    assert {one[:17] for one in (b"SEALED|2|%b" % K1.id.encode(), b"SEALED|2|%b" % K2.id.encode())} <= said
    assert any(one.startswith(b"HELLO|2|") for one in said)
    assert len(segment.recorded(5.0, to="10.0.0.2")) <= 2 * (5.0 / 0.72 + 1)
    b.start()
    segment.run(4.0)
    assert b.peers() == {"n1": K2.id}


def test_sizes():
    empty = len(Record(name="x", tags={"a": "", "b": "", "c": ""}).encoded)
    longest = Record(name="x", tags={"a": "v" * 255, "b": "v" * 255, "c": "v" * (MAX_RECORD - empty - 510)})
    parameters = Parameters(realm="r" * 16, interval=600.0, ttl=3600.0, seeds=("192.0.2.1",))
    node = Node(parameters, longest, node_id="i" * 32, random=Random(1), keyring=REQUIRE)
    node.set_links([ETH0], now=0.0)
    node.outbox.seq = 2**32 - 20
    node.sealing._sealer._counter = 2**40
    sends, now = [], 0.0
    while now < 20_000:
        sends += node.poll(now).sends
        now = node.next_deadline()
    sizes = sorted({len(send.datagram) for send in sends})
    assert 150 < sizes[0] <= MAX_SEALED_STEADY
    assert not [size for size in sizes if MAX_SEALED_STEADY < size < 1000]
    assert 1000 < sizes[-1] <= MAX_DATAGRAM
    assert all(send.datagram.isascii() for send in sends)


def test_nothing_is_answered_with_more_than_was_asked():
    segment, _ = fleet(3, REQUIRE)
    segment.run(100.0)
    probes = {len(datagram) for _, _, to, datagram in segment.tape if datagram.endswith(b"|u") and len(datagram) <= MAX_SEALED_PING}
    assert max(probes) <= MAX_SEALED_PING
    assert min(probes) <= MAX_SEALED_PONG
    assert min(len(datagram) for datagram in segment.recorded(to="10.0.0.255")) >= MAX_SEALED_PING


# --- a stranger --------------------------------------------------------------------------------------


@pytest.fixture
def quiet():
    """Three nodes that know each other, of which the second and third are then cut off."""
    segment, stations = fleet(3, REQUIRE)
    segment.run(20.0)
    return segment, stations


def test_nothing_plain_is_heard(quiet):
    segment, (a, b, _) = quiet
    boot = b.node.boot
    said = [
        b"HELLO|", hello().encode(), replace(hello(seq=9999, goodbye=True), id="n2", boot=boot).encode(),
        Ping(realm="default", id="n2", boot=boot, nonce="b" * 16, to=a.node.boot).encode(),
        Pong(realm="default", boot=boot, nonce="b" * 16, heard_ms=1).encode(),
    ]  # fmt: skip
    assert drain(segment, a, said) == ({"plain": 5}, [])


def test_other_keys_and_realms_are_told_apart(quiet):
    segment, (a, *_) = quiet
    twin = Key(b"\7" * 32)
    object.__setattr__(twin, "id", K1.id)  # another key of the same id
    for key, realm, reason in ((K2, "default", "unknown-key"), (twin, "default", "bad-seal"), (K1, "other", "bad-seal")):
        sealer = Sealer(ring(key), realm=realm, id="evil", boot="e" * 16)
        said = replace(hello(), realm=realm, id="evil", boot="e" * 16)
        assert drain(segment, a, [sealer.seal(said.encode(), key=key.id, here=EVIL)]) == ({reason: 1}, [])


def test_each_byte_counts(quiet):
    segment, (a, b, _) = quiet
    since = segment.now
    segment.loss = 1.0  # nobody hears what is recorded: it is new
    segment.run(1.5)
    [said, *_] = segment.recorded(since, b.address, "10.0.0.255")
    told = len(a.told)
    for place in range(len(said)):
        for odd in (said[place] ^ 1, said[place] ^ 0x20):
            altered = said[:place] + bytes([odd]) + said[place + 1 :]
            counts, _ = drain(segment, a, [altered], b.address)
            assert sum(counts.values()) == 1
            assert counts.keys() <= {"bad-seal", "malformed", "unknown-key", "version", "own-echo", "plain"}, altered
    for length in range(len(said)):
        counts, _ = drain(segment, a, [said[:length]], b.address)
        assert counts.keys() <= {"bad-seal", "malformed", *(("plain", "version") if length < 10 else ())}, said[:length]
    assert all(kind == "suspect" for _, kind, _ in a.told[told:])


def test_a_recording_is_worth_nothing_while_its_sender_lives(quiet):
    segment, (a, b, c) = quiet
    for one, other in ((b, c), (c, b)):
        said, for_the_other = segment.recorded(sender=one.address), len(segment.recorded(sender=one.address, to=other.address))
        counts, told = drain(segment, a, said, one.address)
        assert told == []
        assert counts.pop("bad-seal") == for_the_other
        assert counts.keys() == {"replayed", "unproven"}  # since it proved to live, and before
        assert sum(counts.values()) == len(said) - for_the_other
        assert counts["replayed"] > 15 > counts["unproven"]


def test_nor_is_it_anything_but_a_forgery_from_another_address(quiet):
    segment, (a, b, c) = quiet
    for sender in ("10.0.0.66", b.address, c.address):
        said = [datagram for one in (a, b, c) if one.address != sender for datagram in segment.recorded(sender=one.address)]
        mine = len(segment.recorded(sender=a.address))
        assert drain(segment, a, said, sender) == ({"own-echo": mine, "bad-seal": len(said) - mine}, [])


@pytest.mark.parametrize("end", ["crash", "leave"])
def test_nor_after_it_is_gone(quiet, end):
    segment, (a, b, _) = quiet
    getattr(b, end)()
    segment.run(30.0)
    assert set(a.peers()) == {"n3"}
    a.told.clear()
    recorded = segment.recorded(sender=b.address)
    counts, _ = drain(segment, a, recorded, b.address)
    segment.run(30.0)
    assert a.told == []
    assert counts.keys() == {"unproven", "bad-seal", "unexpected", "replayed"} | ({"rate"} if "rate" in counts else set())


def test_nor_at_a_daemon_that_was_just_started(quiet):
    segment, (a, b, c) = quiet
    for station in (a, b, c):
        station.crash()
    segment.run(1.0)
    recorded = segment.recorded()
    a.start()
    segment.run(1.0)
    a.told.clear()
    for pause in (0.01, AGAIN, 1.0, 6.0):
        drain(segment, a, recorded, b.address)
        segment.run(pause)
    assert a.peers() == {}
    assert a.told == []
    assert a.drops()["unproven"] > 50
    assert a.node.challenges.answered == 0


def test_what_was_recorded_on_another_link_keeps_nobody_alive():
    """Each link has copies with counters of their own, which who is not on that link never heard."""
    here = Segment()
    there = Segment(master=here)
    a, b = here.add(REQUIRE), here.add(REQUIRE)
    there.plug(b, "eth1")
    a.start()
    b.start()
    here.run(30.0)
    assert a.peers() == {"n2": K1.id}
    b.crash()
    here.run(0.5)
    recorded = [datagram for datagram in there.recorded() if datagram.endswith((b"|b", b"|b0"))]
    assert len(recorded) > 30
    gone = here.now + TTL
    for datagram in recorded[-30:]:
        here.deliver(datagram, b.address, a)
        here.run(0.7)
    assert [(kind, who) for _, kind, who in a.lost()] == [("down", "n2")]
    assert a.lost()[0][0] < gone
    assert a.peers() == {}


def test_nor_does_what_was_recorded_while_we_did_not_hear_it():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(20.0)
    b.links = {}  # cut off from us, but he hears it
    lonely = Segment(master=segment)
    lonely.plug(b, "eth1")
    b.node.set_links(b.links.values(), segment.now)
    segment.run(60.0)
    b.crash()
    a.told.clear()
    recorded = [datagram for datagram in lonely.recorded() if datagram.endswith((b"|b", b"|b0"))]
    assert len(recorded) > 60
    for datagram in recorded:
        segment.deliver(datagram, b.address, a)
        segment.run(0.8)
    assert a.peers() == {}
    assert a.told == []


def test_a_peer_on_two_links_is_heard_on_both():
    here = Segment()
    there = Segment(master=here)
    a, b = here.add(REQUIRE), here.add(REQUIRE)
    for station in (a, b):
        there.plug(station, "eth1").start()
    there.lag = 0.01
    here.run(30.0)
    for _ in range(30):
        here.run(0.5)
        assert set(a.node.peers(here.now)[0].addresses) == {"10.0.0.2", "10.1.0.2"}
    b.links.pop(here)
    here.run(20.0)
    assert a.node.peers(here.now)[0].addresses == ("10.1.0.2",)
    assert a.lost() == []


def test_without_keys_what_is_sealed_is_counted_for_itself():
    segment, (a, _) = fleet(2, REQUIRE)
    plain = segment.add().start()
    segment.run(3.0)
    assert plain.drops() == {"sealed": sum(plain.drops().values())}
    assert a.drops()["plain"] > 3
    assert plain.peers() == {}


def test_sources_are_remembered_within_bounds():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(2.0)
    sources = a.node.sealing._sources
    mine = set(sources.values())
    while len(sources) < MAX_SOURCES:
        sources[Source("10.0.0.66", None), "key", "boot"] = Source("10.0.0.66", None)
    b.crash()
    b.start()
    segment.run(5.0)
    assert len(sources) == MAX_SOURCES
    assert not mine & set(sources.values()), "the first made room"
    assert a.peers() == {"n2": K1.id}


def test_pings_that_may_come_back_are_remembered_within_bounds():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(2.0)
    row = a.node.table.get(b.node.id, b.node.boot)
    for _ in range(MAX_PINGS + 5):
        a.node.ping(row, segment.now)
    assert len(a.node.sealing._pings) == MAX_PINGS
    assert a.node.refused(b"SEALED|2|whatever", segment.now) is NOTHING


def test_a_crowd_of_boots_leaves_the_windows_bounded():
    segment = Segment()
    a = segment.add(REQUIRE, parameters=Parameters(limits=Limits(peers=2))).start()
    for _ in range(4):
        segment.add(REQUIRE).start()
    segment.run(10.0)
    assert len(a.peers()) == 2
    assert len(a.node.sealing.windows) <= 2
    a.node.set_parameters(Parameters(limits=Limits(peers=9)), segment.now)
    segment.run(5.0)
    assert len(a.peers()) == 4
    assert a.drops()["table-full"] > 0


def test_nor_does_what_it_said_last_when_it_was_given_up_early():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(20.0)
    since = segment.now
    segment.mute = {b.address}
    segment.run(1.0)
    missed = segment.recorded(since, b.address, "10.0.0.255")
    b.crash()
    while not a.lost():
        segment.run(0.05)
    assert segment.now < since + TTL
    for datagram in missed:
        segment.deliver(datagram, b.address, a)
    segment.run(0.1)
    assert a.peers() == {}


def test_a_peer_whose_broadcasts_are_lost_is_kept_by_its_answers():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(20.0)
    segment.mute = {b.address}
    segment.run(30.0)
    assert a.peers() == {"n2": K1.id}
    assert a.lost() == []
    segment.mute = set()
    segment.run(3.0)
    assert a.node.peers(segment.now)[0].state == "up"


def test_a_probe_that_is_for_all_is_not_answered_and_proves_nothing():
    segment, (a,) = fleet(1, REQUIRE)
    segment.run(1.0)
    insider = Sealer(REQUIRE, realm="default", id="n9", boot="9" * 16)
    ping = Ping(realm="default", id="n9", boot="9" * 16, nonce="b" * 16, to=a.node.boot)
    sent = a.node.sent["pong"]
    assert drain(segment, a, [insider.seal(ping.encode(), key=K1.id, here=EVIL)]) == ({"unproven": 1}, [])
    assert a.node.sent["pong"] == sent
    assert drain(segment, a, [insider.seal(ping.encode(), key=K1.id, here=EVIL, to=a.node.boot)]) == ({}, [])
    assert a.node.sent["pong"] == sent + 1


@pytest.mark.parametrize(("late", "is_listed"), [(PROVED_FOR - 1, True), (PROVED_FOR + 1, False)])
def test_a_proof_holds_for_five_seconds(late, is_listed):
    """A HELLO that comes later than that may be a recording: its boot is asked again."""
    segment, (a,) = fleet(1, REQUIRE)
    b = segment.add(REQUIRE)
    deliver, withheld = segment.deliver, []

    def hold_back(datagram, sender, station, **how):
        if sender == b.address and a.node.sealing._proved:
            withheld.append((datagram, how["unicast"]))
        else:
            deliver(datagram, sender, station, **how)

    segment.deliver = hold_back
    b.start()
    segment.run(late)
    assert a.peers() == {}
    datagram = next(one for one, unicast in withheld if not unicast)
    deliver(datagram, b.address, a)
    segment.run(DELAY / 2)
    assert ("n2" in a.peers()) == is_listed


def test_a_goodbye_of_one_that_is_not_known_is_not_asked_about():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(2.0)
    a.crash()
    a.start()
    asked = a.node.challenges.asked
    a.hear(b.node.goodbye().sends[0].datagram, source("10.0.0.2"))
    assert (a.node.challenges.asked, a.drops()) == (asked, {"unproven": 1})


# --- accept, and going back ----------------------------------------------------------------------------


def test_nobody_who_seals_is_believed_in_plain():
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    boot, seq = b.node.boot, b.node.seq
    forged = replace(hello(seq=seq + 1, record=Record(name="evil")), id="n2", boot=boot)
    said = [
        forged.encode(), replace(forged, goodbye=True).encode(), replace(forged, record=None).encode(),
        Ping(realm="default", id="n2", boot=boot, nonce="b" * 16, to=a.node.boot).encode(),
        Pong(realm="default", boot=boot, nonce="b" * 16, heard_ms=1).encode(),
    ]  # fmt: skip
    assert drain(segment, a, said) == ({"downgrade": 5}, [])
    assert a.peers() == {"n2": K1.id}


def test_plain_hellos_keep_no_recordings_fresh():
    """In mode off a dead peer can be kept by forging; it must not seem to seal."""
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    b.set(ACCEPT)
    segment.run(5.0)
    since = segment.now
    segment.mute = {b.address}
    segment.run(8.0)
    said = [one for one in segment.recorded(since, b.address, "10.0.0.255") if one.startswith(b"SEALED")]
    boot = b.node.boot
    b.crash()
    for number in range(5):
        forged = replace(hello(seq=30 + number), id="n2", boot=boot)
        segment.deliver(forged.encode(), b.address, a)
        segment.run(0.8)
    assert a.peers() == {"n2": None}
    assert drain(segment, a, said[-3:], b.address)[0] == {"unproven": 3}


def test_a_number_forged_in_plain_does_not_hide_what_is_sealed_later():
    segment, (a, b) = fleet(2, OFF)
    segment.run(10.0)
    a.set(ACCEPT)
    forged = replace(hello(seq=b.node.seq + 60, record=Record(name="evil")), id="n2", boot=b.node.boot)
    drain(segment, a, [forged.encode()])
    b.set(REQUIRE)
    segment.run(20.0)
    assert a.lost() == []
    assert [(peer.name, peer.key) for peer in a.node.peers(segment.now)] == [("n2", K1.id)]


def test_a_change_of_key_is_told():
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    a.told.clear()
    events = []
    emit = a.node.table.event_log.emit
    a.node.table.event_log.emit = lambda *said: events.append(said[:2]) or emit(*said)
    for keyring in (ACCEPT, OFF):
        a.set(keyring)
        b.set(keyring)
        segment.run(3.0)
    assert ("updated", f"sealed with key {K1.id}") in events
    assert ("updated", "no longer sealed") in events


def test_nothing_is_said_twice_for_the_sake_of_who_may_not_be_heard():
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    b.set(NO_KEYS)
    a.set(REQUIRE)
    since = segment.now
    segment.run(2.0)
    assert len(segment.recorded(since, a.address, "10.0.0.255")) <= 3


@pytest.mark.parametrize("who", ["id", "boot", "both"])
def test_nothing_plain_is_heard_in_the_name_of_a_live_peer_that_seals(who):
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    id, boot = ("evil" if who == "boot" else "n2"), ("e" * 16 if who == "id" else b.node.boot)
    forged = [replace(hello(seq=99, **more), id=id, boot=boot).encode() for more in ({}, {"goodbye": True}, {"solicit": True})]
    forged.append(Ping(realm="default", id=id, boot=boot, nonce="b" * 16).encode())
    for sender in (b.address, "10.0.0.66"):
        assert drain(segment, a, forged, sender) == ({"downgrade": 4}, [])
    assert a.peers() == {"n2": K1.id}


def test_a_node_that_has_lost_its_keys_is_back_within_its_ttl():
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    changed = segment.now
    b.set(NO_KEYS)
    segment.run(20.0)
    assert a.peers() == {"n2": None}
    kinds = [(kind, at - changed) for at, kind, _ in a.told if at > changed]
    assert [kind for kind, _ in kinds] == ["suspect", "down", "recovered"]
    assert kinds[2][1] - kinds[1][1] < 0.9
    assert kinds[2][1] < TTL + 0.9


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_back_from_require_to_off_in_any_order(order):
    segment, stations = fleet(3, REQUIRE)
    segment.run(5.0)
    for keyring in (ACCEPT, OFF):
        for number in order:
            stations[number].set(keyring)
            segment.run(3.0)
    segment.run(10.0)
    assert all(station.lost() == [] for station in stations)
    assert {key for station in stations for key in station.peers().values()} == {None}
    assert all(not one.startswith(b"SEALED") for one in segment.recorded(segment.now - 2.0)), "nothing is said twice"


# --- changing over, node by node --------------------------------------------------------------------


def roll(segment, stations, keyrings, random, pause):
    """Take all stations through these keyrings, one step after the other, within a step in any order."""
    for keyring in keyrings:
        for station in random.sample(stations, len(stations)):
            station.set(keyring)
            segment.run(random.uniform(*pause))
        segment.run(2.0)
        for station in stations:
            assert set(station.peers()) >= others(stations, station)


STEPS = (NO_KEYS, OFF, ACCEPT, REQUIRE)
CHANGE = (REQUIRE, ring(K1, K2), ring(K1, K2, send_with=K2), ring(K2))


@pytest.mark.parametrize("pause", [(0.0, 0.1), (0.0, 3.0), (5.0, 9.0)])
@pytest.mark.parametrize("steps", [STEPS, CHANGE, tuple(reversed(CHANGE)), (REQUIRE, ACCEPT, OFF)], ids=["on", "change", "back", "off"])
def test_a_fleet_changes_over_and_nobody_is_lost(steps, pause):
    segment, stations = fleet(5, steps[0], seed=str(pause))
    segment.run(5.0)
    roll(segment, stations, steps[1:], Random(str(pause)), pause)
    assert all(station.lost() == [] for station in stations)
    segment.run(10.0)
    assert {key for station in stations for key in station.peers().values()} == {steps[-1].sends or None}
    # and in the end everything is said once
    beats = segment.recorded(segment.now - 8.0, to="10.0.0.255")
    assert len(beats) <= 5 * 8.0 / 0.72


def test_a_node_that_was_away_during_the_change_is_back_as_long_as_the_old_key_is_listed():
    segment, stations = fleet(5, REQUIRE)
    segment.run(5.0)
    away = stations[4]
    away.leave()
    segment.run(1.0)
    here = stations[:4]
    roll(segment, here, CHANGE[1:3], Random(1), (0.1, 1.0))
    away.start()
    segment.run(2.0)
    assert all_listed(stations)
    assert {station.peers()["n5"] for station in here} == {K1.id}
    assert {key for station in here for who, key in station.peers().items() if who != "n5"} == {K2.id}
    for keyring in CHANGE[1:]:
        away.set(keyring)
        segment.run(3.0)
    roll(segment, here, CHANGE[3:], Random(2), (0.1, 1.0))
    assert {who for station in here for _, _, who in station.lost()} == {"n5"}
    assert away.lost() == []
    assert set(away.peers().values()) == {K2.id}


def test_one_that_comes_back_when_the_old_key_is_gone_is_told_apart_by_its_key():
    segment, stations = fleet(3, ring(K2))
    old = segment.add(REQUIRE).start()
    segment.run(5.0)
    assert old.peers() == {}
    assert all_listed(stations[:3])
    assert stations[0].drops()["unknown-key"] > 3
    assert old.drops()["unknown-key"] > 9


def test_two_keys_that_all_have_are_not_both_used():
    segment, stations = fleet(4, ring(K1, K2, K3))
    segment.run(5.0)
    for number, station in enumerate(stations):
        station.set(ring(K1, K2, K3, send_with=(K1, K2, K3, K2)[number]))
    segment.run(60.0)
    assert all(station.lost() == [] for station in stations)
    assert all_listed(stations)
    for station in stations:
        station.set(ring(K1, K2, K3, send_with=K3))
    segment.run(10.0)
    assert {key for station in stations for key in station.peers().values()} == {K3.id}


def test_many_ways_stretch_the_interval_as_many_peers_do():
    segment = Segment()
    slow = Parameters(budget=5)
    stations = [segment.add(ACCEPT, parameters=slow).start() for _ in range(3)]
    segment.run(20.0)
    assert stations[0].node.interval(segment.now) == pytest.approx(0.8)
    segment.add(parameters=slow).start()
    segment.run(20.0)
    assert stations[0].node.interval(segment.now) == pytest.approx(4 * 2 / 5)


def test_a_bare_peer_keeps_plain_hellos_coming():
    segment, stations = fleet(2, ACCEPT)
    for _ in range(10):
        segment.run(0.8)
        for station in stations:
            segment.deliver(b"HELLO|", "10.0.0.50", station)
    said = segment.recorded(segment.now - 4.0, to="10.0.0.255")
    assert any(one.startswith(b"HELLO|2|") for one in said)
    segment.run(10.0)
    assert all(one.startswith(b"SEALED|") for one in segment.recorded(segment.now - 4.0, to="10.0.0.255"))


# --- one node ----------------------------------------------------------------------------------------


def test_keys_that_come_and_go_leave_boot_and_counter():
    node = make_node()
    boot = node.boot
    assert node.sealing is None
    node.set_keyring(REQUIRE)
    node.poll(1.0)
    counter = node.sealing._sealer._counter
    assert counter > 0
    node.set_keyring(NO_KEYS)
    node.set_keyring(REQUIRE)
    assert (node.boot, node.sealing._sealer._counter) == (boot, counter)


def test_what_was_plain_is_not_heard_any_more_once_keys_are_required():
    node, here = make_node(), source()
    for seq in (1, 2, 3):
        node.receive(hello(seq=seq, full=seq == 1).encode(), here, 1.0)
    assert node.hello_rate.steady == 2
    node.set_keyring(REQUIRE)
    node.receive(hello(seq=4, full=False).encode(), here, 1.1)
    assert node.drops["plain", "eth0"] == 1
    sends = [node.ping(node.table.get("web1", hello().boot), 1.2)[1].sends[0]]
    assert all(send.datagram.startswith(b"SEALED|") for send in sends), "nothing is said in plain either"


def test_a_flood_lets_in_who_seals():
    segment, (a,) = fleet(1, REQUIRE)
    segment.run(3.0)
    a.node.begin_flood(since=2.0, now=segment.now)
    segment.add(REQUIRE).start()
    segment.run(16 * DELAY)
    assert a.peers() == {"n2": K1.id}
    a.act(a.node.begin_flood(since=2.0, now=segment.now))
    assert a.peers() == {"n2": K1.id}, "it has proved to live"


def test_a_former_boot_that_repeats_a_beat_is_no_clone():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    last = segment.now
    segment.loss = 1.0
    segment.run(0.9)  # a beat that a does not hear
    beat = segment.recorded(last, b.address, "10.0.0.255")[0]
    segment.loss = 0.0
    b.crash()
    b.start()
    segment.run(0.1)
    for _ in range(3):
        segment.deliver(beat, b.address, a)
    segment.run(1.0)
    assert a.peers() == {"n2": K1.id}
    assert not a.node.peers(segment.now)[0].clone


def test_a_keyring_is_what_it_takes():
    ranks = ring(K1, K2, mode="accept", send_with=K2).ranks()
    assert list(ranks) == [K2.id, K1.id, ""]
    assert list(ring(K1, K2).ranks()) == [K1.id, K2.id]
    assert list(ring(K1, mode="off").ranks()) == ["", K1.id]
    assert list(Keyring().ranks()) == [""]
