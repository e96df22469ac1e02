"""What never answered a PING: how long it stays, and what does not follow from it. Attacks by strangers, in virtual time."""

from dataclasses import replace

import pytest

from discoveryd.errors import Unproven
from discoveryd.protocol.bounded import MAX_UNRESOLVED
from discoveryd.protocol.rate_limits import UNASKED_PER_SECOND
from discoveryd.protocol.table.rows import MAX_ENDED
from discoveryd.protocol.table.standing import MAX_UNPROVED
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.samples import boot, hello, kinds, make_node, row_of, source
from tests.protocol.segment import K1, fleet, ring

HOUR = 3600.0
STRANGER = "10.0.0.66"
HERE = source()


def forge(segment, station, said, sender=STRANGER):
    """Let a station hear something forged, as if it were broadcast."""
    segment.deliver(said.encode(), sender, station)


def said_by(station):
    """Give the last HELLO of a station."""
    return station.node.outbox.hello()


def boots(station):
    """Give the boots that a station lists, by id."""
    return {peer.id: peer.boot for peer in station.node.peers(station.segment.now)}


def flood(segment, victims, *, count, rate, id=None, ttl=HOUR):
    """Forge HELLOs of many boots, as many a second as told, from as many addresses."""
    for number in range(count):
        said = hello(1000 + number, id or f"x{number}", interval=0.8, ttl=ttl)
        for victim in victims:
            forge(segment, victim, said, f"10.0.0.{100 + number % 100}" if id is None else STRANGER)
        segment.run(1 / rate)


# --- how long it lives --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "ttl", "lives"),
    [(0.8, 4.0, 3.2), (0.8, HOUR, 3.2), (0.5, 1.0, 1.0), (600.0, HOUR, 10.0), (2.0, HOUR, 8.0)],
)
def test_an_unproven_row_lives_for_four_beats_or_ten_seconds(interval, ttl, lives):
    table = PeerTable()
    table.heard(hello(interval=interval, ttl=ttl), HERE, 0.0)
    assert len(table.peers(lives - 0.01)) == 1
    assert table.peers(lives) == ()
    assert "down" in kinds(table.expire(lives))
    table.expire(10.0)
    assert len(table) == 0  # nothing of it is remembered


def test_an_unproven_row_lives_for_four_long_intervals_of_ours():
    table = PeerTable()
    table.interval = 5.0
    table.heard(hello(interval=600.0, ttl=HOUR), HERE, 0.0)
    assert len(table.peers(19.9)) == 1
    assert table.peers(20.0) == ()


def test_an_answer_gives_a_row_its_ttl_and_a_memory():
    table = PeerTable(remember=100.0)
    table.heard(hello(interval=10.0, ttl=50.0), HERE, 0.0)
    table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=1.0)
    assert len(table.peers(50.9)) == 1
    table.expire(51.0)
    assert [peer.state for peer in table.peers(52.0, gone=True)] == ["down"]


# --- what it counts for ---------------------------------------------------------------------------------


def test_an_unproven_row_counts_while_its_beats_go_on():
    table = PeerTable()
    counted = []
    for beat in range(4):
        table.heard(hello(seq=beat), HERE, beat * 0.8)
        counted.append(table.speaking(beat * 0.8))
    assert counted == [0, 0, 1, 1]
    assert table.speaking(2.4 + 1.9) == 1
    assert table.speaking(2.4 + 2.0) == 0
    assert table.live_count(2.4 + 2.0) == 1


def test_three_beats_in_a_moment_count_for_nothing():
    table = PeerTable()
    for beat in range(10):
        table.heard(hello(seq=beat), HERE, beat * 0.001)
    assert table.speaking(0.01) == 0


def test_unproven_peers_do_not_make_us_doubt_ourselves():
    """Finding 12; on 0.1.0: isolated for 600 s."""
    segment, stations = fleet(9)
    segment.run(20.0)
    for number in range(8):
        for seq in range(5):
            forge(segment, stations[0], hello(100 + number, f"x{number}", ttl=1.0, seq=seq), f"10.0.0.{100 + number}")
    for _ in range(300):
        segment.run(0.1)
        assert not stations[0].node.is_isolated(segment.now)


def test_unproven_peers_do_not_hide_that_others_fell_silent():
    segment, stations = fleet(6)
    segment.run(20.0)
    for station in stations[1:]:
        station.crash()
    for beat in range(4):
        segment.run(0.8)
        for number in range(20):
            forge(segment, stations[0], hello(100 + number, f"x{number}", seq=beat), f"10.0.0.{100 + number}")
    assert stations[0].node.is_isolated(segment.now)


# --- a burst of forged HELLOs ---------------------------------------------------------------------------


def test_forged_hellos_with_a_long_ttl_leave_nothing_behind():
    """Finding 4; on 0.1.0: interval 20.5 s, 4096 rows, no newcomer for an hour, a crash seen after 46 s."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    flood(segment, (a,), count=4300, rate=900)
    segment.run(15.0)
    assert a.node.interval(segment.now) == 0.8
    assert len(a.node.table) < 200
    segment.add().start()
    segment.run(1.0)
    assert "n3" in a.peers()
    b.crash()
    segment.run(5.0)
    assert "n2" not in a.peers()


def test_boots_of_one_id_without_end_are_a_few_rows():
    """Finding 4b; on 0.1.0: 4096 rows, newcomers refused for an hour."""
    segment, (a, _) = fleet(2)
    segment.run(20.0)
    most = 0
    for _ in range(10):
        flood(segment, (a,), count=50, rate=50, id="evil")
        most = max(most, len(a.node.table))
    assert most <= 2 + MAX_UNPROVED
    flood(segment, (a,), count=50, rate=50, id="n2")
    assert boots(a)["n2"] in [station.node.boot for station in segment.all]
    segment.run(15.0)
    assert len(a.node.table) == 1


def test_newcomers_past_a_rate_are_asked_before_being_listed():
    node = make_node(newcomers=10_000)
    asked = []
    for number in range(1, 1001):
        here, now = source(f"10.0.{number >> 6}.{number & 63}"), 1.0 + number / 1000
        listed = node.table.live_count(now)
        sends = node.receive(hello(number, f"n{number}").encode(), here, now).sends
        asked += [(number, here, send) for send in sends if send.datagram.startswith(b"PING")]
        if len(asked) > 10:  # it answers ten milliseconds later
            asking, there, ping = asked.pop(0)
            assert node.table.live_count(now) == listed
            pong = Pong(realm="default", boot=boot(asking), nonce=decode(ping.datagram).nonce, heard_ms=None)
            node.receive(pong.encode(), there, now)
    assert len(asked) == 10
    assert len(node.peers(2.0)) == 1000 - 10
    assert {reason for reason, _ in node.drops} == {"unproven"}


def test_forged_newcomers_leave_room_among_the_neighbours():
    node = make_node(newcomers=10_000)
    sent = [
        send
        for number in range(1, 3001)
        for send in node.receive(hello(number, f"n{number}").encode(), source(f"10.0.{number >> 6}.{number & 63}"), 1.0 + number / 1000).sends
    ]
    assert 2 * UNASKED_PER_SECOND <= len(node.peers(4.0)) <= 6 * UNASKED_PER_SECOND
    assert len({send.to for send in sent}) == MAX_UNRESOLVED
    assert node.outbox.credit.withheld > 1000


def test_forged_suspects_keep_no_peer_from_being_asked():
    """A hundred PINGs a second are for all suspects together; on 0.1.0 for those that waited longest."""
    node = make_node(newcomers=1000)
    for number in range(2, 152):
        node.receive(hello(number, f"x{number}").encode(), source(f"10.0.1.{number}"), 1.0 + number / 100)
    node.receive(hello(1).encode(), HERE, 2.6)
    node.table.answered(row_of(node.table, 1), HERE, 0.001, 0.1, two_way=True, now=2.601)
    polled = [node.poll(2.6 + number / 100) for number in range(201)]
    asked = [send.to for outcome in polled for send in outcome.sends if send.datagram.startswith(b"PING")]
    assert len(asked) >= 100
    assert HERE.address in asked


# --- many boots of one id ---------------------------------------------------------------------------------


def test_boots_of_one_id_that_never_answered_are_bounded():
    table = PeerTable()
    for number in range(1, MAX_UNPROVED + 1):
        table.heard(hello(number, "x"), source(f"10.0.0.{number}"), 0.0)
    with pytest.raises(Unproven):
        table.heard(hello(99, "x"), source("10.0.0.99"), 0.0)
    assert len(table) == MAX_UNPROVED
    table.heard(hello(99, "x"), source("10.0.0.99"), 0.0, proved=True)
    assert len(table) == MAX_UNPROVED + 1


def test_a_replaced_boot_is_gone_after_two_of_its_intervals():
    table = PeerTable()
    table.heard(hello(1, ttl=HOUR), HERE, 0.0)
    table.heard(hello(2, ttl=HOUR), HERE, 0.1)
    assert len(table) == 2
    table.expire(1.6)
    assert len(table) == 1


def test_boots_that_are_over_are_remembered_within_bounds():
    table = PeerTable()
    for number in range(1, MAX_ENDED + 100):
        table.heard(hello(number), HERE, number / 1000, proved=True)
        table.heard(hello(number, seq=2, goodbye=True), HERE, number / 1000)
    ended = [refusal(table, hello(number, seq=3), 1.2) == "stale" for number in range(MAX_ENDED + 99, 0, -1)]
    assert ended == [False] + [True] * MAX_ENDED + [False] * 98


def refusal(table, hello, now):
    """Return why a HELLO has to be proved first, None if it is heard."""
    try:
        table.heard(hello, HERE, now)
    except Unproven as error:
        return error.reason
    return None


# --- ends that are forged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [4.0, HOUR])
def test_a_forged_goodbye_and_a_forged_restart_hide_nobody(ttl):
    """Finding 1; on 0.1.0: hidden for an hour."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    true = b.node.boot
    forge(segment, a, replace(said_by(b), goodbye=True))
    forge(segment, a, hello(7, "n2", ttl=ttl))
    segment.run(0.1)
    assert boots(a)["n2"] == true
    segment.run(5.0)
    stale = a.drops().get("stale", 0)
    segment.run(10.0)
    assert a.drops().get("stale", 0) == stale
    assert boots(a) == {"n2": true}


def test_a_boot_that_is_over_is_asked_before_it_is_heard_again():
    node = make_node()
    node.receive(hello(1).encode(), HERE, 0.0)
    node.receive(hello(1, seq=2, goodbye=True).encode(), HERE, 1.0)
    node.poll(1.05)  # it is asked whether it left, and may answer for a second
    node.receive(hello(2).encode(), HERE, 2.1)
    outcome = node.receive(hello(1, seq=3).encode(), HERE, 2.2)
    assert [(send.datagram[:5], send.to) for send in outcome.sends] == [(b"PING|", HERE.address)]
    assert [peer.boot for peer in node.peers(2.2)] == [boot(2)]
    node.receive(hello(2, seq=9).encode(), HERE, 6.2)
    assert node.receive(hello(1, seq=9).encode(), HERE, 6.3).events  # after a ttl that is forgotten


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_boot_forged_in_place_of_one_that_left_is_asked_first(is_asked):
    node = make_node()
    node.receive(hello(1).encode(), HERE, 0.0)
    node.receive(hello(1, seq=2**31, goodbye=True).encode(), source(STRANGER), 1.0)
    if is_asked:
        [question] = [send for send in node.poll(1.001).sends if send.datagram.startswith(b"PING")]
    outcome = node.receive(hello(2).encode(), source(STRANGER), 1.002)
    assert outcome.events == ()
    assert [(send.datagram[:5], send.to) for send in outcome.sends] == [(b"PING|", STRANGER)]
    if not is_asked:
        [question] = [send for send in node.poll(1.003).sends if send.datagram.startswith(b"PING")]
    answer = Pong(realm="default", boot=boot(1), nonce=decode(question.datagram).nonce, heard_ms=5)
    node.receive(answer.encode(), HERE, 1.01)
    assert [peer.boot for peer in node.peers(1.01)] == [boot(1)]


def test_no_unproven_boot_replaces_a_live_proved_boot():
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    a.told.clear()
    for number in range(20):
        forge(segment, a, hello(100 + number, "n2"), sender=b.address if number % 2 else STRANGER)
        segment.run(0.3)
    assert a.told == []
    b.crash()
    b.start()
    segment.run(0.1)
    assert a.told[0][1:] == ("restarted", "n2")
    assert boots(a)["n2"] == b.node.boot


def test_forged_goodbyes_make_a_peer_be_asked_first():
    """Finding 15; on 0.1.0: 5 a second, not listed 76 % of the time."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    a.told.clear()
    listed = 0
    for _ in range(150):
        forge(segment, a, replace(said_by(b), goodbye=True))
        for _ in range(20):
            segment.run(0.01)
            listed += "n2" in a.peers()
    assert sum(kind == "left" for _, kind, _ in a.told) <= 2
    assert listed >= 0.95 * 3000
    b.leave()
    segment.run(1.5)
    assert "n2" not in a.peers()


@pytest.mark.parametrize("ttl", [0.5, 1.0])
def test_a_forged_short_ttl_hides_nobody(ttl):
    """On 0.1.0: not listed for 1.4 s, by one datagram."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    a.told.clear()
    forge(segment, a, replace(said_by(b), seq=b.node.seq + 2, interval_ms=200, ttl_ms=round(ttl * 1000)))
    for _ in range(50):
        segment.run(0.1)
        assert "n2" in a.peers()
    assert "down" not in [kind for _, kind, _ in a.told]


def test_a_forged_long_ttl_keeps_nobody_who_is_dead():
    """On 0.1.0: listed for an hour, by one datagram after the crash."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    last = replace(said_by(b), seq=b.node.seq + 1, interval_ms=600_000, ttl_ms=round(HOUR * 1000))
    b.crash()
    forge(segment, a, last)
    segment.run(10.1)
    assert "n2" not in a.peers()


def test_a_forged_id_gains_nothing_from_another_nodes_answers():
    """An id that does not exist, with the boot and from the address of a node; on 0.1.0: one boot, two ids."""
    segment, (a, b) = fleet(2)
    segment.run(20.0)
    forge(segment, a, replace(said_by(b), id="x1", ttl_ms=round(HOUR * 1000)), sender=b.address)
    segment.run(15.0)
    assert set(a.peers()) == {"n2"}
    assert len(a.node.table) == 1


# --- room ---------------------------------------------------------------------------------------------------


def test_in_accept_a_sealed_peer_takes_a_plain_peers_place():
    """Finding 4, p17; on 0.1.0: `table-full` for sealed newcomers."""
    segment, (a, _) = fleet(2, ring(K1, mode="accept"))
    a.node.table.limit = 20
    segment.run(5.0)
    for number in range(40):
        forge(segment, a, hello(100 + number, f"x{number}", ttl=HOUR), f"10.0.0.{100 + number}")
        segment.run(0.02)
    assert len(a.node.table) == 20
    segment.add(ring(K1, mode="accept")).start()
    segment.run(1.0)
    assert a.peers()["n3"] == K1.id
    assert a.peers()["n2"] == K1.id
