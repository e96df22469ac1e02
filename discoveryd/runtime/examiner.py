"""What a Discovery tells of itself and its peers: status with findings, a doctor's report, pings, a line of summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.errors import QueryError
from discoveryd.net.interfaces import rp_filter_drops
from discoveryd.protocol.inquiries import PER_SOURCE
from discoveryd.query.reply import show_answer
from discoveryd.query.seed_status import SeedState
from discoveryd.runtime.driver import JOIN_TIMEOUT, Driver
from discoveryd.runtime.inquiries import PATIENCE, Question, may_be_asked, questions_about
from discoveryd.runtime.pings import PingResult
from discoveryd.runtime.servers import Servers
from discoveryd.runtime.status import make_status, summary

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node

Ender = Callable[[], None]
"""Ends a request early, without a result; to be called at any time, in any thread."""


class Examiner:
    """Examines a node; for any thread.

    Args:
        driver: with the engine and the transports.
        servers: the query socket and the metrics.
        seed_states: returns what is known of the names of seeds.
        clock: seconds.

    Attributes:
        sections: further ones of the status, each with a function that returns it, in any thread, without the lock.
    """

    def __init__(
        self, driver: Driver, servers: Servers, seed_states: Callable[[], Mapping[str, SeedState]],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._clock, self._started_at = clock, 0.0
        self._driver = driver
        self._servers = servers
        self._seed_states = seed_states
        self._filtered_before = 0
        self._first_seen: dict[tuple[str, str], float] = {}  # by code and subject; replaced, never changed
        self.sections: dict[str, Callable[[], Any]] = {}

    def begin(self) -> None:
        """Count from now on: the time, and what the kernel counts for all programs."""
        self._started_at = self._clock()
        self._filtered_before = rp_filter_drops()

    def uptime(self) -> float:
        """Return the seconds since `begin`."""
        return self._clock() - self._started_at

    def status(self) -> dict[str, Any]:
        """Return the status with all sections and the findings.

        Raises:
            RuntimeError: a thread has died.
        """
        from discoveryd.query.findings import findings  # noqa: PLC0415 - nobody asks before the first HELLO

        states, servers = self._seed_states(), self._servers.sections()
        status = make_status(self._driver, self.uptime(), self._filtered_before, states, servers)
        found = {**status, **{name: give() for name, give in list(self.sections.items())}}
        told, now, former = [finding.to_json() for finding in findings(found)], monotonic(), self._first_seen
        self._first_seen = {_key(one): former.get(_key(one), now) for one in told}
        return {**found, "findings": [self._dated(one) for one in told]}

    def doctor(self, peer: str = "", *, is_entitled: bool = True) -> dict[str, Any]:
        """Return the report about this node, or about a peer, which is asked, and others about it; as `begin_doctor`.

        Raises:
            QueryError: ``busy``.
        """
        asked: SimpleQueue[Sequence[Question]] = SimpleQueue()
        if not peer:
            return self.report("", ())
        self.begin_inquiry(peer, is_entitled=is_entitled, done=asked.put)
        try:
            return self.report(peer, asked.get(timeout=PATIENCE + JOIN_TIMEOUT))
        except Empty:
            raise QueryError("stopping", "discovery stopped before the answer") from None

    def begin_inquiry(self, peer: str, *, is_entitled: bool, done: Callable[[Sequence[Question]], None]) -> Ender:
        """Ask a peer, and others about it where it is missing; `done` is called once with all, for `report`.

        Args:
            peer: its name, id (or the first digits), address or boot.
            is_entitled: whether it may be asked though it is not listed, or beyond our links.
            done: called in one of the threads, without the lock.

        Raises:
            QueryError: ``busy``.
        """
        inquiries = self._driver.under_way.inquiries

        def begin(node: Node, now: float) -> Ender:
            questions = questions_about(node, peer, now, is_entitled=is_entitled)
            inquiry = inquiries.begin(questions, patience=PATIENCE, done=done, now=now)
            return partial(inquiries.cancel, inquiry)

        end = self._driver.change(begin, goes_on=True)
        return partial(self._driver.change, lambda *_: end())

    def begin_ping(self, peer: str, *, count: int, timeout: float, done: Callable[[PingResult], None]) -> Ender:
        """Ping a peer as `Discovery.ping` does; `done` is called once, in one of the threads, without the lock."""
        pings = self._driver.under_way.pings
        begin = partial(pings.begin, peer=peer, count=count, timeout=timeout, done=done)
        pinging = self._driver.change(lambda node, now: begin(node, now=now), goes_on=True)
        return partial(self._driver.change, lambda *_: pings.cancel(pinging))

    def is_unlisted(self, address: str) -> bool:
        """Return whether this is the address of no peer, and not of this node."""
        return self._driver.look(lambda node, now: may_be_asked(node, address) and not node.table.find(address, now))

    def begin_asking(
        self, address: str, *, count: int, timeout: float, done: Callable[[Sequence[Question]], None]
    ) -> Ender:
        """Ask an address that is not listed, once a second after the first ones; `done` as in `begin_inquiry`.

        Raises:
            QueryError: ``busy``.
        """
        inquiries, question = self._driver.under_way.inquiries, Question(address, left=count, wanted=count)
        patience = count / PER_SOURCE + timeout
        inquiry = self._driver.change(
            lambda _, now: inquiries.begin([question], patience=patience, done=done, now=now), goes_on=True
        )
        return partial(self._driver.change, lambda *_: inquiries.cancel(inquiry))

    def report(self, peer: str, asked: Sequence[Question]) -> dict[str, Any]:
        """Return the report about this node, or about a peer with what was asked about it."""
        from discoveryd.query.doctor import report  # noqa: PLC0415 - as above

        answers = self._driver.look(lambda _, now: [one.to_json(now) for one in asked])
        try:
            found = self._driver.look(lambda node, now: show_answer(node, peer, now))["peers"] if peer else []
        except QueryError as error:
            if error.code != "not_found":
                raise
            found = []
        told = report(self.status(), peer, found, answers)
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
