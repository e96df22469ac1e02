"""The servers of a Discovery with their threads: the query socket and the metrics page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from discoveryd.net.query_server import RETRY, QueryServer
from discoveryd.net.systemd import Listener
from discoveryd.protocol.parameters import Limits
from discoveryd.query.status import MetricsStatus, QueryStatus
from discoveryd.runtime.notices import Notify, info, warning
from discoveryd.runtime.query_handlers import QueryHandlers
from discoveryd.runtime.worker import Failed, Worker

if TYPE_CHECKING:
    from discoveryd.net.metrics_server import MetricsServer


class Servers:
    """The query socket and the metrics page, each only where an address is given. Nothing is open before `open`.

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
        self.metrics: MetricsServer | None = None
        self.watched: list[Worker] = []  # by the watchdog
        self._handlers = handlers
        self._clock = clock
        self._running: list[tuple[QueryServer | MetricsServer, Worker, Callable[[str], None]]] = []
        if query is not None:
            remedy = f"query.listen: it is tried again each {RETRY:g} s"
            tell = _teller(notify, query, "the query socket listens", "the query socket does not listen", remedy)
            self.query = server = QueryServer(query, handlers, limits, listener, tell if is_patient else None)
            worker = Worker("query-server", lambda: server.run(clock, worker.beat), failed)
            self._running.append((server, worker, tell))
            self.watched.append(worker)
        if metrics is not None:
            from discoveryd.net import metrics_server  # noqa: PLC0415 - most daemons have none

            remedy = f"metrics.listen: it is tried again each {metrics_server.RETRY:g} s"
            works, fails = "the metrics are served over HTTP", "the metrics are not served over HTTP"
            tell = _teller(notify, metrics, works, fails, remedy)
            self.metrics = page = metrics_server.MetricsServer(metrics, handlers.page, tell)
            self._running.append((page, Worker("metrics-server", lambda: page.run(clock), failed), tell))

    def open(self, stack: ExitStack) -> None:
        """Listen until `stack` closes.

        Raises:
            OSError: a port is taken or may not be opened.
        """
        for server, _, _ in self._running:
            stack.callback(server.close)
            server.open()
        if self.query is not None:
            self._handlers.subscribe()

    def start(self) -> None:
        """Start the threads.

        Raises:
            OSError: EAGAIN; the system allows no further thread.
        """
        for _, worker, _ in self._running:
            worker.start()

    def tell_errors(self) -> None:
        """Tell why a server does not listen."""
        for server, _, tell in self._running:
            if server.error:
                tell(server.error)

    def stop(self, timeout: float) -> list[str]:
        """End the threads; return the names of those that did not end within `timeout` seconds each."""
        stuck = []
        for server, worker, _ in self._running:
            server.stop()
            stuck += [] if worker.join(timeout) else [worker.name]
        return stuck

    def set_limits(self, limits: Limits) -> None:
        """Change the limits of the query socket."""
        if self.query is not None:
            self.query.limits = limits

    def wake(self) -> None:
        """Make the query server read events and late replies."""
        if self.query is not None:
            self.query.wake()

    def sections(self) -> tuple[QueryStatus, MetricsStatus]:
        """Return the sections of ``status``."""
        query: QueryStatus = {
            "connections": 0, "limit": 0, "watchers": 0, "refused": 0, "denied": 0, "error": None, "next_try_s": None,
            "registrations": self._handlers.registrations,
        }  # fmt: skip
        metrics: MetricsStatus = {"requests": 0, "refused": 0, "error": None, "next_try_s": None}
        now = self._clock()
        if self.query is not None:
            query = cast("QueryStatus", {**query, **self.query.counts(), **self.query.trouble(now)})
        if self.metrics is not None:
            metrics = cast("MetricsStatus", {**self.metrics.counts(), **self.metrics.trouble(now)})
        return query, metrics


def _teller(notify: Notify, where: tuple[str, int], works: str, fails: str, remedy: str) -> Callable[[str], None]:
    """Return a function that tells why a server does not listen; with an empty text, that it does."""
    listens = info(works, listen=f"{where[0]}:{where[1]}")
    return lambda error: notify(warning(fails, why=f"{error}; stop that, or set {remedy}") if error else listens)
