"""Client: the peers of the daemon on this machine, mirrored in a program of yours."""

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Self

from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.net.reconnect import Retry, watch_across_restarts
from discoveryd.net.stamps import boottime
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.peer import LIVE, Change, Event, EventKind, Peer, peer_from_json
from discoveryd.protocol.wire.record import Service
from discoveryd.query.watch import Mirror
from discoveryd.runtime.arguments import check_functions
from discoveryd.runtime.daemon_calls import DaemonCalls
from discoveryd.runtime.registration import Registration
from discoveryd.runtime.subscription import Publisher, Subscription
from discoveryd.runtime.worker import Birthplace, Worker

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect again, at most."""
OVERDUE = 2
"""Intervals after which a peer that is not heard is no longer up, but suspect."""
RECONNECTED = "seen after connecting to the daemon"
"""The reason of an event that only tells what changed while there was no connection."""


class Client(DaemonCalls):
    """A live mirror of the local daemon's peers over its query socket. It reconnects by itself.

    Nothing is opened before `start`, which does not wait for the daemon: the daemon may come later.

        >>> from discoveryd import Client
        >>> with Client(("127.0.0.1", 9)) as client:  # nobody there: the mirror is empty, and goes on trying
        ...     client.is_connected, client.peers()
        (False, ())

    While the daemon cannot be reached, a peer stays for its ttl; then `peers` leaves it out.
    Ages go on counting: `peers` returns them as they are at that moment. The daemon does not tell of each HELLO; of a
    peer that is up it vouches that none is overdue, which bounds `last_heard_s` and `expires_s` while it is connected.

    Args:
        address: of the query socket.
        token: returns the control token, which a daemon wants for messages, and where it listens outside 127.0.0.0/8
            for all.
        clock: seconds; CLOCK_BOOTTIME unless a test says otherwise.
        changed: called after each change of the mirror, in its thread and without a lock; it must be quick.

    Raises:
        ConfigError: an argument is not what it must be.
    """

    def __init__(
        self,
        address: tuple[str, int] = ("127.0.0.1", 3400),
        *,
        token: Callable[[], str] | None = None,
        clock: Callable[[], float] = boottime,
        changed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(address, token)
        check_functions(clock=clock, changed=changed)
        self._clock = clock
        self._changed = changed
        # guards all below; its waiters are `wait_for` and the pause between two attempts
        self._lock = threading.Condition(threading.Lock())
        self._daemon = Mirror(lambda found: (clock(), peer_from_json(found)), LIVE)  # when it was told, and the peer
        self._publisher = Publisher(self._lock)
        self._query: QueryClient | None = None
        self._retry = Retry(LONGEST_PAUSE)
        self._lost_at: float | None = clock()
        self._seq = 0
        self._registrations: list[Registration] = []
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
        for registration in self._registrations:
            registration.close()
        self._worker.join(LONGEST_PAUSE)
        with self._lock:
            self._publisher.end()
        self._tell()

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

    def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until the mirror follows the daemon, at most `timeout` seconds; return whether it does."""
        self._here()
        with self._lock:
            self._lock.wait_for(lambda: self._is_stopping or self._lost_at is None or self._failure, timeout)
            self._peers_locked()  # raises if the thread has died
            return self._lost_at is None and not self._is_stopping

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
        check_functions(holds=holds)
        with self._lock:
            found = self._lock.wait_for(lambda: self._is_stopping or holds(self._peers_locked()), timeout)
            peers = self._peers_locked()
            return peers if found and holds(peers) else None

    def subscribe(self) -> Subscription:
        """Subscribe to events. After a lost connection the differences come as events too, and `seq` jumps."""
        self._here()
        with self._lock:
            return self._publisher.subscribe(self._peers_locked(), self._seq, Limits().subscriber_events)

    def register(self, service: Service) -> Registration:
        """Have the daemon announce a service until the registration is closed, or this client stopped.

        It returns at once, registers as soon as the daemon is there, and again after each restart of it; see
        `Registration.wait`. It wants the control token.

        Raises:
            ConfigError: this is no Service.
        """
        self._here()
        registration = Registration(service, self.connection, self._secret)
        with self._lock:
            self._registrations = [*(one for one in self._registrations if not one.is_closed), registration]
        registration.start()
        return registration

    # --- inside ---------------------------------------------------------------------------------

    def _peers_locked(self) -> tuple[Peer, ...]:
        if self._failure is not None:
            raise RuntimeError("the thread of this Client has died") from self._failure
        now = self._clock()
        vouched = now if self._lost_at is None else self._lost_at
        return tuple(
            _aged(peer, max(vouched - told, 0.0), now - max(vouched, told))
            for told, peer in self._daemon.rows.values()
            if self._lost_at is None or now - self._lost_at < peer.ttl_s
        )

    def _mirror(self) -> None:
        with closing(watch_across_restarts(self._connect, self._again, partial(QueryClient.watch, all=False))) as lines:
            for _, line in lines:
                self._take(line)

    def _connect(self) -> QueryClient:
        query = self.connection()
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
        self._tell()
        with self._lock:
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
        self._tell()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()

    def _publish_locked(
        self, kind: EventKind, peer: Peer, reason: str, former: str = "", changes: tuple[Change, ...] = ()
    ) -> None:
        event = Event(kind=kind, seq=self._seq, peer=peer, reason=reason, former=former, changes=changes)
        self._publisher.publish([event])

    def _fail(self, _: str, error: BaseException) -> None:
        with self._lock:
            self._failure = error
            self._lock.notify_all()
        self._tell()


def _aged(peer: Peer, vouched: float, unknown: float) -> Peer:
    """Return a peer as it is later.

    Args:
        peer: as the daemon told it last.
        vouched: seconds since, in which the daemon would have told if it had fallen silent.
        unknown: seconds since then, in which it could not.
    """
    heard = peer.last_heard_s + vouched
    if peer.state == "up":
        heard = min(heard, max(peer.last_heard_s, OVERDUE * (peer.interval_s or peer.ttl_s / OVERDUE)))
    elapsed = heard + unknown - peer.last_heard_s
    return replace(
        peer,
        first_seen_s=peer.first_seen_s + vouched + unknown,
        last_heard_s=peer.last_heard_s + elapsed,
        expires_s=peer.expires_s - elapsed,
    )
