"""AsyncClient: the mirror of the local daemon for a program of asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Self, Unpack

from discoveryd.errors import QueryError
from discoveryd.protocol.messages.values import IncomingMessage
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.protocol.wire.record import Service
from discoveryd.query.messages import MessageResult, Where
from discoveryd.runtime.client import Client
from discoveryd.runtime.daemon_calls import messages_of
from discoveryd.runtime.registration import Registration
from discoveryd.runtime.worker import Worker


class AsyncClient:
    """A live mirror of the local daemon's peers for one event loop; the names are those of `Client`.

    The mirror itself has a thread, which a loop that is busy for a while does not hold up. What is remembered already
    is returned at once; what has to be waited for is awaited.

        >>> import asyncio
        >>> from discoveryd import AsyncClient
        >>> async def main():
        ...     async with AsyncClient(("127.0.0.1", 9)) as client:  # nobody there
        ...         return client.peers(), await client.wait_connected(timeout=0.01)
        >>> asyncio.run(main())
        ((), False)

    Args:
        address: of the query socket.
        token: returns the control token, as for `Client`.

    Raises:
        ConfigError: an argument is not what it must be.
    """

    def __init__(
        self, address: tuple[str, int] = ("127.0.0.1", 3400), *, token: Callable[[], str] | None = None
    ) -> None:
        self._client = Client(address, token=token, changed=self._told)
        self._token = token
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()  # set once the mirror is another, and replaced then

    async def start(self) -> None:
        """Begin to mirror, in this process, for this event loop."""
        self._loop = asyncio.get_running_loop()
        self._client.start()

    async def stop(self) -> None:
        """Stop. Safe to call again, and before `start`."""
        await asyncio.to_thread(self._client.stop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the mirror follows the daemon at this moment; if not, `last_error` says why."""
        return self._client.is_connected

    @property
    def last_error(self) -> str:
        """Why there is no connection; empty if there is one."""
        return self._client.last_error

    def peers(self) -> tuple[Peer, ...]:
        """Return the peers that are up."""
        return self._client.peers()

    async def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until the mirror follows the daemon, at most `timeout` seconds; return whether it does."""
        return await self._until(lambda: self.is_connected, timeout)

    async def wait_for(
        self, holds: Callable[[tuple[Peer, ...]], bool], timeout: float | None = None
    ) -> tuple[Peer, ...] | None:
        """Wait until a condition holds of the peers, as `Client.wait_for`; None if it did not within `timeout`."""
        found: tuple[Peer, ...] = ()

        def look() -> bool:
            nonlocal found
            found = self.peers()
            return holds(found)

        return found if await self._until(look, timeout) else None

    def events(self) -> AsyncGenerator[Event, None]:
        """Return the events from now on, for ``async for``; they end when this client is stopped.

        Raises:
            SubscriptionLagged: in the loop; events were lost because the loop was too slow. Call this again.
        """
        return self._events(self._client.subscribe())

    def register(self, service: Service) -> Registration:
        """Have the daemon announce a service, as `Client.register`; it returns at once."""
        return self._client.register(service)

    async def send(self, message: str, payload: bytes | str = b"", **options: Any) -> MessageResult:
        """Have the daemon send a message, as `Client.send`."""
        return await asyncio.to_thread(partial(self._client.send, message, payload, **options))

    async def ask(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0, **where: Unpack[Where]
    ) -> MessageResult:
        """Have the daemon ask a question, as `Client.ask`."""
        return await asyncio.to_thread(partial(self._client.ask, message, payload, timeout=timeout, **where))

    async def messages(self, *names: str) -> AsyncGenerator[IncomingMessage, None]:
        """Yield the messages of other nodes that come from now on, as `Client.messages`."""
        loop = asyncio.get_running_loop()
        found: asyncio.Queue[IncomingMessage | BaseException] = asyncio.Queue()
        query = self._client.connection()

        def put(one: IncomingMessage | BaseException) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(found.put_nowait, one)

        def read() -> None:
            try:
                with query:
                    for message in messages_of(query, names, self._token() if self._token else ""):
                        put(message)
            except QueryError as error:
                put(error)

        worker = Worker("client-messages", read, lambda _, error: put(error))
        worker.start()
        try:
            while True:
                one = await found.get()
                if isinstance(one, BaseException):
                    raise one
                yield one
        finally:
            query.close()

    # --- inside ---------------------------------------------------------------------------------

    async def _events(self, subscription: Any) -> AsyncGenerator[Event, None]:
        try:
            while True:
                news = self._news
                while (event := subscription.get(timeout=0)) is not None:
                    yield event
                if subscription.is_over:
                    return
                await news.wait()
        finally:
            subscription.close()

    async def _until(self, holds: Callable[[], bool], timeout: float | None) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    news = self._news
                    if holds():
                        return True
                    await news.wait()
        return False

    def _told(self) -> None:
        """Wake the event loop: called in the thread of the mirror."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
