"""The servers of a Discovery, each with its thread: the query socket and the metrics page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from discoveryd.net.query_server import QueryServer
from discoveryd.net.systemd import Listener
from discoveryd.protocol.parameters import Limits
from discoveryd.runtime import notices
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.query_handlers import QueryHandlers
from discoveryd.runtime.worker import Worker

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from discoveryd.net.metrics_server import MetricsServer

_Server = TypeVar("_Server", bound="QueryServer | MetricsServer")


class ServerThread(Generic[_Server]):
    """A server with its thread.

    Args:
        server: opened and closed by the owner.
        name: of the thread.
        run: runs the server; takes a function that it calls each time round its loop.
        tell: told why the server does not listen.
        failed: told the exception that ended the thread.
    """

    def __init__(
        self,
        server: _Server,
        name: str,
        run: Callable[[Callable[[], None]], None],
        tell: Callable[[str], None],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self.server = server
        self.worker = Worker(name, lambda: run(self.worker.beat), failed)
        self._tell = tell

    def start(self) -> None:
        """Start the thread.

        Raises:
            OSError: EAGAIN; the system allows no further thread.
        """
        self.worker.start()

    def tell_error(self) -> None:
        """Tell why it does not listen, if so."""
        if self.server.error:
            self._tell(self.server.error)

    def stop(self, timeout: float) -> bool:
        """End the thread; return whether it ended in time."""
        self.server.stop()
        return self.worker.join(timeout)

    def counts(self, now: float) -> dict[str, Any]:
        """Return its section of ``status``."""
        return {**self.server.counts(), **self.server.trouble(now)}


def query_server(
    address: tuple[str, int],
    handlers: QueryHandlers,
    limits: Limits,
    listener: Listener | None,
    *,
    is_patient: bool,
    clock: Callable[[], float],
    notify: Callable[[Notice], None],
    failed: Callable[[str, BaseException], None],
) -> ServerThread[QueryServer]:
    """Return the query socket with its thread; if patient, it tells why it does not listen, and tries again."""

    def tell(error: str) -> None:
        notify(notices.of_query(error, address))

    server = QueryServer(address, handlers, limits, listener, tell if is_patient else None)
    return ServerThread(server, "query-server", lambda beat: server.run(clock, beat), tell, failed)


def metrics_server(
    address: tuple[str, int],
    page: WSGIApplication,
    *,
    clock: Callable[[], float],
    notify: Callable[[Notice], None],
    failed: Callable[[str, BaseException], None],
) -> ServerThread[MetricsServer]:
    """Return the metrics page with its thread."""
    from discoveryd.net.metrics_server import MetricsServer  # noqa: PLC0415 - most daemons have none

    def tell(error: str) -> None:
        notify(notices.of_metrics(error, address))

    server = MetricsServer(address, page, tell)
    return ServerThread(server, "metrics-server", lambda _: server.run(clock), tell, failed)
