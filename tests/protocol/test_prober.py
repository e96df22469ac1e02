"""Whom to PING, when, and what silence proves; all times are literal."""

from itertools import pairwise

import pytest

from discoveryd.protocol.prober import PROBES_PER_SECOND, REFUSED
from discoveryd.protocol.table.liveness import NEVER, probes_needed
from tests.protocol.pinging import BEATS, HERE, LAST, SUSPECT, THERE, Bench, crowd
from tests.protocol.samples import kinds, source

# --- suspects ---------------------------------------------------------------------------------------


def test_a_peer_that_is_cut_off_on_a_clean_path():
    bench = Bench()
    bench.talk()
    bench.run(SUSPECT - 0.001)
    assert bench.events == []
    bench.run(SUSPECT + 1.399)
    assert bench.asked(SUSPECT - 0.01) == [(round(SUSPECT + probe * 0.2, 6), "10.0.0.7") for probe in range(7)]
    assert bench.told() == [("suspect", "2 HELLOs missed")]
    bench.run(SUSPECT + 1.401)
    assert bench.told()[1:] == [("down", "7 probes unanswered, at 0% loss")]
    assert bench.table.suspects == {}
    assert bench.asked(SUSPECT + 1.3) == []


def test_an_answer_ends_a_suspicion_and_its_count_of_pings():
    bench = Bench()
    bench.talk()
    bench.run(SUSPECT + 1.1)
    bench.answer(bench.pings[-1][2], "10.0.0.7")
    assert bench.told()[1:] == [("recovered", "answered a PING")]
    bench.pings.clear()
    bench.run(SUSPECT + 1.1 + 1.96 + 1.39)
    assert kinds(bench.events)[2:] == ["suspect"]
    bench.run(SUSPECT + 1.1 + 1.96 + 1.41)
    assert kinds(bench.events)[3:] == ["down"]


def test_a_hello_restores_it():
    bench = Bench()
    bench.talk()
    bench.hear(SUSPECT + 0.5, BEATS + 3)
    assert bench.told()[1:] == [("recovered", "heard again on eth0 after 2.5 s")]
    assert bench.table.suspects == {}
    asked = len(bench.pings)
    bench.run(SUSPECT + 2.0)
    assert len(bench.pings) == asked


def test_a_lossy_path_is_pinged_faster_and_proves_nothing():
    bench = Bench()
    row = bench.talk(lost=range(1, BEATS, 4))
    assert row.peer(bench.now).loss == 0.25
    bench.run(LAST + 10)
    asked = [at for at, _ in bench.asked(SUSPECT)]
    assert 19 <= len(asked) <= 21
    assert all(later - earlier == pytest.approx(0.1) for earlier, later in pairwise(asked))
    assert bench.told()[1:] == [("down", "not heard for its ttl of 4 s")]


def test_the_loss_decides_how_many_probes_it_takes():
    for lost in ((), (40,), (30, 50), (20, 40, 60)):
        bench = Bench()
        row = bench.talk(lost=lost)
        needed = probes_needed(next(iter(row.paths)).loss_at_most)
        bench.run(LAST + 3.99)
        assert "probes unanswered" in bench.told()[-1][1], lost
        assert needed <= len(bench.asked(SUSPECT)) <= needed + 1


@pytest.mark.parametrize("two_way", [None, False])
def test_who_never_answered_proves_nothing_by_silence(two_way):
    bench = Bench()
    row = bench.talk()
    for path in row.paths:
        path.two_way = two_way
    bench.run(LAST + 10)
    assert bench.told()[1:] == [("down", "not heard for its ttl of 4 s")]


def test_nor_does_one_of_whom_too_little_was_heard():
    bench = Bench()
    bench.talk(beats=6)
    bench.run(20)
    assert bench.told()[1:] == [("down", "not heard for its ttl of 4 s")]


def test_the_last_probe_may_take_two_round_trips():
    bench = Bench()
    row = bench.talk()
    for path in row.paths:
        path.rtt = 0.3
    bench.run(SUSPECT + 1.799)
    assert kinds(bench.events) == ["suspect"]
    bench.run(SUSPECT + 2.03)
    assert kinds(bench.events) == ["suspect", "down"]


def test_each_of_several_paths_must_be_proved_silent():
    bench = Bench()
    bench.talk(HERE, THERE)
    bench.run(LAST + 3.99)
    since = bench.asked(SUSPECT - 0.01)
    assert [address for _, address in since] == ["10.0.0.7", "10.1.0.7"] * 5 + ["10.0.0.7"]
    assert kinds(bench.events) == ["suspect"]  # 14 would be needed
    bench.run(LAST + 4.0)
    assert bench.told()[1:] == [("down", "not heard for its ttl of 4 s")]


def test_a_way_that_fell_silent_before_is_no_evidence():
    bench = Bench()
    row = bench.talk(HERE, THERE)
    for seq in range(BEATS + 1, BEATS + 4):
        bench.hear(seq * 0.8, seq, THERE)
    assert len(row.paths) == 2
    bench.pings.clear()
    bench.run(LAST + 2.4 + 1.96 + 1.41)
    assert {address for at, address in bench.asked() if at >= LAST + 2.4 + 1.96 - 0.01} == {"10.1.0.7"}
    assert bench.told()[-1] == ("down", "7 probes unanswered, at 0% loss")


def test_what_cannot_be_reached_is_not_asked_and_proves_nothing():
    bench = Bench(reaches=lambda source: source.link is not None)
    bench.talk(source("192.0.2.7", None))
    bench.run(LAST + 10)
    assert bench.pings == []
    assert bench.told()[1:] == [("down", "not heard for its ttl of 4 s")]


def test_a_hundred_probes_a_second_are_shared_fairly():
    bench = crowd(120, interval=8.0, ttl=40.0)  # suspect at 19.6, all together
    bench.run(30.0)
    probes = [(at, address) for at, address in bench.asked(19.6)]
    for start in (20.0, 21.3, 25.0):
        assert len([at for at, _ in probes if start <= at < start + 1]) <= PROBES_PER_SECOND + 25
    early = [address for at, address in probes if at < 25.0]
    counts = [early.count(f"10.9.0.{number}") for number in range(1, 121)]
    assert min(counts) >= 3
    assert max(counts) - min(counts) <= 1


def test_a_long_ttl_does_not_make_us_ask_a_dead_peer_for_ever():
    bench = crowd(1, interval=100.0, ttl=3000.0)
    bench.run(3100.0)
    assert bench.told()[-1] == ("down", "not heard for its ttl of 3000 s")
    assert len(bench.asked(245.0)) < 21 + 3000 / 100 + 2


# --- port unreachable -------------------------------------------------------------------------------


def test_a_suspect_that_is_refused_is_down_at_once():
    bench = Bench()
    bench.talk()
    bench.run(SUSPECT)
    [event] = bench.prober.refused(bench.pings[-1][2], SUSPECT + 0.001)
    assert (event.kind, event.reason) == ("down", REFUSED)


def test_one_that_was_just_heard_goes_when_it_is_suspect():
    bench = Bench()
    row = bench.talk()
    nonce = bench.ask(next(iter(row.paths)), after=0.1)
    assert bench.prober.refused(nonce, LAST + 0.101) == ()
    bench.run(SUSPECT)
    assert bench.told() == [("suspect", "2 HELLOs missed"), ("down", REFUSED)]


def test_if_it_is_heard_after_all_a_firewall_said_so():
    bench = Bench()
    row = bench.talk()
    for seq in (1, 2):
        bench.hear(LAST + seq * 0.8, BEATS + seq, full=False)
    nonce = bench.ask(next(iter(row.paths)))
    assert bench.prober.refused(nonce, bench.now + 0.001) == ()
    bench.hear(LAST + 2.4, BEATS + 3, full=False)
    assert row.rejects
    bench.run(LAST + 2.4 + 1.96)
    assert bench.prober.refused(bench.pings[-1][2], bench.now + 0.001) == ()
    assert row.state == "suspect"


def test_the_word_of_an_address_that_it_left_counts_for_nothing():
    bench = Bench()
    row = bench.talk(HERE, THERE)
    for seq in range(BEATS + 1, BEATS + 4):
        bench.hear(seq * 0.8, seq, THERE)
    nonce = bench.ask(row.paths.of(HERE))
    assert bench.prober.refused(nonce, bench.now + 0.001) == ()
    assert row.refused == -NEVER


def test_what_is_not_ours_is_not_refused():
    assert Bench().prober.refused("0" * 16, 1.0) == ()
