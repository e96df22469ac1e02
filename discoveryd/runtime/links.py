"""Hands the links that a scan found to the node, and tells what of them changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition

from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.runtime.network import Network
from discoveryd.runtime.notices import Reporter, warning
from discoveryd.runtime.receiver import PERIOD_UNTOLD


class LinkKeeper:
    """Keeps the links of a node those that its transports found.

    Args:
        node: the engine.
        network: the transports.
        lock: guards the node.
        clock: seconds.
        reporter: told what changed.
    """

    def __init__(
        self, node: Node, network: Network, lock: Condition, clock: Callable[[], float], reporter: Reporter
    ) -> None:
        self._node = node
        self._network = network
        self._lock = lock
        self._clock = clock
        self._reporter = reporter

    def take(self) -> Sequence[Link]:
        """Take over what a scan found; return the links before."""
        network = self._network
        with self._lock:
            before, links = self._node.links, network.links
            self._node.set_links(links, self._clock(), links, network.elsewhere, network.internal)
            self._lock.notify_all()
        return before

    def report(self, before: Sequence[Link] | None) -> None:
        """Tell how the links differ from those before; None at the start."""
        node, network, names = self._node, self._network, [found.name for found in self._network.unlinked]
        links, error, patterns = tuple(network.links), network.scan_error, node.parameters.interfaces
        self._reporter.links(before, links, error, patterns, is_silent=node.seq == 0, unlinked=names)

    def report_start(self) -> None:
        """Tell the links of the start, and what is missing."""
        self.report(None)
        if not all(receiver.transport.has_doorbell for receiver in self._network.receivers):
            self._reporter.tell(warning("no netlink: interfaces are looked at by time alone", every_s=PERIOD_UNTOLD))
