"""The last that others hear of a node: its goodbyes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.wire.messages import GoodbyeReason
    from discoveryd.runtime.network import Network

GOODBYES = 3
GOODBYE_GAP = 0.03
"""The goodbye is sent three times within 60 ms, in case one is lost."""


def say_goodbyes(node: Node, network: Network, lock: threading.Condition, reason: GoodbyeReason) -> None:
    """Send all goodbyes; no HELLO may follow, so the sender has to have ended."""
    pause = threading.Event()
    for number in range(GOODBYES):
        pause.wait(GOODBYE_GAP if number else 0)
        say_goodbye(node, network, lock, reason)


def say_goodbye(node: Node, network: Network, lock: threading.Condition, reason: GoodbyeReason) -> None:
    """Send one goodbye, unless a thread that hangs holds the lock of the node."""
    if lock.acquire(True, GOODBYE_GAP):  # that thread may be sealing
        try:
            outcome = node.goodbye(reason)
        finally:
            lock.release()
        network.send(outcome.sends)
