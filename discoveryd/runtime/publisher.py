"""The subscriptions of one Discovery, all of which get each event."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.protocol.table.events import Event
from discoveryd.runtime.subscription import Subscription


class Publisher:
    """Hands events to subscriptions. Not thread-safe: the lock of the driver guards it."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._has_ended = False

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription in self._subscriptions

    def add(self, subscription: Subscription) -> None:
        """Let a subscription have the events from now on; after `end` it ends at once."""
        if self._has_ended:
            subscription.put(None)
        else:
            self._subscriptions.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Take a subscription out, if it is still there."""
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
