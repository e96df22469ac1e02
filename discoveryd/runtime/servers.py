"""The servers of a Discovery: the query socket with its thread, and the metrics over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Protocol, cast

from discoveryd.net.query_server import RETRY, QueryServer
from discoveryd.net.systemd import Listener
from discoveryd.protocol.parameters import Limits
from discoveryd.query.status import MetricsStatus, QueryStatus
from discoveryd.runtime.notices import Notify, info, warning
from discoveryd.runtime.query_handlers import QueryHandlers
from discoveryd.runtime.worker import Failed, Worker

PAGE = "discoveryd.web.embedded"
"""The room above this floor that knows HTTP. It is named here and not imported: only a program that asks for `metrics`
loads it. A daemon has it as a part of its own."""


class Page(Protocol):
    """Serves the metrics over HTTP; where it cannot listen it says so, and tries again."""

    address: tuple[str, int]
    """Where it listens, or will."""

    def start(self) -> None:
        """Listen, now or as soon as that is possible; OSError where no thread can be had."""

    def stop(self) -> None:
        """End. Safe to call again, and before `start`."""

    def abandon(self) -> None:
        """Close what a forked child has of it."""

    def status(self) -> dict[str, Any]:
        """Return what ``status`` shows of it, and more."""


class Servers:
    """The query socket and the metrics, each only where an address is given. Nothing is open before `open`.

    Args:
        query: where to open the query socket.
        metrics: where to serve the metrics over HTTP.
        handlers: answer the requests of both.
        limits: of the query socket.
        listener: a socket that listens at `query` already.
        is_patient: whether a query port that is taken is no error of `open`.
        clock: seconds.
        notify: told why a server does not listen, and when it does.
        failed: told the exception that ended a thread.
    """

    def __init__(
        self,
        query: tuple[str, int] | None,
        metrics: tuple[str, int] | None,
        handlers: QueryHandlers,
        limits: Limits,
        listener: Listener | None,
        *,
        is_patient: bool,
        clock: Callable[[], float],
        notify: Notify,
        failed: Failed,
    ) -> None:
        self.query: QueryServer | None = None
        self.metrics: Page | None = None
        self.watched: list[Worker] = []  # by the watchdog
        self._handlers = handlers
        self._clock = clock
        if query is not None:
            remedy = f"query.listen: it is tried again each {RETRY:g} s"
            self._tell = _teller(notify, query, "the query socket listens", "the query socket does not listen", remedy)
            tell = self._tell if is_patient else None
            self.query = server = QueryServer(query, handlers, limits, listener, tell)
            self._worker = worker = Worker("query-server", lambda: server.run(clock, worker.beat), failed)
            self.watched.append(worker)
        if metrics is not None:
            works, fails = "the metrics are served over HTTP", "the metrics are not served over HTTP"
            told = _teller(notify, metrics, works, fails, "another address: it is tried again each 10 s")
            made = import_module(PAGE).MetricsPage(metrics, handlers, told=told, notify=notify, failed=failed)
            self.metrics = cast("Page", made)

    def open(self, stack: ExitStack) -> None:
        """Listen until `stack` closes.

        Raises:
            OSError: a port is taken or may not be opened.
        """
        if self.metrics is not None:
            stack.callback(self.metrics.abandon)
        if self.query is not None:
            stack.callback(self.query.close)
            self.query.open()
            self._handlers.subscribe()

    def start(self) -> None:
        """Start the threads.

        Raises:
            OSError: EAGAIN; the system allows no further thread.
        """
        if self.query is not None:
            self._worker.start()
        if self.metrics is not None:
            self.metrics.start()

    def tell_errors(self) -> None:
        """Tell why the query socket does not listen."""
        if self.query is not None and self.query.error:
            self._tell(self.query.error)

    def stop(self, timeout: float) -> list[str]:
        """End the threads; return the names of those that did not end within `timeout` seconds each."""
        if self.metrics is not None:
            self.metrics.stop()
        if self.query is None:
            return []
        self.query.stop()
        return [] if self._worker.join(timeout) else [self._worker.name]

    def set_limits(self, limits: Limits) -> None:
        """Change the limits of the query socket."""
        if self.query is not None:
            self.query.limits = limits

    def wake(self) -> None:
        """Have events, and late replies, read."""
        if self.query is not None:
            self.query.wake()
        for wake in [*self._handlers.wakes]:
            wake()

    def sections(self) -> tuple[QueryStatus, MetricsStatus]:
        """Return the sections of ``status``."""
        query: QueryStatus = {
            "connections": 0, "limit": 0, "watchers": 0, "refused": 0, "denied": 0, "error": None, "next_try_s": None,
            "registrations": self._handlers.registrations,
        }  # fmt: skip
        metrics: MetricsStatus = {"requests": 0, "refused": 0, "error": None, "next_try_s": None}
        if self.query is not None:
            query = cast("QueryStatus", {**query, **self.query.counts(), **self.query.trouble(self._clock())})
        if self.metrics is not None:
            found = self.metrics.status()
            metrics = cast("MetricsStatus", {key: found[key] for key in metrics})
        return query, metrics


def _teller(notify: Notify, where: tuple[str, int], works: str, fails: str, remedy: str) -> Callable[[str], None]:
    """Return a function that tells why a server does not listen; with an empty text, that it does."""
    listens = info(works, listen=f"{where[0]}:{where[1]}")
    return lambda error: notify(warning(fails, why=f"{error}; stop that, or set {remedy}") if error else listens)
