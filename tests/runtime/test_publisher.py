"""The subscriptions of a Discovery."""

import threading

import pytest

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.protocol.parameters import Limits
from tests.ear import Ear
from tests.runtime.waiting import WAIT, wait_for


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
