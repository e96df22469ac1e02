"""Client: the peers of the daemon on this machine, mirrored in a program of yours."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Self, Unpack

from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.net.reconnect import Retry, watch_across_restarts
from discoveryd.net.stamps import boottime
from discoveryd.protocol.messages.values import Delivery, IncomingMessage
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.peer import LIVE, Change, Event, EventKind, Peer, peer_from_json
from discoveryd.query.address import check_address
from discoveryd.query.messages import BUILTIN, Draft, MessageResult, Where, delivery_of, message_of
from discoveryd.query.watch import Mirror
from discoveryd.runtime.subscription import Publisher, Subscription
from discoveryd.runtime.worker import Birthplace, Worker

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect again, at most."""
RECONNECTED = "seen after connecting to the daemon"
"""The reason of an event that only tells what changed while there was no connection."""


class Client:
    """A live mirror of the local daemon's peers over its query socket. It reconnects by itself.

    Nothing is opened before `start`, which does not wait for the daemon: the daemon may come later.

        >>> from discoveryd import Client
        >>> with Client(("127.0.0.1", 9)) as client:  # nobody there: the mirror is empty, and goes on trying
        ...     client.is_connected, client.peers()
        (False, ())

    While the daemon cannot be reached, a peer stays for its ttl; then `peers` leaves it out.
    Ages are those of the peer's last event, grown by the time since.

    Args:
        address: of the query socket.
        token: returns the control token, which a daemon wants for messages, and where it listens outside 127.0.0.0/8
            for all.
        clock: seconds; CLOCK_BOOTTIME unless a test says otherwise.

    Raises:
        ConfigError: this is no address.
    """

    def __init__(
        self,
        address: tuple[str, int] = ("127.0.0.1", 3400),
        *,
        token: Callable[[], str] | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        check_address("address", address)
        self.address = address
        self._token = token
        self._clock = clock
        self._birthplace: Birthplace | None = None  # where it was started
        # guards all below; its waiters are `wait_for` and the pause between two attempts
        self._lock = threading.Condition(threading.Lock())
        self._daemon = Mirror(lambda found: (clock(), peer_from_json(found)), LIVE)  # when it was told, and the peer
        self._publisher = Publisher(self._lock)
        self._query: QueryClient | None = None
        self._retry = Retry(LONGEST_PAUSE)
        self._lost_at: float | None = clock()
        self._seq = 0
        self._is_stopping = False
        self._failure: BaseException | None = None
        self.last_error = ""
        self._worker = Worker("client-mirror", self._mirror, self._fail)

    def start(self) -> None:
        """Begin to mirror, in this process; a process that is forked off later needs a Client of its own.

        Raises:
            RuntimeError: it was started in another process.
        """
        self._here()
        self._birthplace = Birthplace("Client")
        self._worker.start()

    def stop(self) -> None:
        """Stop. Safe to call again, and before `start`; in a forked child the connection of the parent stays open."""
        if self._birthplace is not None and self._birthplace.is_elsewhere:
            if self._query is not None:
                self._query.close()
            return
        with self._lock:
            self._is_stopping = True
            query = self._query
            self._lock.notify_all()
        if query is not None:
            query.close()
        self._worker.join(LONGEST_PAUSE)
        with self._lock:
            self._publisher.end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the mirror follows the daemon at this moment; if not, `last_error` says why.

        Raises:
            RuntimeError: this is a process that was forked off after `start`, as in all methods below.
        """
        self._here()
        return self._lost_at is None

    def peers(self) -> tuple[Peer, ...]:
        """Return the peers that are up.

        Raises:
            RuntimeError: the thread of the mirror has died, or this is a forked child, which has no such thread.
        """
        self._here()
        with self._lock:
            return self._peers_locked()

    def wait_for(
        self, holds: Callable[[tuple[Peer, ...]], bool], timeout: float | None = None
    ) -> tuple[Peer, ...] | None:
        """Wait until a condition holds of the peers, such as ``lambda peers: len(peers) >= 3``.

        Args:
            holds: called with the peers at each change, with a lock held: it must be quick.
            timeout: seconds, None for as long as it takes.

        Returns:
            the peers for which it holds, None if it did not within `timeout`.
        """
        self._here()
        with self._lock:
            found = self._lock.wait_for(lambda: self._is_stopping or holds(self._peers_locked()), timeout)
            peers = self._peers_locked()
            return peers if found and holds(peers) else None

    def subscribe(self) -> Subscription:
        """Subscribe to events. After a lost connection the differences come as events too, and `seq` jumps."""
        self._here()
        with self._lock:
            return self._publisher.subscribe(self._peers_locked(), self._seq, Limits().subscriber_events)

    # --- the past -------------------------------------------------------------------------------

    def history(self, peer: str = "", *, since: float | None = None) -> dict[str, Any]:
        """Return what happened to the peers, or to one: the reply to ``history`` (docs/query.md).

        Args:
            peer: its name, id (or the first digits), boot or address; also of one that is long gone.
            since: seconds to go back, None for as far as it is remembered.

        Raises:
            QueryError: ``not_found``; ``off``, the daemon keeps no history; ``failed``, it cannot be read now.
        """
        return self._past("history", peer=peer or None, since_s=since)

    def availability(
        self, peer: str = "", *, since: float | None = None, name: str | None = None,
        tags: Mapping[str, str] | None = None, service: str | None = None, link: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return how much of the time the peers were up, or those that a filter chooses: the reply to ``availability``.

        Arguments and errors are those of `history`, and the filters of ``list``.
        """
        where = {"name": name, "tags": tags and dict(tags), "service": service, "link": link}
        return self._past("availability", peer=peer or None, since_s=since, **where)

    def _past(self, op: str, **fields: Any) -> dict[str, Any]:
        self._here()
        with QueryClient(self.address, token=self._token) as query:
            return query.request(op, **{key: value for key, value in fields.items() if value is not None})

    # --- messages -------------------------------------------------------------------------------

    def send(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0, wait_handled: bool = False,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Have the daemon send a message, as `Discovery.send`; but for the built-in names it wants its control token.

        Raises:
            QueryError: as there, and as `QueryClient.stream`. The message ends with the connection.
        """
        draft = Draft(name=message, payload=payload, where=where, wants_handled=wait_handled, timeout=timeout)
        return self._talk("send", draft, told)

    def ask(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Have the daemon ask a question, as `Discovery.ask`; the rest as `send`."""
        return self._talk("ask", Draft(name=message, payload=payload, where=where, timeout=timeout), told)

    def messages(self, *names: str) -> Iterator[IncomingMessage]:
        """Yield the messages of other nodes that come from now on, of these names, or of all; it wants the token.

        It has a connection of its own, which ends with the generator. What comes while the daemon is gone is lost.

        Raises:
            QueryError: ``denied``, ``lagged`` (this reader was too slow), ``busy``; the daemon is gone.
        """
        self._here()
        with QueryClient(self.address, token=self._token) as query:
            for line in query.stream("messages", timeout=None, names=list(names), token=self._secret()):
                if "message" in line:
                    yield message_of(line["message"])

    def _talk(self, op: str, draft: Draft, told: Callable[[Delivery], None] | None) -> MessageResult:
        self._here()
        token = "" if draft.name in BUILTIN else self._secret()
        finals, number = [], 0
        with QueryClient(self.address, token=self._token) as query:
            for line in query.stream(op, timeout=draft.timeout + query.timeout, token=token, **draft.request()):
                number = line.get("sending", {}).get("number", number)
                if "delivery" in line:
                    delivery = delivery_of(line["delivery"], number)
                    finals += [delivery] if delivery.is_final else []
                    if told is not None:
                        told(delivery)
        return MessageResult(deliveries=tuple(finals))

    def _secret(self) -> str:
        return self._token() if self._token is not None else ""

    # --- inside ---------------------------------------------------------------------------------

    def _here(self) -> None:
        if self._birthplace is not None:
            self._birthplace.check()

    def _peers_locked(self) -> tuple[Peer, ...]:
        if self._failure is not None:
            raise RuntimeError("the thread of this Client has died") from self._failure
        now = self._clock()
        return tuple(
            _aged(peer, now - told)
            for told, peer in self._daemon.rows.values()
            if self._lost_at is None or now - self._lost_at < peer.ttl_s
        )

    def _mirror(self) -> None:
        with closing(watch_across_restarts(self._connect, self._again, partial(QueryClient.watch, all=False))) as lines:
            for _, line in lines:
                self._take(line)

    def _connect(self) -> QueryClient:
        query = QueryClient(self.address, token=self._token)
        with self._lock:
            self._query = query
            if self._is_stopping:  # `stop` closed the former client
                query.close()
        return query

    def _again(self, error: QueryError) -> bool:
        """Wait before the next attempt to connect; return whether there is one."""
        self.last_error = str(error)
        self._retry.failed(error)
        with self._lock:
            if self._lost_at is None:
                self._lost_at = self._clock()
            self._lock.notify_all()
            return not self._lock.wait_for(lambda: self._is_stopping, self._retry.pause)

    def _take(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            gone, come = self._daemon.take(line)
            if line["event"] == "sync":
                self._retry.succeeded()
                self._seq, self._lost_at, self.last_error = line["seq"], None, ""
                for _, peer in gone:
                    self._publish_locked("down", replace(peer, state="down"), RECONNECTED)
                for _, peer in come:
                    self._publish_locked("joined", peer, RECONNECTED)
            elif come:
                self._seq = line["seq"]
                former, told = line.get("former", ""), line.get("changes", ())
                changes = tuple(Change(*(one.get(key) for key in Change._fields)) for one in told)  # it may have more
                self._publish_locked(line["event"], come[0][1], line["reason"], former, changes)
            self._lock.notify_all()

    def _publish_locked(
        self, kind: EventKind, peer: Peer, reason: str, former: str = "", changes: tuple[Change, ...] = ()
    ) -> None:
        event = Event(kind=kind, seq=self._seq, peer=peer, reason=reason, former=former, changes=changes)
        self._publisher.publish([event])

    def _fail(self, _: str, error: BaseException) -> None:
        with self._lock:
            self._failure = error
            self._lock.notify_all()


def _aged(peer: Peer, elapsed: float) -> Peer:
    return replace(
        peer,
        first_seen_s=peer.first_seen_s + elapsed,
        last_heard_s=peer.last_heard_s + elapsed,
        expires_s=peer.expires_s - elapsed,
    )
