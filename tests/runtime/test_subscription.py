"""A stream of events: in order, without a gap, or with an error that says so."""

import threading
from queue import SimpleQueue

import pytest

from discoveryd.errors import SubscriptionLagged
from discoveryd.runtime.subscription import Subscription


def subscription(limit=3, queue=None):
    ended = []
    return Subscription((), 0, limit, ended.append, queue), ended


def test_events_come_in_order_and_then_nothing():
    events, _ = subscription()
    assert [events.put(number) for number in (1, 2, 3)] == [True, True, True]
    assert [events.get(timeout=0) for _ in range(4)] == [1, 2, 3, None]
    assert not events.is_over  # only nothing yet


def test_who_falls_behind_gets_what_there_was_and_then_the_error():
    events, ended = subscription(limit=2)
    assert [events.put(number) for number in (1, 2, 3)] == [True, True, False]
    assert [events.get(), events.get()] == [1, 2]
    with pytest.raises(SubscriptionLagged, match="subscribe again"):
        events.get()
    assert (events.is_over, ended) == (True, [events])
    assert events.get() is None  # told once


def test_iterating_ends_with_the_subscription():
    events, _ = subscription()
    events.put(1)
    events.put(2)
    events.put(None)
    assert list(events) == [1, 2]
    assert list(events) == []


def test_close_in_another_thread_wakes_the_reader():
    events, ended = subscription()
    got = []
    reader = threading.Thread(target=lambda: got.append(events.get()))
    reader.start()
    events.close()
    reader.join(5.0)
    assert got == [None]
    assert events.is_over
    assert events in ended


def test_leaving_the_with_block_closes():
    events, ended = subscription()
    with events:
        events.put(1)
    assert ended == [events]
    assert list(events) == [1]  # what was queued may still be read


def test_the_limit_counts_what_waits_not_what_was():
    events, _ = subscription(limit=2)
    for number in range(100):
        assert events.put(number)
        assert events.get(timeout=0) == number


def test_a_queue_of_the_subscriber_gets_everything_and_is_told_of_the_lag():
    inbox = SimpleQueue()
    events, _ = subscription(limit=2, queue=inbox)
    inbox.put("signal")
    events.put(1)
    assert events.put(2) is False
    assert [inbox.get_nowait() for _ in range(3)] == ["signal", 1, None]
