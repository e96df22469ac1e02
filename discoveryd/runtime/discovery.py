"""Discovery: the public face of a node. Its threads are the driver's, its sockets those of transports and servers."""

import atexit
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar, Unpack

from discoveryd.errors import QueryError
from discoveryd.net.stamps import boottime
from discoveryd.net.systemd import Listener
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.messages.values import Delivery
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.wire.messages import GoodbyeReason
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query.messages import Draft, MessageResult, Where
from discoveryd.runtime.announcement import Announcement, of_name
from discoveryd.runtime.arguments import check_functions, checked_services
from discoveryd.runtime.driver import JOIN_TIMEOUT, Driver
from discoveryd.runtime.entropy import BufferedRandom
from discoveryd.runtime.errands import Errands
from discoveryd.runtime.examiner import Examiner
from discoveryd.runtime.message_handlers import Handler
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.pings import PingResult, Pings
from discoveryd.runtime.query_handlers import Control, QueryHandlers
from discoveryd.runtime.servers import Servers
from discoveryd.runtime.subscription import Subscription
from discoveryd.runtime.worker import Heartbeat

_Seen = TypeVar("_Seen")


class Discovery:
    """A node of the network, alive between `start` and `stop`.

    Nothing is opened and no thread started before `start`; it opens everything first, in the caller's
    thread, and starts the threads only when all of it could be had.

        >>> from discoveryd import Discovery, Parameters
        >>> quiet = Parameters(loopback="127.1.2.3", port=34001)  # stays on this machine
        >>> with Discovery(quiet, name="renderer", tags={"role": "gpu"}) as discovery:
        ...     discovery.peers()
        ()

    Leaving the ``with`` block, or the end of the interpreter, says goodbye. SIGTERM ends Python without either, and a
    library must not take signals: a program that SIGTERM is to end calls
    ``signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))`` in its main thread.

    A process that is forked off (gunicorn with --preload, multiprocessing) has none of the threads: there everything
    but `stop` raises RuntimeError. Make a Discovery in the child, after the fork, such as in gunicorn's post_fork.

    Args:
        parameters: how to speak; defaults if None.
        name: of this node; if None the machine's name, also when that changes.
        tags: of this node.
        services: that it offers.
        node_id: stable id; a new random one for each run if empty.
        query: where to open the query socket, None for none.
        listener: a socket that listens there already, opened by a service manager.
        is_patient: where the query port is taken, or the address not there yet, `start` does not fail: a notice says
            so, and it is tried again each 5 s.
        metrics: where to serve the metrics over HTTP, None for not at all.
        control: what programs that ask there with its token may change, None for nothing.
        keyring: keys shared with other nodes, and whether they are required.
        notify: told each `Notice`, in one of the threads, without the lock.
        clock: seconds; CLOCK_BOOTTIME unless a test says otherwise.

    Raises:
        ConfigError: an argument is not what it must be, or name, tags and services are too long together.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        services: Iterable[Service] = (),
        node_id: str = "",
        query: tuple[str, int] | None = None,
        listener: Listener | None = None,
        is_patient: bool = False,
        metrics: tuple[str, int] | None = None,
        control: Control | None = None,
        keyring: Keyring = NO_KEYS,
        notify: Callable[[Notice], None] | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        services = checked_services(
            services, query, metrics, parameters=parameters, name=name, tags=tags, node_id=node_id, keyring=keyring
        )
        check_functions(notify=notify, clock=clock)
        parameters = parameters or Parameters()
        self._notify = notify or (lambda _: None)
        self._announcement = Announcement(name, tags, services)
        self._node = Node(
            parameters, self._announcement.record, node_id=node_id, random=BufferedRandom(), keyring=keyring,
            process=os.getpid, clock=clock,
        )  # fmt: skip
        self._node.outbox.expects_echo = True  # what the kernel broadcasts it gives to us as well
        self._driver = Driver(
            self._node, (UdpTransport(parameters, clock),), clock=clock, notify=self._notify,
            wake_servers=lambda: self._servers.wake(),  # noqa: PLW0108 - they are made below
            errand=lambda: self._errands.run(),  # noqa: PLW0108 - as well
        )  # fmt: skip
        self._errands = Errands(self._driver, self._announcement, self._announce, self._notify, clock)
        self._errands.resolve(parameters, is_local=bool(parameters.loopback))
        self.messages = self._driver.messages
        self.perform = self._driver.perform
        self.handlers = QueryHandlers(self, control)
        self._servers = Servers(
            query, metrics, self.handlers, parameters.limits, listener, is_patient=is_patient,
            clock=clock, notify=self._notify, failed=self._driver.fail,
        )  # fmt: skip
        self._stack = ExitStack()
        self.examiner = Examiner(self._driver, self._servers, self._errands.seed_states, clock)
        self.messages.builtins.uptime = self.examiner.uptime
        self.pulse = Heartbeat((*self._driver.workers, *self._servers.watched), self._driver.nudge)

    # --- life -----------------------------------------------------------------------------------

    def start(self, opened: Callable[[], None] | None = None) -> None:
        """Open the sockets, then start the threads.

        Args:
            opened: called in between, when no request has been answered yet.

        Raises:
            OSError: a port is taken (it says by which process; see `is_patient`) or must not be; nothing stays open.
            RuntimeError: it was started before, or made in another process, whose boot and keys' counters it has.
        """
        self._driver.birthplace.check()
        if self._driver.is_running or self._driver.is_stopping:
            raise RuntimeError("a Discovery starts once")
        with ExitStack() as stack:
            self._driver.network.open(stack, self.parameters)
            self._servers.open(stack)
            if opened is not None:
                opened()
            self._stack = stack.pop_all()
        self.examiner.begin()
        atexit.register(self.stop)  # a program that just ends has left, too
        try:
            self._driver.start()
            self._servers.start()
        except OSError:
            self.stop()
            raise
        self._servers.tell_errors()
        self._driver.links.report_start()
        if self._announcement.fault:
            self._notify(of_name("", self._node.record.name, self._announcement.fault))

    def stop(self, reason: GoodbyeReason = "stop") -> None:
        """Say goodbye, end the threads, close the sockets. Safe to call again, and before `start`.

        The end of the interpreter does it too, but no signal does: see `Discovery`. In a forked child nothing is
        said, since the node lives on in the parent; only what was inherited is closed.

        Args:
            reason: of the goodbye: ``stop``, ``restart``, ``upgrade``, ``reboot`` or ``poweroff``.

        Raises:
            RuntimeError: a thread did not end; names it.
        """
        atexit.unregister(self.stop)
        if self._driver.birthplace.is_elsewhere:
            self._stack.close()
            return
        if not self._driver.begin_stop():
            return
        stuck = self._driver.stop(reason) + self._servers.stop(JOIN_TIMEOUT) if self._driver.is_running else []
        self._driver.change(lambda *_: self._driver.publisher.end())
        if not stuck:
            self._stack.close()
        stuck += self.messages.stop(JOIN_TIMEOUT)  # a handler that hangs holds no socket
        if stuck:
            raise RuntimeError(f"did not end within {JOIN_TIMEOUT:g} s: {', '.join(stuck)}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what a program asks --------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of this node."""
        return self._node.id

    @property
    def parameters(self) -> Parameters:
        """The parameters in force."""
        return self._node.parameters

    @property
    def query_address(self) -> tuple[str, int] | None:
        """Where the query socket listens."""
        return self._servers.query.address if self._servers.query else None

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where the metrics are served over HTTP."""
        return self._servers.metrics.address if self._servers.metrics else None

    def peers(self, *, gone: bool = False) -> tuple[Peer, ...]:
        """Return the peers that are up; with `gone` also those that went down or left."""
        return self.look(lambda node, now: node.peers(now, gone=gone))

    def look(self, at: Callable[[Node, float], _Seen]) -> _Seen:
        """Return what a function makes of the engine and the time, called with the lock held: it must be quick."""
        return self._driver.look(at)

    def subscribe(self, queue: SimpleQueue[Any] | None = None) -> Subscription:
        """Begin a stream of events, with the peers there are at this moment.

        Args:
            queue: where to put the events (None at the end, or when it lagged) for a thread that also
                waits for other things; without one, read the subscription itself.
        """
        return self._driver.subscribe(queue)

    def status(self) -> dict[str, Any]:
        """Return what ``discoveryctl status --json`` shows."""
        return self.examiner.status()

    def doctor(self, peer: str = "") -> dict[str, Any]:
        """Return what looks wrong here, or why a peer is missing, as ``discoveryctl doctor --json`` shows it.

        A peer is meant by name, id, address or boot, and may never have been heard. It is asked, and others about it
        where it is missing, which takes 1.2 s if they do not answer. A QueryError: ``busy``.
        """
        return self.examiner.doctor(peer)

    def receive_buffer(self) -> dict[str, int]:
        """Return the bytes of each receive buffer, and the bytes that were wanted."""
        return self.examiner.receive_buffer()

    def report(self, name: str, give: Callable[[], Any]) -> None:
        """Let `status` show another section; `give` returns it, in any thread, without the lock."""
        self.examiner.sections[name] = give

    def summary(self) -> str:
        """Return one line such as ``12 up, 1 suspect, 2 links``."""
        return self.examiner.summary()

    def ping(self, peer: str, *, count: int = 1, timeout: float = 1.0) -> PingResult:
        """Ping a peer and wait for the answers.

        Args:
            peer: its name, id (or the first digits) or address.
            count: of PINGs, 0.2 s apart.
            timeout: seconds to wait for the last answer.

        Raises:
            ConfigError: an argument is not what it must be.
            QueryError: ``not_found``; ``ambiguous`` where several are meant; ``bad_request`` for a bare peer, which
                cannot answer; ``busy`` with 16 such requests under way.
        """
        results: SimpleQueue[PingResult] = SimpleQueue()
        self.begin_ping(peer, count=count, timeout=timeout, done=results.put)
        try:
            return results.get(timeout=Pings.duration(count, timeout) + JOIN_TIMEOUT)
        except Empty:
            raise QueryError("stopping", "discovery stopped before the answer") from None

    def begin_ping(
        self, peer: str, *, count: int, timeout: float, done: Callable[[PingResult], None]
    ) -> Callable[[], None]:
        """Ping a peer as `ping` does; `done` is called once with the result, in one of the threads, without the lock.

        Returns:
            a function that ends the request early, without a result; call it at any time, in any thread.
        """
        return self.examiner.begin_ping(peer, count=count, timeout=timeout, done=done)

    def send(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0, wait_handled: bool = False,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Send a message to other nodes, and wait until each has acknowledged it, or the timeout.

        Args:
            message: its name, 1 to 32 of ``a-z 0-9 -``.
            payload: at most 65,536 bytes where datagrams are sealed, else 600.
            timeout: seconds for all of it.
            wait_handled: whether to wait for the end of the handlers.
            told: called with each change as it comes, in this thread.
            where: the receivers: `to`, `everyone`, or a filter.

        Raises:
            QueryError: ``bad_argument``, ``too_long``, ``not_found``, ``ambiguous``, ``busy``: nothing was sent.
        """
        draft = Draft(name=message, payload=payload, where=where, wants_handled=wait_handled, timeout=timeout)
        return self.messages.wait(draft, told)

    def ask(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Send a question, and wait for an answer of each; arguments and errors are those of `send`."""
        draft = Draft(name=message, payload=payload, where=where, is_question=True, timeout=timeout)
        return self.messages.wait(draft, told)

    def on_message(self, name: str, handler: Handler | None) -> None:
        """Let a function handle the messages of this name from now on; None for no handler.

        All handlers share a thread. What it returns of an `IncomingMessage` (bytes, text or None) is the answer to a
        question; an exception means that it failed. A name that is built in, or that none can have, is a ConfigError.
        """
        self.messages.library.set(name, handler)

    def set_record(self, *, name: str | None, tags: Mapping[str, str], services: Iterable[Service]) -> None:
        """Announce another record from now on; what it has is as in `Discovery`, besides what is offered.

        Raises:
            ConfigError: not allowed, or too long together with what else is offered; nothing has changed then.
        """
        self._announce(lambda: self._announcement.configured(name, tags, services))

    def offer(self, owner: str, services: Iterable[Service]) -> None:
        """Offer these services in place of those this owner (such as ``services.d``) offered before; none end them.

        Raises:
            ConfigError: too long together with the rest of the record; nothing has changed then.
        """
        self._announce(lambda: self._announcement.offered(owner, services))

    def set_parameters(self, parameters: Parameters) -> None:
        """Change how to speak. Port, realm and loopback stay as they are until a new start: see `parameters`."""
        self._driver.change(lambda node, now: node.set_parameters(parameters, now))
        self._errands.resolve(parameters, is_local=bool(self.parameters.loopback))
        self._servers.set_limits(parameters.limits)
        self._driver.network.request_scan()

    def set_keyring(self, keyring: Keyring) -> None:
        """Take other keys, another one to send with, or another mode, without losing a peer."""
        self._driver.change(lambda node, _: node.set_keyring(keyring))

    def _announce(self, make: Callable[[], Record]) -> None:
        self._driver.change(lambda node, now: node.set_record(make(), now))
