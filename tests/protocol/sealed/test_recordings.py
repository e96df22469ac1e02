"""Nodes with keys, on a segment where somebody listens, records, alters and repeats."""

from dataclasses import replace

import pytest

from discoveryd.protocol.challenges import AGAIN
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.sealed.channel import MAX_SOURCES, PROVED_FOR
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.sealed.keyring import Key
from discoveryd.protocol.wire.messages import Ping, Pong
from tests.protocol.samples import hello, source
from tests.protocol.sealed.fleets import EVIL, REQUIRE, TTL, drain
from tests.protocol.segment import DELAY, K1, K2, Segment, fleet, ring


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
    sources = a.node.outbox.sealing.sources
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
    sent = [a.node.ping(row, segment.now)[1].sends[0].datagram for _ in range(MAX_PINGS + 5)]
    came_back = [a.node.outbox.sealing.plain(datagram) for datagram in sent]
    assert [plain.startswith(b"PING") for plain in came_back] == [False] * 5 + [True] * MAX_PINGS
    assert a.node.refused(b"SEALED|2|whatever", segment.now) is NOTHING


def test_a_crowd_of_boots_leaves_the_windows_bounded():
    segment = Segment()
    a = segment.add(REQUIRE, parameters=Parameters(limits=Limits(peers=2))).start()
    for _ in range(4):
        segment.add(REQUIRE).start()
    segment.run(10.0)
    assert len(a.peers()) == 2
    assert len(a.node.outbox.sealing.windows) <= 2
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


def test_a_probe_sealed_for_all_is_not_answered():
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
        if sender == b.address and b.node.boot in a.node.outbox.sealing.windows:
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
