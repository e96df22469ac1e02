"""Whom to PING, when, and what silence proves; all times are literal."""

from itertools import pairwise
from random import Random

import pytest

from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.prober import MAX_PINGS, PROBES_PER_SECOND, REFUSED, Prober
from discoveryd.protocol.table.liveness import MUTE_PINGS, NEVER, probes_needed
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.turns import FEW, FIRST_OF_MANY, FIRST_TURN, LEAST_TURNS, NEWCOMERS_GAP
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.samples import ETH1, ProvedTable, boot, hello, kinds, row_of, source

HERE = source()
THERE = source("10.1.0.7", ETH1)
BEATS = 80
LAST = BEATS * 0.8
"""When a peer that `talk` let speak was heard last: 64.0, its HELLOs 1 to 80 with none lost."""
SUSPECT = LAST + 1.96


class Bench:
    """A prober with its table, driven from deadline to deadline."""

    def __init__(self, reaches=lambda source: True, table=ProvedTable):
        self.table = table()
        self.links = {}
        self.reaches = reaches
        self.random = Random(1)
        self.prober = Prober(self.table, self)  # it writes the PINGs itself
        self.pings = []  # (time, address, nonce)
        self.events = []
        self.now = 0.0
        self.answers = self.has_credit = True

    def ping(self, nonce, to, id, boot):
        self.pings.append((self.now, to.address, nonce))
        return Send(b"", to.link, to.address)

    def may_ping(self, source, now):
        return self.has_credit

    def nonce(self):
        return f"{self.random.getrandbits(64):016x}"

    def ask(self, path, after=0.0):
        """Send a PING now, or so many seconds later; return its nonce."""
        self.prober.ask(path, self.now + after)
        return self.pings[-1][2]

    def hear(self, now, seq, *sources, number=1, id="web1", **more):
        self.run(now)
        for one in sources or (HERE,):
            self.events += self.table.heard(hello(number, id, seq, **more), one, now)
        self.prober.in_turn.watch(row_of(self.table, number), now)

    def run(self, until):
        """Poll whenever something is due; what is asked in turn is answered at once if `answers`."""
        while (due := min(self.prober.next_deadline(), self.table.next_expiry())) <= until:
            assert due >= self.now
            self.now = due
            self.poll()
        self.now = until

    def poll(self):
        already = len(self.pings)
        self.events += self.table.expire(self.now)
        self.events += self.prober.poll(self.now, self.now)[1]
        assert min(self.prober.next_deadline(), self.table.next_expiry()) > self.now
        for _, address, nonce in self.pings[already:] if self.answers else ():
            self.answer(nonce, address)

    def answer(self, nonce, address, number=1, hears_us_s=0.1, rtt=0.002, two_way=True):
        here = THERE if address == THERE.address else source(address)
        asked = self.prober.answer(Pong(realm="default", boot=boot(number), nonce=nonce, heard_ms=100), here)
        if asked is not None:
            args = (asked.path.row, here, rtt, hears_us_s)
            self.events += self.table.answered(*args, two_way=two_way, now=self.now)

    def talk(self, *sources, beats=BEATS, lost=()):
        """Let a peer speak for a while, which answers; then it falls silent."""
        for seq in range(1, beats + 1):
            if seq not in lost:
                self.hear(seq * 0.8, seq, *sources)
        self.answers = False
        self.pings.clear()
        self.events.clear()
        return row_of(self.table, 1)

    def asked(self, since=0.0):
        return [(round(at, 6), address) for at, address, _ in self.pings if at >= since]

    def told(self):
        return [(event.kind, event.reason) for event in self.events]


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
        needed = probes_needed(next(iter(row.paths.values())).loss_at_most)
        bench.run(LAST + 3.99)
        assert "probes unanswered" in bench.told()[-1][1], lost
        assert needed <= len(bench.asked(SUSPECT)) <= needed + 1


@pytest.mark.parametrize("two_way", [None, False])
def test_who_never_answered_proves_nothing_by_silence(two_way):
    bench = Bench()
    row = bench.talk()
    for path in row.paths.values():
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
    for path in row.paths.values():
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


def crowd(count, now=0.0, **more):
    bench = Bench()
    bench.answers = False
    for number in range(1, count + 1):
        bench.hear(now, 1, source(f"10.9.{number >> 8}.{number & 255}"), number=number, id=f"n{number}", **more)
    return bench


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
    nonce = bench.ask(next(iter(row.paths.values())), after=0.1)
    assert bench.prober.refused(nonce, LAST + 0.101) == ()
    bench.run(SUSPECT)
    assert bench.told() == [("suspect", "2 HELLOs missed"), ("down", REFUSED)]


def test_if_it_is_heard_after_all_a_firewall_said_so():
    bench = Bench()
    row = bench.talk()
    for seq in (1, 2):
        bench.hear(LAST + seq * 0.8, BEATS + seq, full=False)
    nonce = bench.ask(next(iter(row.paths.values())))
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


# --- everyone, in turn ------------------------------------------------------------------------------


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


def test_a_newcomer_that_does_not_hear_us_is_known_within_1500_ms():
    bench = mute()
    for seq in range(4):
        bench.hear(1.0 + seq * 0.4, seq)
    bench.run(2.5)
    assert bench.told() == [("joined", "first HELLO on eth0"), ("updated", "it does not hear us")]
    times = [at for at, _, _ in bench.pings]
    assert times[MUTE_PINGS] <= 1.0 + FIRST_TURN[1] + MUTE_PINGS * NEWCOMERS_GAP + 1e-6 < 2.5


def test_a_newcomer_that_never_answers_is_then_asked_ever_more_rarely():
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
