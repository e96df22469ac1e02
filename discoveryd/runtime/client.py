"""Client: the table of the daemon on this machine, mirrored in a program of yours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Self

from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient, check_address
from discoveryd.net.reconnect import Retry, watch_across_restarts
from discoveryd.net.stamps import boottime
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.peer import LIVE, Peer, peer_from_json
from discoveryd.runtime.subscription import Subscription
from discoveryd.runtime.worker import Birthplace, Worker

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect again, at most."""


class Client:
    """A live mirror of the local daemon's peers over its query socket. It reconnects by itself.

    Nothing is opened before `start`, which does not wait for the daemon: it may come later.

        >>> from discoveryd import Client
        >>> with Client(("127.0.0.1", 9)) as client:  # nobody there: the mirror is empty, and goes on trying
        ...     client.is_connected, client.peers()
        (False, ())

    While the daemon cannot be reached a peer stays for its ttl and is then no longer given as up.
    Ages are those of the peer's last event, grown by the time since.

    Args:
        address: of the query socket.
        token: gives the control token, which a daemon that listens outside 127.0.0.0/8 wants of everybody.
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
        self._birthplace = Birthplace("Client")
        # guards all below; its waiters are `wait_for` and the pause between two attempts
        self._lock = threading.Condition(threading.Lock())
        self._peers: dict[tuple[str, str], tuple[float, Peer]] = {}  # when it was told, by id and boot
        self._subscriptions: list[Subscription] = []
        self._snapshot: dict[tuple[str, str], tuple[float, Peer]] = {}  # come in, not yet in force
        self._query: QueryClient | None = None
        self._retry = Retry(LONGEST_PAUSE)
        self._lost_at: float | None = clock()
        self._seq = 0
        self._is_started = False
        self._is_stopping = False
        self._failure: BaseException | None = None
        self.last_error = ""
        self._worker = Worker("client-mirror", self._mirror, self._fail)

    def start(self) -> None:
        """Begin to mirror, in this process; one that was forked off later needs a Client of its own.

        Raises:
            RuntimeError: it was started in another process.
        """
        if self._is_started:
            self._birthplace.check()
        self._birthplace.move_here()
        self._is_started = True
        self._worker.start()

    def stop(self) -> None:
        """End. Safe to call again, and before `start`; in a forked child the connection stays the parent's."""
        if self._birthplace.is_elsewhere:
            if self._is_started and self._query is not None:
                self._query.close()
            return
        with self._lock:
            self._is_stopping = True
            query = self._query
            subscriptions = list(self._subscriptions)
            self._lock.notify_all()
        if query is not None:
            query.close()
        self._worker.join(LONGEST_PAUSE)
        for subscription in subscriptions:
            subscription.put(None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_connected(self) -> bool:
        """Whether the mirror follows the daemon at this moment; if not, `last_error` says why.

        Raises:
            RuntimeError: as all that asks, in a process that was forked off after `start`.
        """
        self._here()
        return self._lost_at is None

    def peers(self) -> tuple[Peer, ...]:
        """Give the peers that are up.

        Raises:
            RuntimeError: the mirror's thread has died, or this is a forked child, where it never was.
        """
        self._here()
        with self._lock:
            return self._peers_locked()

    def wait_for(
        self, holds: Callable[[tuple[Peer, ...]], bool], timeout: float | None = None
    ) -> tuple[Peer, ...] | None:
        """Wait until something holds of the peers, such as ``lambda peers: len(peers) >= 3``.

        Args:
            holds: called with the peers at each change, with a lock held: it must be quick.
            timeout: seconds, None for as long as it takes.

        Returns:
            the peers of which it holds, None if it did not within `timeout`.
        """
        self._here()
        with self._lock:
            found = self._lock.wait_for(lambda: self._is_stopping or holds(self._peers_locked()), timeout)
            peers = self._peers_locked()
            return peers if found and holds(peers) else None

    def subscribe(self) -> Subscription:
        """Begin a stream of events. After a lost connection the differences come as events too, and `seq` jumps."""
        self._here()
        with self._lock:
            subscription = Subscription(
                self._peers_locked(), self._seq, Limits().subscriber_events, self._unsubscribe
            )
            self._subscriptions.append(subscription)
            return subscription

    # --- inside ---------------------------------------------------------------------------------

    def _here(self) -> None:
        if self._is_started:
            self._birthplace.check()

    def _peers_locked(self) -> tuple[Peer, ...]:
        if self._failure is not None:
            raise RuntimeError("the thread of this Client has died") from self._failure
        now = self._clock()
        return tuple(
            _aged(peer, now - told)
            for told, peer in self._peers.values()
            if self._lost_at is None or now - self._lost_at < peer.ttl_s
        )

    def _mirror(self) -> None:
        with closing(watch_across_restarts(self._connect, self._again, all=False)) as lines:
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
        now = self._clock()
        with self._lock:
            kind = line["event"]
            if kind == "snapshot":
                peers = map(peer_from_json, line["peers"])
                self._snapshot = {_key(peer): (now, peer) for peer in peers if peer.state in LIVE}
            elif kind == "sync":
                self._retry.succeeded()
                self._replace_locked(self._snapshot, line["seq"], now)
            elif "peer" in line:  # a daemon of a later version may send lines that are about no peer
                peer, former = peer_from_json(line["peer"]), line.get("former", "")
                event = Event(kind=kind, seq=line["seq"], peer=peer, reason=line["reason"], former=former)
                self._apply_locked(event, now)
            self._lock.notify_all()

    def _replace_locked(self, fresh: dict[tuple[str, str], tuple[float, Peer]], seq: int, now: float) -> None:
        """Take a new snapshot over, telling subscribers what it changes."""
        self._seq = seq
        before, self._lost_at, self.last_error = dict(self._peers), None, ""
        reason = "seen after connecting to the daemon"
        for key, (_, peer) in before.items():
            if key not in fresh:
                self._apply_locked(Event(kind="down", seq=seq, peer=replace(peer, state="down"), reason=reason), now)
        for key, (_, peer) in fresh.items():
            if key not in before:
                self._apply_locked(Event(kind="joined", seq=seq, peer=peer, reason=reason), now)
        self._peers = dict(fresh)

    def _apply_locked(self, event: Event, now: float) -> None:
        self._seq = event.seq
        if event.former:
            self._peers.pop((event.peer.id, event.former), None)  # a boot that was replaced is not told to be gone
        if event.peer.state in LIVE:
            self._peers[_key(event.peer)] = (now, event.peer)
        else:
            self._peers.pop(_key(event.peer), None)
        for subscription in self._subscriptions:
            subscription.put(event)

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def _fail(self, _: str, error: BaseException) -> None:
        with self._lock:
            self._failure = error
            self._lock.notify_all()
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


def _key(peer: Peer) -> tuple[str, str]:
    return peer.id, peer.boot


def _aged(peer: Peer, elapsed: float) -> Peer:
    return replace(
        peer,
        first_seen_s=peer.first_seen_s + elapsed,
        last_heard_s=peer.last_heard_s + elapsed,
        expires_s=peer.expires_s - elapsed,
    )
