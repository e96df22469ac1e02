"""Notices of links and of sending, in virtual time."""

import pytest

from discoveryd.net.transport import SendChange
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import NOTHING, Drop, Outcome
from discoveryd.runtime.notices import AT_ONCE, GAP, MOST, NEVER, Notice, NoticeDamper, Reporter

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
DOWN = "ENETDOWN: Network is down"


class Reports:
    """A reporter with a clock that the test moves, and what it told."""

    def __init__(self):
        self.now, self.told, self.wakes = 0.0, [], 0
        self.reporter = Reporter(self.told.append, lambda: self.now, self.wake)

    def wake(self):
        self.wakes += 1

    def sending(self, link, target, error):
        self.reporter.outcome(NOTHING, [SendChange(link, target, error)])

    def links(self, before, now, error=None, *, is_silent=False):
        self.reporter.links(before, now, error, ("eth*",), is_silent=is_silent)

    @property
    def texts(self):
        return [notice.text for notice in self.told]


@pytest.fixture
def reports():
    return Reports()


def test_each_of_two_dead_seeds_is_named_once(reports):
    for seed in ("192.0.2.1", "192.0.2.2"):
        reports.sending("-", seed, DOWN)
        reports.sending("-", seed, None)
    assert [(notice.text, notice.fields["target"]) for notice in reports.told] == [
        ("sending fails", "192.0.2.1"), ("sending works again", "192.0.2.1"),
        ("sending fails", "192.0.2.2"), ("sending works again", "192.0.2.2"),
    ]  # fmt: skip
    assert reports.told[0].fields["error"] == DOWN


def test_a_target_that_fails_on_and_off_gets_a_line_a_minute(reports):
    for beat in range(750):  # ten minutes
        reports.now = beat * 0.8
        reports.sending("eth0", ETH0.broadcast, DOWN if beat % 2 == 0 else None)
    assert len(reports.told) <= AT_ONCE + 10
    assert reports.wakes == 750 - len(reports.told), "the sender hears of each line that was held back"


def test_a_link_that_flaps_gets_a_line_a_minute(reports):
    for change in range(180):
        reports.now = change * 13 / 180
        reports.links(*(((ETH0,), ()) if change % 2 else ((), (ETH0,))))
    assert [text for text in reports.texts if text.startswith("link")] == ["link up", "link gone"]


def test_a_held_notice_is_due_after_its_minute(reports):
    for error in (DOWN, None, DOWN):
        reports.sending("eth0", ETH0.broadcast, error)
    assert (len(reports.told), reports.reporter.damper.next_due(), reports.reporter.damper.due(59.9)) == (2, 60.0, [])
    assert [notice.text for notice in reports.reporter.damper.due(60.0)] == ["sending fails"]


def test_the_links_of_the_start_do_not_count_as_changes(reports):
    reports.links(None, [ETH0])
    reports.links([ETH0], ())
    reports.links((), [ETH0])
    assert reports.texts == ["link up", "link gone", "no usable link: waiting for one", "link up"]


def test_a_start_without_links_is_told(reports):
    reports.links(None, (), is_silent=True)
    assert (reports.texts, reports.told[0].fields) == (["no usable link: waiting for one"], {"interfaces": "eth*"})


def test_a_failing_scan_is_told_once_whatever_the_reason(reports):
    for error in ("EMFILE: Too many open files", "ENOMEM: Cannot allocate memory", None, None):
        reports.links([ETH0], [ETH0], error)
    assert reports.texts == ["interfaces cannot be read: the links stay as they are", "interfaces can be read again"]


def test_drops_and_another_node_with_our_boot_are_told(reports):
    drop = Drop(reason="malformed", detail="no field", address="10.0.0.9", link="eth0")
    reports.reporter.outcome(Outcome(drops=(drop,), double="10.0.0.8"), ())
    assert reports.texts == ["datagrams dropped", "another node had our boot: a new one was drawn"]


# --- the damper --------------------------------------------------------------------------------------


def line(text):
    return Notice(level="info", text=text)


def test_a_change_and_its_end_are_told_at_once_then_one_a_minute():
    damper = NoticeDamper()
    told = []
    for second in range(600):
        told += [second for _ in damper.due(second)]
        told += [second] * damper.take("x", str(second % 2), line("changed"), second)
    assert told[:4] == [0, 1, 60, 120]
    assert len(told) == AT_ONCE + 600 // GAP - 1


def test_a_held_notice_tells_the_last_state_or_nothing():
    damper = NoticeDamper()
    states = (("bad", 0.0), ("good", 1.0), ("bad", 2.0), ("good", 3.0))
    assert [damper.take("x", state, line(state), at) for state, at in states] == [True, True, False, False]
    assert damper.next_due() == NEVER
    damper.take("x", "bad", line("bad"), 4.0)
    assert (damper.next_due(), damper.due(59.9)) == (60.0, [])
    assert damper.due(60.0) == [line("bad")]
    assert (damper.next_due(), damper.due(600.0)) == (NEVER, [])


def test_things_are_bounded_and_the_calm_are_forgotten_first():
    damper = NoticeDamper()
    damper.take("restless", "bad", line(""), 100.0)
    for number in range(MOST - 1):
        damper.take(number, "bad", line(""), 0.0)
    damper.take("one more", "bad", line(""), 100.0)
    assert len(damper) == 2
    for number in range(2 * MOST):
        assert damper.take(number, "bad", line(""), 101.0)
    assert len(damper) == MOST
