"""One session with one NATS server: the only module that knows nats-py.

Its own reconnecting is not used: it keeps what was said during an outage and delivers it later, ends for good when a
callback raises, and may find out after six minutes that a server hangs. `discoveryd.sites.link` begins a new session
instead. No exception of a callback gets into the library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from discoveryd.net.sockets import forget_at_close
from discoveryd.sites.access import Access
from discoveryd.sites.lean import lean

with lean():
    from nats import errors
    from nats.aio.client import Client, RawCredentials
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

Trouble = Literal["unreachable", "auth", "tls"]
"""Why there is no session; the codes of findings are ``nats-`` and this."""

CONNECT = 3
"""Seconds that a session may take to begin: TCP, TLS and the answer to our name together."""
END = 1.0
"""Seconds that the end of a session may take."""
MOST_WAITING = 16 * 1024 * 1024
"""Bytes received that wait for us at most, for each subscription; nats-py drops what comes beyond."""
_TLS = "tls://"
_NEVER = 86_400 * 365
"""Seconds between two PINGs of nats-py itself: ours come sooner, and are waited for."""
_DENIED = "permissions violation"
_UNKNOWN_USER = ("authorization violation", "user authentication", "authentication timeout", "account")
"""What a server says, in lower case, that refuses a message, or us."""


class NatsTrouble(Exception):
    """A session could not begin, or ended.

    Attributes:
        kind: where the fault seems to lie.
    """

    def __init__(self, kind: Trouble, text: str) -> None:
        super().__init__(text)
        self.kind: Trouble = kind


class Session:
    """A session with a server; `open` begins it.

    Args:
        hear: called with subject and payload of each message.
        denied: called with what the server says that refuses a message or a subscription.
        failed: called where `hear` raises, or messages came too fast, with what happened.
    """

    def __init__(
        self, hear: Callable[[str, bytes], None], denied: Callable[[str], None], failed: Callable[[str], None]
    ) -> None:
        self._hear = hear
        self._denied = denied
        self._failed = failed
        self._client = _Client()
        self._subscriptions: dict[str, Subscription] = {}
        self._fault: Exception | None = None
        self.is_over = asyncio.Event()

    async def open(self, server: str, access: Access, name: str) -> None:
        """Connect to a server.

        Raises:
            NatsTrouble: it cannot be reached, does not know us, or is not the one that TLS is to prove.
        """
        begin = asyncio.ensure_future(self._connect(server, access, name))
        over = asyncio.ensure_future(self.is_over.wait())  # nats-py would try on and on to reach the server
        is_open = False
        try:
            await asyncio.wait((begin, over), timeout=CONNECT, return_when=asyncio.FIRST_COMPLETED)
            is_open = begin.done() and begin.exception() is None
        finally:
            over.cancel()
            begin.cancel()
            if not is_open:
                await self.close()
        if not is_open:
            fault = self._fault or (begin.exception() if begin.done() and not begin.cancelled() else None)
            raise trouble_of(fault or TimeoutError(f"no answer within {CONNECT:g} s"))

    async def _connect(self, server: str, access: Access, name: str) -> None:
        tls = context_of(access) if server.startswith(_TLS) else None
        self._client.must_encrypt = tls is not None
        await self._client.connect(
            server, name=name, error_cb=self._on_error, closed_cb=self._on_close, allow_reconnect=False,
            connect_timeout=CONNECT, reconnect_time_wait=_NEVER, ping_interval=_NEVER, no_echo=True,
            pending_size=-1, tls=tls, nkeys_seed_str=access.seed or None,
            user_credentials=RawCredentials(access.credentials) if access.credentials else None,
        )  # fmt: skip

    @property
    def buffered(self) -> int:
        """Bytes that nats-py has not yet given to the socket."""
        return self._client.pending_data_size

    def trouble(self) -> NatsTrouble:
        """Return why the session is over."""
        return trouble_of(self._fault or errors.UnexpectedEOF())

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send a message.

        Raises:
            NatsTrouble: the session is over, or the server takes no message as long as this one.
        """
        await self._guarded(self._client.publish(subject, payload))

    async def subscribe(self, subject: str) -> None:
        """Hear a subject from now on. Raises NatsTrouble: the session is over."""

        async def heard(message: Msg) -> None:
            try:
                self._hear(message.subject, message.data)
            except Exception as error:  # noqa: BLE001 - whatever it is: the next message is another one
                self._failed(f"{type(error).__name__}: {error}")

        made = await self._guarded(self._client.subscribe(subject, cb=heard, pending_bytes_limit=MOST_WAITING))
        self._subscriptions[subject] = made

    async def unsubscribe(self, subject: str) -> None:
        """Hear a subject no longer. Raises NatsTrouble: the session is over."""
        if (subscription := self._subscriptions.pop(subject, None)) is not None:
            await self._guarded(subscription.unsubscribe())

    async def ping(self, timeout: float) -> float:
        """Return the seconds that the server took to answer.

        Raises:
            NatsTrouble: it did not within `timeout`.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._guarded(asyncio.wait_for(self._client.flush(), timeout))
        except TimeoutError:
            self._client.reset_at_end()
            raise NatsTrouble("unreachable", f"does not answer a PING within {timeout:g} s: it hangs") from None
        return loop.time() - began

    async def close(self) -> None:
        """End the session; what is not sent yet is forgotten."""
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), END)
        self._client.abort()
        self.is_over.set()

    async def _guarded(self, work: Any) -> Any:
        try:
            return await work
        except (errors.Error, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise trouble_of(self._fault or error) from None

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if _DENIED in text.lower():
            self._denied(text.removeprefix("nats: ").strip("'\" "))
        elif isinstance(error, errors.SlowConsumerError):
            self._failed(f"messages of {error.subject} come faster than they are read, and are lost")
        else:
            self._fault = self._fault or error
            if not self._client.is_connected:
                self.is_over.set()

    async def _on_close(self) -> None:
        self._fault = self._fault or self._client.last_error
        self.is_over.set()


class _Client(Client):
    """A client that never speaks unencrypted to a server with ``tls://``, and whose connection can be cut.

    nats-py would go on in plain text, and sign what it is asked to, if the server, or somebody between, does not offer
    TLS.
    """

    must_encrypt = False

    def _connect_command(self) -> bytes:
        if self.must_encrypt and not self._server_info.get("tls_required"):
            raise NatsTrouble("tls", "the server does not offer TLS, and is named with tls://")
        return super()._connect_command()

    def abort(self) -> None:
        """Cut the connection, with what waits for it in this process."""
        if (transport := self._below()) is not None:
            transport.abort()

    def reset_at_end(self) -> None:
        """Let the end of the connection be a reset: what the kernel holds for a server that hangs is forgotten too."""
        if (transport := self._below()) is not None and (taken := transport.get_extra_info("socket")) is not None:
            forget_at_close(taken)

    def _below(self) -> asyncio.WriteTransport | None:
        writer = getattr(self._transport, "_io_writer", None)
        return None if writer is None else writer.transport


def context_of(access: Access) -> ssl.SSLContext:
    """Return what TLS accepts.

    Raises:
        NatsTrouble: what is given as certificates is none.
    """
    try:
        return ssl.create_default_context(cadata=access.authorities or None)
    except (ssl.SSLError, ValueError) as error:
        raise NatsTrouble("tls", f"sites.ca holds no certificates in PEM: {error}") from None


def trouble_of(error: BaseException) -> NatsTrouble:
    """Return what an exception of a session means."""
    text = str(error) or type(error).__name__
    lower = text.lower()
    if isinstance(error, NatsTrouble):
        return error
    if isinstance(error, ssl.SSLError):  # with SSLCertVerificationError
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or text
        return NatsTrouble("tls", str(reason))
    if isinstance(error, errors.AuthorizationError) or any(word in lower for word in _UNKNOWN_USER):
        return NatsTrouble("auth", text.removeprefix("nats: ").strip("'\""))
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return NatsTrouble("unreachable", text.removeprefix("nats: ").strip("'\""))
