"""Log lines of what changes all the time, in virtual time."""

from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.calm import AT_ONCE, GAP, MOST, NEVER, Calm
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import Notice

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SEEDS = ("192.0.2.1", "192.0.2.2")
UNREACHABLE = "EHOSTUNREACH: No route to host"


def line(text):
    return Notice(level="info", text=text)


def test_a_change_and_its_end_are_told_at_once_then_one_a_minute():
    calm = Calm()
    told = []
    for second in range(600):
        told += [second for _ in calm.due(second)]
        told += [second for _ in calm.take("x", str(second % 2), line("changed"), second)]
    assert told[:4] == [0, 1, 60, 120]
    assert len(told) == AT_ONCE + 600 // GAP - 1


def test_what_is_held_back_is_told_as_what_it_came_to_or_not_at_all():
    calm = Calm()
    states = (("bad", 0.0), ("good", 1.0), ("bad", 2.0), ("good", 3.0))
    assert [bool(calm.take("x", state, line(state), at)) for state, at in states] == [True, True, False, False]
    assert calm.next_due() == NEVER
    calm.take("x", "bad", line("bad"), 4.0)
    assert (calm.next_due(), calm.due(59.9)) == (60.0, [])
    assert calm.due(60.0) == [line("bad")]
    assert (calm.next_due(), calm.due(600.0)) == (NEVER, [])


def test_things_are_bounded_and_those_that_are_calm_go_first():
    calm = Calm()
    calm.take("restless", "bad", line(""), 100.0)
    for number in range(MOST - 1):
        calm.take(number, "bad", line(""), 0.0)
    calm.take("one more", "bad", line(""), 100.0)
    assert len(calm) == 2
    for number in range(2 * MOST):
        assert calm.take(number, "bad", line(""), 101.0)
    assert len(calm) == MOST


class Sending:
    """A node that was never started, whose sends fail as a test wants."""

    def __init__(self, monkeypatch, **parameters):
        self.now, self.bad, self.told = 0.0, {}, []
        self.discovery = Discovery(Parameters(**parameters), notify=self.told.append, clock=lambda: self.now)
        monkeypatch.setattr(self.discovery._links, "_send", lambda one, to, flags: self.bad.get(to))

    def send(self, link, *targets):
        self.discovery._carry_out(Outcome(sends=tuple(Send(b"HELLO|", link, target) for target in targets)))

    def lines(self):
        return [(notice.text, notice.fields["target"], notice.fields.get("error")) for notice in self.told]


def test_of_two_dead_seeds_each_is_named_once(monkeypatch):
    sending = Sending(monkeypatch, seeds=(*SEEDS, "192.0.2.3"))
    sending.bad = {SEEDS[0]: UNREACHABLE, SEEDS[1]: "ENETUNREACH: Network is unreachable"}
    for beat in range(1080):  # a quarter of an hour
        sending.now = beat * 0.8
        sending.send(None, *SEEDS, "192.0.2.3")
    assert sending.lines() == [("sending fails", seed, sending.bad[seed]) for seed in SEEDS]
    assert sending.discovery.status()["send_errors"] == [
        {"link": "-", "target": seed, "error": sending.bad[seed]} for seed in SEEDS
    ]
    sending.bad = {}
    sending.send(None, *SEEDS)
    assert sending.lines()[2:] == [("sending works again", seed, None) for seed in SEEDS]
    assert sending.discovery.status()["send_errors"] == []


def test_a_target_that_fails_every_other_time_gets_a_line_a_minute(monkeypatch):
    sending = Sending(monkeypatch)
    for beat in range(750):  # ten minutes
        sending.now = beat * 0.8
        sending.bad = {ETH0.broadcast: "ENETDOWN: Network is down"} if beat % 2 == 0 else {}
        sending.send(ETH0, ETH0.broadcast)
    assert len(sending.told) <= AT_ONCE + 10


def test_a_link_that_flaps_gets_a_line_a_minute(monkeypatch):
    sending = Sending(monkeypatch)
    for change in range(180):
        sending.now = change * 13 / 180
        there, gone = ((), (ETH0,)) if change % 2 else ((ETH0,), ())
        sending.discovery._report_links(gone, there)
    assert [notice.text for notice in sending.told if notice.text.startswith("link")] == ["link up", "link gone"]
