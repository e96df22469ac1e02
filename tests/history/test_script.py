"""Half an hour of a peer by a script, through the engine into the file: availability is that of the script."""

import pytest

from discoveryd.history.reading import Reader
from discoveryd.history.recorder import Clocks
from discoveryd.protocol.table.journal import remembered, sighting
from discoveryd.query.request import Filter
from tests.history.past import MIDNIGHT
from tests.protocol.samples import hello, make_node, source

BEAT = 0.8
LASTS = 1800.0
SETTLE = 10.0


class Play:
    """A node and one peer that says HELLO each 0.8 s but while it is away; the history takes notes twice a second."""

    def __init__(self, past, outages, asleep=()):
        self.past, self.outages, self.asleep, self.slept = past, outages, asleep, 0.0
        self.node = make_node(proved=True)
        self.node.table.event_log.journal.wake = lambda: None

    def play(self):
        boot, seq, was_away, noted = 1, 0, False, 0.0
        for tick in range(round(LASTS / BEAT)):
            now = tick * BEAT
            if any(start <= now < end for start, end in self.asleep):
                self.slept += BEAT
                continue
            outage = next(((start, end, kind) for start, end, kind in self.outages if start <= now < end), None)
            if outage and outage[2] == "goodbye" and not was_away:
                self.hear(hello(boot, "n1", seq + 1, goodbye=True), now)
            if not outage:
                boot += was_away and self.kind(now) == "restart"
                seq += 1
                self.hear(hello(boot, "n1", seq), now)
            was_away = outage is not None
            self.node.poll(now + BEAT / 2)
            if now >= noted:
                noted = now + 10.0
                self.write(now + BEAT / 2)
        self.write(LASTS)
        [found] = Reader(self.past.store, self.past.recorder.moment(self.clocks(LASTS))).availability(None, Filter())["peers"]
        return found

    def hear(self, said, now):
        self.node.receive(said.encode(), source(), now)

    def kind(self, now):
        return max((outage for outage in self.outages if outage[1] <= now), key=lambda outage: outage[1])[2]

    def clocks(self, now):
        return Clocks(now, MIDNIGHT + now, now - self.slept)

    def write(self, now):
        notes, _ = self.node.table.event_log.journal.take()
        there = remembered(self.node.table.by_key)

        def batch():
            recorder = self.past.recorder
            recorder.look(self.clocks(now), None)
            recorder.take(notes)
            missing, extra = recorder.differing(there)
            rows = self.node.table.by_key
            recorder.end_lost([(key, rows[key].last_heard if key in rows else None) for key in extra])
            recorder.take([sighting("there", "", rows[key], now) for key in missing])

        self.past.write(batch)


@pytest.mark.parametrize(
    ("outages", "downs", "restarts"),
    [
        ([], 0, 0),
        ([(100.0, 130.0, "kill"), (1000.0, 1300.0, "kill"), (1500.0, 1507.0, "kill")], 3, 0),
        ([(500.0, 501.6, "restart"), (900.0, 960.0, "restart")], 1, 2),
        ([(500.0, 900.0, "goodbye"), (1200.0, 1300.0, "kill")], 1, 0),
        ([(60.0 * minute, 60.0 * minute + 10.0, "kill") for minute in range(1, 29)], 28, 0),
        ([(1700.0, 2000.0, "kill")], 1, 0),
    ],
)
def test_availability_is_that_of_the_script(past, outages, downs, restarts):
    found = Play(past, outages).play()
    lengths = [(min(end, LASTS) - start, kind) for start, end, kind in outages]
    error = 1.0 + sum(2 * BEAT for _ in outages)
    assert found["seen_s"] == pytest.approx(LASTS, abs=1.0)
    assert found["down_s"] == pytest.approx(sum(length for length, kind in lengths if kind != "goodbye"), abs=error)
    assert found["left_s"] == pytest.approx(sum(length for length, kind in lengths if kind == "goodbye"), abs=error)
    assert (found["downs"], found["restarts"]) == (downs, restarts)
    longest = max((length for length, kind in lengths if kind != "goodbye"), default=0.0)
    assert found["longest_s"] == pytest.approx(longest, abs=2 * BEAT)


@pytest.mark.parametrize("asleep", [[(900.0, 1100.0)], [(900.0, 903.0), (1100.0, 1160.0), (1500.0, 1700.0)]])
def test_our_own_sleep_is_no_outage_of_a_peer(past, asleep):
    outages = [(600.0, 660.0, "kill"), (1300.0, 1330.0, "kill")]
    found = Play(past, outages, asleep).play()
    slept = sum(end - start for start, end in asleep)
    assert (found["downs"], found["restarts"]) == (2, 0)
    assert found["down_s"] == pytest.approx(90.0, abs=1.0 + 2 * 2 * BEAT + 2 * BEAT * len(asleep))
    assert found["seen_s"] == pytest.approx(LASTS - slept, abs=1.0 + 2 * SETTLE * len(asleep))
