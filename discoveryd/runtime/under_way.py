"""What people and programs asked for that takes a while: pings of peers, and inquiries about them."""

from collections.abc import Callable

from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Outcome
from discoveryd.runtime.inquiries import Inquiries
from discoveryd.runtime.pings import Pings


class UnderWay:
    """The requests under way. Not thread-safe: its owner's lock guards it."""

    def __init__(self) -> None:
        self.pings = Pings()
        self.inquiries = Inquiries()

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min(self.pings.next_deadline(), self.inquiries.next_deadline())

    def collect(self, outcome: Outcome) -> None:
        """Hand each answer to the request that waits for it."""
        self.pings.collect(outcome.answers)
        self.inquiries.collect(outcome.said)

    def poll(self, node: Node, now: float) -> tuple[list[Outcome], list[Callable[[], None]]]:
        """Return what to send now, and calls that report the finished requests, to be made without the lock."""
        sends, reports = self.pings.poll(node, now)
        asked, answered = self.inquiries.poll(node, now)
        return sends + asked, reports + answered
