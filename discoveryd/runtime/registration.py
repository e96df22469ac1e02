"""A service that the daemon of this machine announces for a program, as long as that wants it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from discoveryd.errors import ConfigError, QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.net.reconnect import Retry
from discoveryd.protocol.wire.record import Service
from discoveryd.runtime.worker import Birthplace, Worker

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to register, at most."""
REFUSALS = frozenset(("refused", "denied", "bad_argument", "unknown_op"))
"""Codes of errors that a person has to see to; it is tried again all the same."""


class Registration:
    """A service that is registered, and again after each restart of the daemon. Made by `Client.register`.

    It has a connection and a thread of its own: the end of either, however it comes, ends the announcement.

    Args:
        service: to be announced.
        connect: returns a client of the daemon that is not connected yet.
        token: returns the control token.

    Raises:
        ConfigError: this is no Service.

    Attributes:
        service: what is announced.
        last_error: why it is not registered at this moment; empty if it is.
    """

    def __init__(self, service: Service, connect: Callable[[], QueryClient], token: Callable[[], str]) -> None:
        if not isinstance(service, Service):
            raise ConfigError(f'service: must be a Service, such as Service(name="http", port=80), not {service!r:.80}')
        self.service = service
        self.last_error = ""
        self._connect = connect
        self._token = token
        self._birthplace = Birthplace("Registration")
        self._lock = threading.Condition(threading.Lock())  # guards all below
        self._query: QueryClient | None = None
        self._refusal: QueryError | None = None
        self._failure: BaseException | None = None
        self._is_registered = self._is_closed = False
        self._worker = Worker("client-registration", self._run, self._fail)

    def start(self) -> None:
        """Begin to register; once."""
        self._worker.start()

    @property
    def is_registered(self) -> bool:
        """Whether the daemon announces the service at this moment."""
        self._birthplace.check()
        return self._is_registered

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the service is registered, at most `timeout` seconds; return whether it is.

        Raises:
            QueryError: ``refused``, ``denied``: the daemon does not want to. It is tried again all the same.
            RuntimeError: the thread has died, or this is a forked child.
        """
        self._birthplace.check()
        with self._lock:
            self._lock.wait_for(
                lambda: self._is_registered or self._refusal or self._is_closed or self._failure, timeout
            )
            if self._failure is not None:
                raise RuntimeError("the thread of this Registration has died") from self._failure
            if self._refusal is not None:
                raise self._refusal
            return self._is_registered

    def close(self) -> None:
        """End the announcement. Safe to call again; in a forked child the connection of the parent stays open."""
        with suppress(RuntimeError):
            self._birthplace.check()
            with self._lock:
                self._is_closed = True
                self._lock.notify_all()
        if self._query is not None:
            self._query.close()
        if not self._birthplace.is_elsewhere:
            self._worker.join(LONGEST_PAUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        retry = Retry(LONGEST_PAUSE)
        while not self._is_closed:
            try:
                with self._connection() as query:
                    query.request("register", service=self.service.to_json(), token=self._token())
                    retry.succeeded()
                    self._tell(None)
                    query.hear(waits=True)
            except QueryError as error:
                failure = error
            else:
                continue  # a line that says nothing; register anew
            retry.failed(failure)
            self._tell(failure)
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed, retry.pause)

    def _connection(self) -> QueryClient:
        query = self._connect()
        with self._lock:
            self._query = query
            if self._is_closed:  # `close` closed the former one
                query.close()
        return query

    def _tell(self, error: QueryError | None) -> None:
        with self._lock:
            self._is_registered = error is None and not self._is_closed
            self.last_error = "" if error is None else str(error)
            self._refusal = error if error is not None and error.code in REFUSALS else None
            self._lock.notify_all()

    def _fail(self, _: str, error: BaseException) -> None:
        with self._lock:
            self._failure, self._is_registered = error, False
            self._lock.notify_all()
