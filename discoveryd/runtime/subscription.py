"""Subscriptions: streams of events in order, without a gap, or with an error that says so; and their publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Condition
from typing import Any, Self

from discoveryd.errors import SubscriptionLagged
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.runtime.worker import Birthplace


class Subscription:
    """Events from the moment of subscribing on; iterate, or call `get`.

    Made by `Discovery.subscribe`. Safe to read in one thread while others publish.

    Attributes:
        peers: the peers at the moment of subscribing.
        seq: number of the last event before; the first one here has ``seq + 1``.
        is_over: whether the last event has come.
    """

    def __init__(
        self,
        peers: tuple[Peer, ...],
        seq: int,
        limit: int,
        closed: Callable[[Subscription], None],
        queue: SimpleQueue[Any] | None = None,
    ) -> None:
        self.peers = peers
        self.seq = seq
        self._limit = limit
        self._closed = closed
        self._queue: SimpleQueue[Event | None] = queue or SimpleQueue()
        self._birthplace = Birthplace("Subscription")
        self._has_lagged = False
        self.is_over = False

    def put(self, event: Event | None) -> bool:
        """Publish an event, None for the end. Never waits.

        Returns:
            whether it goes on; False after None, and past the limit, where the subscription has lagged.
        """
        if event is not None and self._queue.qsize() >= self._limit:
            self._has_lagged = True
            event = None
        self._queue.put(event)
        return event is not None

    def get(self, timeout: float | None = None) -> Event | None:
        """Wait for the next event.

        Args:
            timeout: seconds, None for as long as it takes.

        Returns:
            the event; None after `timeout`, or when the subscription was closed (see `is_over`).

        Raises:
            SubscriptionLagged: events were lost because this subscriber was too slow. Subscribe anew.
            RuntimeError: this is a forked child, to which nobody publishes.
        """
        self._birthplace.check()
        if self.is_over:
            return None
        try:
            event = self._queue.get(timeout=timeout) if timeout != 0 else self._queue.get_nowait()
        except Empty:
            return None
        if event is None:
            self.is_over = True
            self._closed(self)
            if self._has_lagged:
                raise SubscriptionLagged
        return event

    def close(self) -> None:
        """End the subscription; a thread that waits in `get` gets None."""
        if self._birthplace.is_elsewhere:
            return
        self._closed(self)
        self._queue.put(None)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.get, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Publisher:
    """Hands events to subscriptions. Every method is called with the lock held.

    Args:
        lock: guards the publisher; taken by the end of a subscription.
    """

    def __init__(self, lock: Condition) -> None:
        self._lock = lock
        self._subscriptions: list[Subscription] = []
        self._has_ended = False

    def subscribe(
        self, peers: tuple[Peer, ...], seq: int, limit: int, queue: SimpleQueue[Any] | None = None
    ) -> Subscription:
        """Return a subscription to the events from now on; after `end` it ends at once."""
        subscription = Subscription(peers, seq, limit, self._remove, queue)
        if self._has_ended:
            subscription.put(None)
        else:
            self._subscriptions.append(subscription)
        return subscription

    def _remove(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def publish(self, events: Iterable[Event]) -> None:
        """Put events into the queue of each subscription; one that lags is told so, and gets no more."""
        for event in events:
            self._subscriptions = [one for one in self._subscriptions if one.put(event)]

    def end(self) -> None:
        """End every subscription."""
        self._has_ended = True
        for subscription in self._subscriptions:
            subscription.put(None)
        self._subscriptions.clear()
