"""Datagrams of messages leave in the order in which they are due, within a budget."""

import pytest

from discoveryd.protocol.messages.pacer import MAX_WAITING, Pacer
from discoveryd.protocol.outcome import Send
from tests.simulation.talkers import most_in_a_second


def one(text=b"x"):
    return lambda now: (Send(text, None, "10.0.0.9"),)


def drain(pacer, until, now=0.0):
    """Poll whenever something is due; return the moments of what was sent."""
    moments = []
    while now < until:
        moments += [now] * len(pacer.poll(now))
        assert pacer.next_due() > now
        now = pacer.next_due()
    return moments


@pytest.mark.parametrize("budget", [10, 50, 500])
def test_no_second_has_more_than_the_budget(budget):
    pacer = Pacer(budget)
    for _ in range(4 * budget):
        assert pacer.add(0.0, one())
    moments = drain(pacer, 10.0)
    assert 0.8 * budget < most_in_a_second(moments) <= budget
    assert len(moments) == 4 * budget


def test_a_pause_saves_up_no_more_than_a_tenth():
    pacer = Pacer(100)
    pacer.poll(0.0)
    for _ in range(50):
        pacer.add(1000.0, one())
    assert len(pacer.poll(1000.0)) == 10


def test_what_is_due_first_leaves_first():
    pacer = Pacer(500)
    for due, text in ((0.3, b"c"), (0.1, b"a"), (0.1, b"b")):
        pacer.add(due, one(text))
    assert pacer.next_due() == 0.1
    assert pacer.poll(0.05) == []
    assert [send.datagram for send in pacer.poll(0.2)] == [b"a", b"b"]
    assert [send.datagram for send in pacer.poll(0.3)] == [b"c"]
    assert pacer.next_due() == float("inf")


def test_what_is_not_needed_any_more_costs_nothing():
    pacer = Pacer(10)
    for _ in range(100):
        pacer.add(0.0, lambda now: ())
    pacer.add(0.0, one())
    assert len(pacer.poll(0.0)) == 1
    assert len(pacer) == 0


def test_datagrams_that_wait_are_bounded():
    pacer = Pacer(500)
    assert all(pacer.add(1.0, one()) for _ in range(MAX_WAITING))
    assert not pacer.add(0.0, one())
    assert len(pacer) == MAX_WAITING
