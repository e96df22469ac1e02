"""The last will of a Discovery: written anew when it changes, and left to the witness of each transport."""

from __future__ import annotations

from discoveryd.net.witness import ROUNDS
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.runtime.driver import Driver


class LastWill:
    """Keeps the will that the witnesses hold true.

    Args:
        driver: of the node.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._state: object = None

    def renew(self) -> float:
        """Leave another will if it has changed; return the seconds until it must be looked at again.

        For the sender, which comes round when links, keys or the boot change.
        """
        rounds = self._driver.change(self._changed)
        if rounds is not None:
            self._driver.network.leave_will(rounds)
        return NEVER

    def _changed(self, node: Node, _: float) -> list[tuple[Send, ...]] | None:
        """Return the rounds of the will, each sealed for itself; None if it is as before."""
        is_wanted = node.parameters.last_will
        state = node.will_state() if is_wanted else ()
        if state == self._state:
            return None
        self._state = state
        return [node.will() for _ in range(ROUNDS)] if is_wanted else []
