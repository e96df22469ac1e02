"""A stream of events: in order, without a gap, or with an error that says so."""

import threading
from queue import SimpleQueue

import pytest

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.protocol.parameters import Limits
from discoveryd.runtime.subscription import Subscription
from tests.ear import Ear
from tests.runtime.waiting import WAIT, wait_for


def subscription(limit=3, queue=None):
    ended = []
    return Subscription((), 0, limit, ended.append, queue), ended


def test_events_come_in_order_and_then_nothing():
    events, _ = subscription()
    assert [events.put(number) for number in (1, 2, 3)] == [True, True, True]
    assert [events.get(timeout=0) for _ in range(4)] == [1, 2, 3, None]
    assert not events.is_over  # only nothing yet


def test_a_subscriber_that_lags_gets_events_then_an_error():
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


def test_a_queue_of_the_subscriber_gets_events_and_the_lag():
    inbox = SimpleQueue()
    events, _ = subscription(limit=2, queue=inbox)
    inbox.put("signal")
    events.put(1)
    assert events.put(2) is False
    assert [inbox.get_nowait() for _ in range(3)] == ["signal", 1, None]


# --- of a Discovery ------------------------------------------------------------------------------------


def test_snapshot_and_events_fit_together(make):
    anna = make("anna")
    anna.start()
    early = anna.subscribe()
    others = [make(f"peer{number}") for number in range(5)]
    subscriptions = []
    for other in others:
        other.start()
        subscriptions.append(anna.subscribe())
    joined = set()
    while len(joined) < 5:
        joined.add(wait_for(early, "joined").peer.name)
    for other in others:
        other.stop()
    end = anna.subscribe()
    for subscription in [*subscriptions, anna.subscribe()]:
        events = []
        while subscription.seq + len(events) < end.seq:
            event = subscription.get(timeout=WAIT)
            assert event is not None
            events.append(event)
        assert [event.seq for event in events] == list(range(subscription.seq + 1, end.seq + 1))
        table = {peer.boot for peer in subscription.peers}
        for event in events:
            (table.discard if event.peer.state == "left" else table.add)(event.peer.boot)
        assert table == set()


def test_a_subscriber_that_lags_is_told_and_subscribes_anew(make, port):
    anna = make("anna", limits=Limits(subscriber_events=1))
    slow = anna.subscribe()
    with Ear(port) as ear:
        anna.start()
        for number in range(3):
            make(f"peer{number}").start()
        ear.until(lambda: len(anna.peers()) == 3)
    assert slow.get(timeout=WAIT).kind == "joined"
    with pytest.raises(SubscriptionLagged):
        slow.get(timeout=WAIT)
    assert slow.is_over
    assert len(anna.subscribe().peers) == 3


def test_stop_ends_every_subscription_also_before_start(make):
    anna, never = make("anna"), make("never")
    waiting = [anna.subscribe(), never.subscribe()]
    got = []
    readers = [threading.Thread(target=lambda one=one: got.append(list(one))) for one in waiting]
    for reader in readers:
        reader.start()
    anna.start()
    anna.stop()
    never.stop()
    for reader in readers:
        reader.join(WAIT)
        assert not reader.is_alive()
    assert list(anna.subscribe()) == []  # and one made too late has none to come
    with pytest.raises(QueryError, match="goodbye"):
        anna.ping("bert")


def test_closing_a_subscription_wakes_its_reader(make):
    anna = make("anna")
    anna.start()
    subscription = anna.subscribe()
    got = []
    reader = threading.Thread(target=lambda: got.append(subscription.get()))
    reader.start()
    subscription.close()
    reader.join(WAIT)
    assert got == [None]
    subscription.close()
