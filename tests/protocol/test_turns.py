"""Whose turn it is to be PINGed, and when again; all times are literal."""

from itertools import pairwise

import pytest

from discoveryd.protocol.link import Source
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.table.liveness import MUTE_PINGS, NEVER, probes_needed
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.turns import FEW, FIRST_OF_MANY, FIRST_TURN, LEAST_TURNS, NEWCOMERS_GAP
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.pinging import BEATS, HERE, LAST, Bench, crowd
from tests.protocol.samples import hello, kinds, row_of, source


def test_the_first_ping_comes_soon_and_then_one_each_minute():
    bench = Bench()
    for seq in range(1, 1200):
        bench.hear(seq * 0.8, seq)
    times = [at for at, _, _ in bench.pings]
    assert 0.8 + FIRST_TURN[0] <= times[0] <= 0.8 + FIRST_TURN[1]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(54.0 - 1e-6 <= gap <= 66.2 for gap in gaps)
    assert max(gaps) - min(gaps) > 1.0
    assert len(times) > 14


def test_a_ping_for_other_reasons_replaces_a_turn():
    bench = Bench()
    for seq in range(1, 100):
        bench.hear(seq * 0.8, seq)
        if seq % 10 == 0:
            row = row_of(bench.table, 1)
            nonce = bench.ask(row.paths.best(bench.now))
            bench.answer(nonce, "10.0.0.7")
    assert len(bench.pings) == 1 + 9


def test_a_heard_peer_that_never_answers_does_not_hear_us():
    bench = Bench()
    row = bench.talk()
    path = row.paths.of(HERE)
    for seq in range(BEATS + 1, BEATS + 50):
        bench.hear(seq * 0.8, seq)
    times = [at for at, _, _ in bench.pings]
    assert [later - earlier for earlier, later in pairwise(times[:4])] == [pytest.approx(1.0, abs=0.21)] * 3
    assert path.two_way is False
    [event] = bench.events
    assert (event.kind, event.reason) == ("updated", "it does not hear us")
    assert 3 <= path.unanswered <= 12
    bench.answers = True
    for seq in range(BEATS + 50, BEATS + 100):
        bench.hear(seq * 0.8, seq)
    assert [event.reason for event in bench.events[1:]] == ["it hears us"]


def test_on_a_lossy_path_it_takes_more_to_say_that():
    bench = Bench()
    row = bench.talk(lost=range(1, BEATS, 5))
    for seq in range(BEATS + 1, BEATS + 50):
        if seq % 5:
            bench.hear(seq * 0.8, seq)
    path = row.paths.of(HERE)
    assert probes_needed(path.loss, 1e-4) in range(9, 12)
    [event] = bench.events
    first = bench.pings[0][0]
    assert event.reason == "it does not hear us"
    assert len([at for at, _, _ in bench.pings if at <= first + 8]) in (8, 9)


def test_an_address_that_never_answers_is_asked_ever_more_rarely():
    bench = Bench()
    bench.answers = False
    for seq in range(1, 300):
        bench.hear(seq * 0.8, seq)
    times = [at for at, _, _ in bench.pings]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert [round(gap) for gap in gaps[:11]] == [1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 60]


def mute():
    """Return a bench where nobody answers."""
    bench = Bench(table=PeerTable)
    bench.answers = False
    return bench


def test_a_newcomer_that_is_deaf_is_known_within_1500_ms():
    bench = mute()
    for seq in range(4):
        bench.hear(1.0 + seq * 0.4, seq)
    bench.run(2.5)
    assert bench.told() == [("joined", "first HELLO on eth0"), ("updated", "it does not hear us")]
    times = [at for at, _, _ in bench.pings]
    assert times[MUTE_PINGS] <= 1.0 + FIRST_TURN[1] + MUTE_PINGS * NEWCOMERS_GAP + 1e-6 < 2.5


def test_a_deaf_newcomer_is_then_asked_ever_more_rarely():
    bench = mute()
    for seq in range(1, 300):
        bench.hear(seq * 0.8, seq)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(bench.pings)]
    assert [round(gap, 3) for gap in gaps[: MUTE_PINGS - 1]] == [NEWCOMERS_GAP] * (MUTE_PINGS - 1)
    assert [round(gap) for gap in gaps[MUTE_PINGS:][:7]] == [1, 2, 4, 8, 16, 32, 60]


def test_in_a_crowd_a_newcomer_is_given_more_time():
    bench = mute()
    for number in range(1, FEW + 2):
        bench.hear(1.0, 1, source(f"10.0.0.{number}"), number=number, id=f"n{number}")
    bench.run(2.9)
    assert {kind for kind, _ in bench.told()} == {"joined"}
    assert min(at for at, _, _ in bench.pings) >= 1.0 + FIRST_OF_MANY[0]
    assert len(bench.pings) <= 3 * (FEW + 1)


def test_a_newcomer_beyond_our_links_is_given_more_time():
    bench = mute()
    for seq in range(4):
        bench.hear(1.0 + seq * 0.8, seq, Source("192.0.2.7", None))
    assert len(bench.pings) <= 4


def test_a_ping_without_an_answer_counts_once():
    bench = mute()
    bench.hear(1.0, 1)
    bench.run(1.3)
    asked, bench.has_credit = len(bench.pings), False
    for seq in range(2, 6):
        bench.hear(seq * 0.8, seq)
    [path] = row_of(bench.table, 1).paths
    assert (path.unanswered, len(bench.pings)) == (asked, asked)


def test_nothing_is_concluded_from_pings_that_were_not_sent():
    bench = mute()
    bench.has_credit = False
    for seq in range(4):
        bench.hear(1.0 + seq * 0.4, seq)
    assert (bench.pings, bench.told()) == ([], [("joined", "first HELLO on eth0")])


def test_a_newcomer_beside_lossy_peers_is_given_more_time():
    bench = mute()
    bench.answers = True
    bench.talk(lost=range(1, BEATS, 2))
    for seq in range(8):
        bench.hear(LAST + seq * 0.3, seq, source("10.0.0.8"), number=2, id="n2")
    path = row_of(bench.table, 2).paths.best(bench.now)
    assert (path.two_way, path.unanswered >= MUTE_PINGS) == (None, True)


def test_a_peer_that_does_not_hear_us_is_pinged_every_5_s():
    bench = Bench()
    bench.answers = False
    for beat in range(1, 1200):
        bench.hear(beat * 0.04, beat // 20)
        for at, address, nonce in bench.pings[-1:]:
            if at > bench.now - 0.04:
                bench.answer(nonce, address, hears_us_s=None, two_way=False)
    gaps = [later - earlier for (earlier, _, _), (later, _, _) in pairwise(bench.pings)]
    assert all(5.0 <= gap <= 5.5 for gap in gaps)
    assert kinds(bench.events) == ["joined", "updated"]


def test_who_asks_is_asked_back_unless_it_was_just_asked():
    bench = Bench()
    row = bench.talk()
    path = row.paths.of(HERE)
    bench.answers = True
    for seq in range(BEATS + 1, BEATS + 20):
        bench.hear(seq * 0.8, seq)
    assert bench.now - path.pinged > 2.0
    bench.pings.clear()
    bench.prober.in_turn.is_asked(path, bench.now)
    assert bench.prober.next_deadline() <= bench.now + 0.2
    bench.run(bench.now + 0.2)
    assert len(bench.pings) == 1
    for _ in range(5):
        bench.prober.in_turn.is_asked(path, bench.now)
    bench.run(bench.now + 1.0)
    assert len(bench.pings) == 1


def test_a_mute_peer_that_asks_is_asked_2_s_after_the_last_ping():
    """Its firewall was opened: it hears us now, and its next turn may be a minute away."""
    bench = Bench()
    bench.answers = False
    for seq in range(1, 300):
        bench.hear(seq * 0.8, seq)
    path = row_of(bench.table, 1).paths.of(HERE)
    while bench.now > path.pinged + 0.8:
        seq += 1
        bench.hear(seq * 0.8, seq)
    last = path.pinged
    for _ in range(20):
        bench.prober.in_turn.is_asked(path, bench.now)
    bench.answers = True
    for later in range(seq + 1, seq + 6):
        bench.hear(later * 0.8, later)
    assert [round(at - last, 3) for at, _, _ in bench.pings[-2:]] == [0.0, 2.0]


def test_of_a_thousand_peers_five_are_asked_in_a_second():
    bench = crowd(1000, interval=100.0, ttl=3000.0)
    bench.run(230.0)
    times = [at for at, _, _ in bench.pings]
    assert all(later - earlier >= 0.2 - 1e-9 for earlier, later in pairwise(times))
    assert len(times) == pytest.approx(230 * 5, abs=10)
    assert len({address for _, address, _ in bench.pings}) > 500


def test_turns_of_those_that_are_gone_are_dropped():
    bench = crowd(50, interval=100.0, ttl=3000.0)
    for number in range(1, 51):
        said = hello(number, f"n{number}", 2, interval=100.0, ttl=3000.0, goodbye=True)
        bench.events += bench.table.heard(said, source(f"10.9.0.{number}"), 0.1)
    bench.run(30.0)
    assert len(bench.pings) == 50, "each was asked once whether it was its own goodbye"
    assert len(bench.prober.in_turn.turns) + len(bench.prober.in_turn.newcomers) == 0
    assert bench.prober.next_deadline() == NEVER


def test_pings_of_programs_push_out_no_other_pings():
    bench = Bench()
    row = bench.talk()
    nonce = bench.ask(row.paths.best(bench.now))
    for _ in range(2 * MAX_PINGS):
        bench.prober.ask(row.paths.best(bench.now), bench.now, wanted=True)
    assert bench.prober.answer(Pong(realm="default", boot=row.boot, nonce=nonce, heard_ms=1), HERE) is not None
    assert len(bench.prober.asked) + len(bench.prober.wanted) == MAX_PINGS


def test_one_that_comes_back_has_its_turns_again():
    bench = Bench()
    bench.talk(beats=10)
    bench.run(60.0)
    assert kinds(bench.events)[-1] == "down"
    bench.pings.clear()
    bench.hear(60.0, 100)
    bench.run(61.0)
    assert len(bench.pings) == 1


def test_floods_of_pings_and_newcomers_keep_the_heap_small():
    bench = Bench()
    row = bench.talk()
    path = row.paths.of(HERE)
    for _ in range(10_000):
        bench.prober.in_turn.is_asked(path, bench.now)
    assert len(bench.prober.in_turn.turns) + len(bench.prober.in_turn.newcomers) <= 3
    for number in range(2, 5000):  # each leaves at once
        where = source(f"10.9.{number >> 8}.{number & 255}")
        bench.table.heard(hello(number, f"n{number}", 1), where, bench.now)
        bench.prober.in_turn.watch(row_of(bench.table, number), bench.now)
        bench.table.heard(hello(number, f"n{number}", 2, goodbye=True), where, bench.now)
    assert len(bench.prober.in_turn.turns) + len(bench.prober.in_turn.newcomers) <= LEAST_TURNS + 1


def test_waiting_pings_are_bounded_and_end_after_ten_seconds():
    bench = Bench()
    row = bench.talk()
    for _ in range(MAX_PINGS + 10):
        bench.prober.ask(row.paths.best(bench.now), bench.now)
    assert len(bench.prober.asked) + len(bench.prober.wanted) == MAX_PINGS
    bench.prober.poll(bench.now + 9.999, bench.now + 9.999)
    assert len(bench.prober.asked) + len(bench.prober.wanted) >= MAX_PINGS
    bench.prober.poll(bench.now + 10.0, bench.now + 10.0)
    assert len(bench.prober.asked) + len(bench.prober.wanted) <= 2  # what that poll asked
