"""The client of the query socket: one JSON object per line each way.

``discoveryctl`` must start at once, so imports are chosen by their price: ``_socket`` is the C half of ``socket``,
without the enumerations and selectors that cost as much as starting Python does.
"""

from __future__ import annotations

import _socket
import errno
import os
from time import monotonic

from discoveryd.errors import DaemonUnreachable, QueryError, SubscriptionLagged
from discoveryd.query.address import check_address, format_address
from discoveryd.query.json_text import dumps, loads

TYPE_CHECKING = False  # what `typing` calls so, without its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one reply: 4096 peers with records of 700 bytes are 6 MB, all escaped 12 MB."""
SCHEMA = 1
"""The shape of peers that this client reads, ``protocol.table.peer.SCHEMA``."""


class QueryClient:
    """A connection to the query socket of a daemon.

    One thread uses it at a time, except that any may call `close`, which wakes a thread that waits. A
    closed client stays closed; to connect again, make another client.

    Args:
        address: host name or IP address, and TCP port.
        timeout: seconds the daemon may take to accept, to greet and to answer.
        token: returns the control token, if the daemon wants it. Only a proof of it is sent, and one is wanted back.
        vet: called with the owner of the listening program (``uid 1000``; elsewhere the address of the machine)
            before anything is proved to it; raises a `QueryError` to trust it not.
        waiting: waits until a descriptor can be read, or for so many seconds (None for ever), in place of the socket.
            So a program can notice something else meanwhile, and raise.

    Raises:
        ConfigError: the address is not valid.

    Attributes:
        where: the address as text.
        greeting: the first line of the daemon; empty before `connect`.
        line: the last line received, as the daemon wrote it.
    """

    def __init__(
        self,
        address: tuple[str, int] = ("127.0.0.1", 3400),
        timeout: float = 5.0,
        token: Callable[[], str] | None = None,
        waiting: Callable[[int, float | None], None] | None = None,
        vet: Callable[[str], None] | None = None,
    ) -> None:
        check_address("address", address)
        self.address = address
        self.where = format_address(address)
        self._waiting = waiting
        self.timeout = timeout
        self._token = token
        self._vet = vet
        self.greeting: dict[str, Any] = {}
        self.line = b""
        self._socket: _socket.socket | None = None
        self._buffer = bytearray()
        self._closed = False

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect and read the greeting; a second call changes nothing.

        Raises:
            DaemonUnreachable: no answer, or not from a discoveryd of our schema.
            QueryError: the daemon refuses the connection, or wants a token that we do not have.
        """
        if self._closed:
            raise self._lost()
        if self._socket is not None:
            return
        self._pid = os.getpid()
        try:
            self._open()
            self._greet(monotonic() + self.timeout)
            if self.greeting.get("token"):
                self._show_token()
        except QueryError:
            self.close()
            raise

    def request(self, op: str, *, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """Send a request, and return its reply.

        Args:
            op: ``list``, ``show``, ``status``, ``ping``, ...
            timeout: seconds to wait for the reply, the client's own if None.
            fields: of the request, without those that are None. In place of `token` a proof of it is sent.

        Raises:
            QueryError: refused, with the daemon's code; or ``timeout``, or ``closed``.
        """
        patience = self.timeout if timeout is None else timeout
        deadline = monotonic() + patience
        self._ask(op, fields, deadline)
        return self._read(deadline, f"did not answer in {patience:g} s")

    def stream(self, op: str, *, timeout: float | None, **fields: Any) -> Iterator[dict[str, Any]]:
        """Send a request that many lines answer (``send``, ``ask``, ``messages``), and yield each, up to a ``summary``.

        All is as with `request`, but for `timeout`: seconds for all of it, None for ever.
        """
        deadline = None if timeout is None else monotonic() + timeout
        if fields.get("token"):
            self.request("hello", token=fields["token"])  # only then is a long line taken
        self._ask(op, fields, deadline)
        line: dict[str, Any] = {}
        while "summary" not in line:
            line = self._read(deadline, f"did not come to an end in {timeout} s")
            yield line

    def watch(self, *, deadline: float | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """Subscribe: yield the snapshot, ``sync``, and then each event as it comes.

        Snapshot and ``sync`` must come within the client's timeout; an event may take for ever, or until
        `deadline` (of ``time.monotonic``).

        Raises:
            QueryError: refused, or the daemon is ``stopping``; or ``closed``; or ``timeout`` at the deadline.
            SubscriptionLagged: this reader was too slow.
        """
        until: float | None = monotonic() + self.timeout
        self._ask("watch", filters, until)
        while True:
            event = self._read(until, "sent nothing more in time")
            # a daemon of a later version may send lines that name no event
            if event.setdefault("event", "") == "sync":
                until = deadline
            yield event

    def hear(self, *, waits: bool = False) -> dict[str, Any]:
        """Read a line that is no reply, once the file descriptor is readable: nearly always why the connection ends.

        With `waits` it may take for ever, or until another thread calls `close`.

        Raises:
            QueryError: the daemon's last word (``stopping``, ...), ``closed`` without one, or ``timeout``: half a line
                came, and the connection is closed.
        """
        return self._read(None if waits else monotonic() + self.timeout, "sent half a line")

    def close(self) -> None:
        """Close; from any thread, and safe to call again."""
        self._closed = True
        sock, self._socket = self._socket, None
        if sock is None:
            return
        try:
            if self._pid == os.getpid():  # in a forked child it is the parent's connection
                sock.shutdown(_socket.SHUT_RDWR)  # closing alone does not wake a thread that waits in recv
        except OSError:  # the other side was faster
            pass
        sock.close()

    def fileno(self) -> int:
        """Return the file descriptor, for a selector; -1 unless connected."""
        return -1 if self._socket is None else self._socket.fileno()

    # --- the socket -----------------------------------------------------------------------------

    def _open(self) -> None:
        host, port = self.address
        try:
            # given bytes it does not load the codec of international names (10 ms)
            name = host.encode("ascii" if host.isascii() else "idna")
            found = _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            raise DaemonUnreachable(f"no daemon can be found at {self.where}: {_in_words(error)}") from error
        failure: OSError | None = None
        for family, kind, protocol, _, place in found:
            sock = None
            try:
                sock = _socket.socket(family, kind, protocol)
                sock.settimeout(self.timeout)
                sock.connect(place)
            except OSError as error:
                failure = error
                if sock is not None:
                    sock.close()
                continue
            self._socket = sock
            if self._closed:  # by another thread, just now
                raise self._lost()
            return
        raise DaemonUnreachable(f"no daemon answers at {self.where}: {_in_words(failure)}") from failure

    def _greet(self, deadline: float) -> None:
        foreign = f"what answers at {self.where} is no discoveryd"
        try:
            line = self._read_line(deadline, "sent no line")
        except QueryError as error:
            if error.code == "timeout":
                raise DaemonUnreachable(f"{foreign}: it sent no line in {self.timeout:g} s") from None
            if self._closed:
                raise
            raise DaemonUnreachable(f"{foreign}, or one that is stopping: {error.message}") from None
        greeting = _parse(line)
        _check(greeting or {})
        if greeting is None or "discoveryd" not in greeting:
            raise DaemonUnreachable(f"{foreign}: it began with {ascii(line[:60])[1:]}")
        if greeting.get("schema") != SCHEMA:
            raise DaemonUnreachable(
                f"the discoveryd at {self.where} speaks schema {greeting.get('schema')!s:.20}, this program "
                f"{SCHEMA}: use the program of the daemon's version, or restart the daemon if it was updated"
            )
        self.greeting = greeting

    def _show_token(self) -> None:
        """Prove that we have the token of a daemon that listens for more than its machine; let it prove that it has."""
        if self._token is None:
            why = "listens outside 127.0.0.0/8 and answers only programs with its control token"
            raise QueryError("denied", f"the daemon at {self.where} {why}")
        from discoveryd.query.proof import NONCE_BYTES, daemon_proof  # noqa: PLC0415 - not from this machine

        nonce, token = os.urandom(NONCE_BYTES).hex(), self._token()
        reply = self.request("hello", token=token, nonce=nonce)
        if reply.get("proof") != daemon_proof(token, nonce, self.greeting["nonce"]):
            why = "does not know the control token: it is not the daemon of that token, and nothing it says is shown"
            raise QueryError("denied", f"what answers at {self.where} {why}")
        self.greeting["node"] = reply.get("node", {})

    def _proof(self, token: str, asked: dict[str, Any]) -> str:
        """Return the proof for a request, after checking that the listening program may have it."""
        from discoveryd.query.proof import is_nonce, proof_of, text_of  # noqa: PLC0415 - as below

        nonce = self.greeting.get("nonce")
        if not is_nonce(nonce):
            version = ascii(self.greeting.get("discoveryd"))[:40]
            why = "wants the control token itself, which is not sent any more"
            raise QueryError("denied", f"the daemon at {self.where} (version {version}) {why}: restart it, updated")
        if self._vet is not None and self._connected().family == _socket.AF_INET:
            from discoveryd.net.owner import owner_of  # noqa: PLC0415 - for the few requests that change something

            self._vet(owner_of(self._connected()))
        return proof_of(token, str(nonce), text_of(asked))

    def _ask(self, op: str, fields: dict[str, Any], deadline: float | None) -> None:
        """Send a request without fields that are None, and with a proof in place of its token."""
        request = {"op": op, **{key: value for key, value in fields.items() if value is not None}}
        token = request.pop("token", "")
        if token:
            request["proof"] = self._proof(token, request)
        sock = self._connected()
        try:
            sock.settimeout(_left(deadline))
            sock.sendall(dumps(request).encode("ascii") + b"\n")
        except OSError as error:
            raise self._lost(f": {_in_words(error)}") from error

    def _read(self, deadline: float | None, late: str) -> dict[str, Any]:
        """Read a line that is no refusal; `late` is the daemon's fault at the deadline."""
        line = self._read_line(deadline, late)
        found = _parse(line)
        if found is None:
            raise QueryError("bad_reply", f"the daemon at {self.where} sent no JSON object: {ascii(line[:60])[1:]}")
        _check(found)
        return found

    def _read_line(self, deadline: float | None, late: str) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_LINE:
                raise QueryError("bad_reply", f"{self.where} sent a line of more than {MAX_LINE} bytes")
            sock = self._connected()
            if self._waiting is not None:
                self._waiting(sock.fileno(), _left(deadline))
            try:
                sock.settimeout(_left(deadline))
                chunk = sock.recv(1 << 18)
            except TimeoutError:
                self.close()  # a late reply would pass for that to the next request
                raise QueryError("timeout", f"the daemon at {self.where} {late}") from None
            except OSError as error:
                raise self._lost(f": {_in_words(error)}") from error
            if not chunk:
                raise self._lost()
            self._buffer += chunk
        self.line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return self.line

    def _connected(self) -> _socket.socket:
        if self._socket is None:
            raise self._lost() if self._closed else QueryError("closed", "this client is not connected")
        if self._pid != os.getpid():
            raise RuntimeError("this QueryClient is connected in another process, this one's parent: make one here")
        return self._socket

    def _lost(self, why: str = "") -> QueryError:
        message = f"{self.where} closed the connection{why}"
        return QueryError("closed", "this client was closed" if self._closed else message)


def _left(deadline: float | None) -> float | None:
    """Return the seconds to a deadline, at least a moment; None for ever."""
    return None if deadline is None else max(deadline - monotonic(), 0.001)


def _in_words(error: Exception | None) -> str:
    """Return an error of the system in words, with its name."""
    number: int = getattr(error, "errno", None) or 0
    if number in errno.errorcode:
        return f"{os.strerror(number)} ({errno.errorcode[number]})"
    if isinstance(error, TimeoutError):
        return "it did not accept in time"
    return str(getattr(error, "strerror", None) or error)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _check(reply: dict[str, Any]) -> None:
    """Raise the error that a refusal tells."""
    if reply.get("ok", True):
        return
    error = reply.get("error")
    found = error if isinstance(error, dict) else {}
    code, message = str(found.get("code", "unknown")), str(found.get("message", "refused without a reason"))
    problems = found.get("problems")
    told = tuple(map(str, problems)) if isinstance(problems, list) else ()
    raise SubscriptionLagged(message) if code == "lagged" else QueryError(code, message, told)
