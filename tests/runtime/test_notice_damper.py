"""Damping of notices that recur, in virtual time."""

from discoveryd.runtime.notice_damper import AT_ONCE, GAP, MOST, NEVER, NoticeDamper
from discoveryd.runtime.notices import Notice


def line(text):
    return Notice(level="info", text=text)


def test_a_change_and_its_end_are_told_at_once_then_one_a_minute():
    damper = NoticeDamper()
    told = []
    for second in range(600):
        told += [second for _ in damper.due(second)]
        told += [second for _ in damper.take("x", str(second % 2), line("changed"), second)]
    assert told[:4] == [0, 1, 60, 120]
    assert len(told) == AT_ONCE + 600 // GAP - 1


def test_a_held_notice_tells_the_last_state_or_nothing():
    damper = NoticeDamper()
    states = (("bad", 0.0), ("good", 1.0), ("bad", 2.0), ("good", 3.0))
    assert [bool(damper.take("x", state, line(state), at)) for state, at in states] == [True, True, False, False]
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
