"""What a Discovery tells of itself: its status with the findings, a doctor's report, one line for a service manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.net.interfaces import rp_filter_drops
from discoveryd.query.reply import show_answer
from discoveryd.query.seed_status import SeedState
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.servers import Servers
from discoveryd.runtime.status import make_status, summary


class Examiner:
    """Examines a node; for any thread.

    Args:
        driver: with the engine and the transports.
        servers: the query socket and the metrics.
        seed_states: returns what is known of the names of seeds.

    Attributes:
        sections: further ones of the status, each with a function that returns it, in any thread, without the lock.
    """

    def __init__(
        self, driver: Driver, servers: Servers, seed_states: Callable[[], Mapping[str, SeedState]]
    ) -> None:
        self._driver = driver
        self._servers = servers
        self._seed_states = seed_states
        self._filtered_before = 0
        self._first_seen: dict[tuple[str, str], float] = {}  # by code and subject; replaced, never changed
        self.sections: dict[str, Callable[[], Any]] = {}

    def begin(self) -> None:
        """Count from now on what the kernel counts for all programs."""
        self._filtered_before = rp_filter_drops()

    def status(self, uptime: float) -> dict[str, Any]:
        """Return the status with all sections and the findings.

        Args:
            uptime: seconds since the start.

        Raises:
            RuntimeError: a thread has died.
        """
        from discoveryd.query.findings import findings  # noqa: PLC0415 - nobody asks before the first HELLO

        states, servers = self._seed_states(), self._servers.sections()
        status = make_status(self._driver, uptime, self._filtered_before, states, servers)
        found = {**status, **{name: give() for name, give in list(self.sections.items())}}
        told, now, former = [finding.to_json() for finding in findings(found)], monotonic(), self._first_seen
        self._first_seen = {_key(one): former.get(_key(one), now) for one in told}
        return {**found, "findings": [self._dated(one) for one in told]}

    def doctor(self, status: dict[str, Any], peer: str) -> dict[str, Any]:
        """Return the report about this node, or about a peer.

        Raises:
            QueryError: ``ambiguous``.
        """
        from discoveryd.query.doctor import report  # noqa: PLC0415 - as above

        try:
            found = self._driver.look(lambda node, now: show_answer(node, peer, now))["peers"] if peer else []
        except QueryError as error:
            if error.code != "not_found":
                raise
            found = []
        told = report(status, peer, found)
        return {**told, "findings": [self._dated(one) for one in told["findings"]]}

    def _dated(self, finding: dict[str, Any]) -> dict[str, Any]:
        """Return a finding with the seconds since it was first seen, None where it was never seen in a status."""
        first_seen = self._first_seen.get(_key(finding))
        return finding if first_seen is None else {**finding, "since_s": round(monotonic() - first_seen, 1)}

    def receive_buffer(self) -> dict[str, int]:
        """Return the bytes of each receive buffer, and the bytes that were wanted."""
        buffer = self._driver.network.receive_buffer()
        return {"bytes": buffer["bytes"], "wanted": buffer["wanted"]}

    def summary(self) -> str:
        """Return one line such as ``12 up, 1 suspect, 2 links``."""
        return summary(self._driver, self._servers.query)


def _key(finding: Mapping[str, Any]) -> tuple[str, str]:
    return finding["code"], finding["subject"]
