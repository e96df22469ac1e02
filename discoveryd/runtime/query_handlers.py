"""The answers to requests at the query socket, out of a Discovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol

from discoveryd import __version__
from discoveryd.errors import ConfigError, QueryError, SubscriptionLagged
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.values import Delivery
from discoveryd.protocol.table.peer import SCHEMA, Event, peer_json
from discoveryd.protocol.wire.record import Service
from discoveryd.query import reply as query
from discoveryd.query.messages import delivery_json, message_json, summary_json
from discoveryd.query.proof import daemon_proof, proof_of
from discoveryd.query.request import Filter, Request
from discoveryd.query.watch import Watch
from discoveryd.runtime.inquiries import Question
from discoveryd.runtime.messages import Sending
from discoveryd.runtime.pings import PingResult
from discoveryd.runtime.subscription import Subscription

OF_PARTS = ("history", "availability", "maintenance", "forget")
"""Requests that parts of the daemon answer."""
PartAnswer = Callable[[Request, Callable[[bytes], None]], None]
"""Takes a request and what sends its reply, from any thread; raises QueryError, and never waits."""
SiteAnswer = Callable[[Request, Callable[..., None]], Callable[[], object]]
"""The same for requests about sites. A ``watch`` replies without end, until what this returns is called."""
YIELD = 0.0002
"""Seconds between two turns of a long answer."""

if TYPE_CHECKING:
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.metrics import Metrics


@frozen
class ReloadResult:
    """The result of reading the configuration again.

    Attributes:
        problems: why it was refused and the former configuration stays, a sentence each; empty if it is in force.
        needs_restart: of what changed and holds only from a restart on, each ``{"key", "now", "wanted"}``.
    """

    problems: tuple[str, ...] = ()
    needs_restart: tuple[Mapping[str, Any], ...] = ()


class Control(Protocol):
    """What programs with the control token of the daemon may do."""

    token: str
    """The secret that a program proves to know."""

    def reload(self, done: Callable[[ReloadResult], None]) -> None:
        """Have the configuration read again, without waiting for it; `done` is called once, in any thread."""


class QueryHandlers:
    """Answers requests; called in the thread of the query server.

    Args:
        discovery: with the answers.
        control: what may be changed; None for nothing.

    Attributes:
        registrations: services that programs have registered.
        parts: what answers the requests of `OF_PARTS`, by op.
        wakes: called after events were published, in any thread; quick.
        sites: what answers requests about sites, where this node belongs to one.
        list_sites: returns the reply to a ``list`` of a site with this node; for threads that may wait.
    """

    def __init__(self, discovery: Discovery, control: Control | None = None) -> None:
        self._discovery = discovery
        self._control = control
        self._ends: dict[tuple[int, str], Callable[[], object]] = {}  # what ends the last such request of a connection
        self._registered: dict[int, dict[tuple[str, int, str], Service]] = {}  # by connection
        self._events: Subscription | None = None
        self.registrations = 0
        self.parts: dict[str, PartAnswer] = {}
        self.wakes: list[Callable[[], None]] = []
        self.sites: SiteAnswer | None = None
        self.list_sites: Callable[[Filter, str], bytes] | None = None

    def subscribe(self) -> None:
        """Begin to collect events for the watches."""
        self._events = self._discovery.subscribe()

    def greeting(self, nonce: str, *, is_stranger: bool) -> bytes:
        """Return the line sent on connect; a stranger learns only that a token is wanted."""
        speaks = {"discoveryd": __version__, "protocol": query.PROTOCOL, "schema": SCHEMA, "nonce": nonce}
        return query.encode({**speaks, **({"token": True} if is_stranger else {"node": self._node()})})

    def allow(self, request: Request, nonce: str) -> None:
        """Check the proof of the control token.

        Raises:
            QueryError: ``denied``.
        """
        from hmac import compare_digest  # noqa: PLC0415 - nobody changes anything before the first HELLO

        token = self._control.token if self._control else ""
        if not token:
            why = "this daemon has no control token, so nothing can be changed over this socket: its log says why"
            raise QueryError("denied", why)
        if not request.proof:
            why = f"{request.op} needs a proof of the control token, which is in the daemon's runtime directory"
            raise QueryError("denied", f"{why} (docs/query.md, Control)")
        wanted = proof_of(token, nonce, request.signed)
        if not compare_digest(request.proof.encode("utf-8", "replace"), wanted.encode()):
            why = "this is not the control token of this daemon: name its file with --token-file"
            raise QueryError("denied", why)

    def hello(self, request: Request, nonce: str) -> bytes:
        """Return the reply to a program with the token: this node, and a proof that the daemon has the token too."""
        assert self._control is not None
        proof = {"proof": daemon_proof(self._control.token, request.nonce, nonce)} if request.nonce else {}
        return query.encode({"ok": True, "schema": SCHEMA, "node": self._node(), **proof})

    def answer(self, request: Request) -> bytes:
        """Return the reply to ``list``, ``show``, ``status``, ``doctor`` or ``metrics``.

        That to ``list`` is written by `discoveryd.query.reply.Listing`, of what each row keeps (`Row.text`).
        """
        if request.op == "status":
            return query.encode(self._discovery.status())
        if request.op == "doctor":
            return query.encode(self._discovery.doctor())
        if request.op == "metrics":
            return query.encode({"ok": True, "schema": SCHEMA, **self._metrics.read()})
        if request.op == "list":
            return list_line(self._discovery, request.filter, with_self=request.wants_self)
        return query.encode(self._discovery.look(lambda node, now: query.show_answer(node, request.peer, now)))

    def metrics_page(self, accept: str, encoding: str, query: str) -> tuple[list[tuple[str, str]], bytes]:
        """Return headers and text of the metrics for HTTP, as `Metrics.page`; in any thread."""
        return self._metrics.page(accept, encoding, query)

    def watch(self, chosen: Filter) -> tuple[bytes, Watch]:
        """Return the opening lines of a watch, and its state."""
        return self._discovery.look(lambda node, now: query.open_watch(node, chosen, now))

    def begin(self, request: Request, reply: Callable[..., None], connection: int) -> None:
        """Begin what takes a while (``ping``, ``doctor``, ``send`` …), and ends with its connection."""
        messages, examiner = self._discovery.messages, self._discovery.examiner
        if request.is_about_sites:
            self._ends.pop((connection, request.op), lambda: None)()
            self._ends[connection, request.op] = self.begin_of_sites(request, reply)
            return
        if request.op in OF_PARTS:
            if request.op not in self.parts:
                raise QueryError("off", f"{request.op} is answered by a daemon, and this is a program that embeds one")
            self.parts[request.op](request, reply)
            return
        if request.op == "reload":
            assert self._control is not None
            self._control.reload(lambda result: reply(_reloaded(result)))
            return
        if request.op == "ping":
            end = self._begin_ping(request, reply)
        elif request.op == "doctor":
            end = examiner.begin_inquiry(
                request.peer,
                is_entitled=bool(request.proof),
                done=lambda asked: reply(lambda: self._report(request.peer, asked)),
            )
        elif request.op == "messages":
            self._ends.pop((connection, request.op), lambda: None)()  # other names, in place of the former
            reply(query.encode({"ok": True, "schema": SCHEMA, "names": sorted(request.names)}), is_last=False)
            end = messages.watch(request.names, lambda one: reply(query.encode(message_json(one)), is_last=False))
        else:
            assert request.draft is not None
            end = messages.begin(request.draft, Answering(reply))
        self._ends[connection, request.op] = end

    def begin_of_sites(self, request: Request, reply: Callable[..., None]) -> Callable[[], object]:
        """Begin a request about sites, in any thread; return what ends it."""
        if self.sites is None:
            why = "this node belongs to no site: set sites.name and sites.servers (docs/sites.md)"
            raise QueryError("off", why)
        return self.sites(request, reply)

    def _report(self, peer: str, asked: Sequence[Question]) -> bytes:
        try:
            return query.encode(self._discovery.examiner.report(peer, asked))
        except OSError as error:  # no descriptor for what it reads
            return query.error_line("failed", f"cannot be answered now: {error.strerror or error}")

    def _begin_ping(self, request: Request, reply: Callable[..., None]) -> Callable[[], None]:
        examiner, count, timeout = self._discovery.examiner, request.count, request.timeout
        if not examiner.is_unlisted(request.peer):
            return examiner.begin_ping(
                request.peer, count=count, timeout=timeout, done=lambda result: reply(_pinged(result))
            )
        if not request.proof:
            why = f"{request.peer} is not listed: to ask it takes the control token (root, or --token-file)"
            raise QueryError("denied", why)
        return examiner.begin_asking(
            request.peer, count=count, timeout=timeout, done=lambda asked: reply(_answered(request.peer, asked[0]))
        )

    def register(self, request: Request, connection: int) -> bytes:
        """Announce a service, besides the services that this connection registered before."""
        assert request.service is not None
        before, service = self._registered.get(connection, {}), request.service
        after = {**before, (service.name, service.port, service.proto): service}
        limit = self._discovery.parameters.limits.registrations
        if self.registrations + len(after) - len(before) > limit:
            raise QueryError("refused", f"{limit} services are registered already (limits.registrations)")
        try:
            self._discovery.offer(_owner(connection), after.values())
        except ConfigError as error:
            raise QueryError("refused", "\n".join(error.problems), error.problems) from None
        self._registered[connection] = after
        self.registrations += len(after) - len(before)
        return query.encode({"ok": True, "schema": SCHEMA, "service": service.to_json()})

    def release(self, connection: int) -> None:
        """End what a connection asked for and registered."""
        for key in [key for key in self._ends if key[0] == connection]:
            self._ends.pop(key)()
        if connection in self._registered:
            self.registrations -= len(self._registered.pop(connection))
            self._discovery.offer(_owner(connection), ())

    def _node(self) -> dict[str, str]:
        return self._discovery.look(lambda node, _: {"id": node.id, "name": node.record.name, "boot": node.boot})

    def events(self) -> list[Event]:
        """Return the events since the last call."""
        events = self._events
        assert events is not None
        try:
            return list(iter(lambda: events.get(timeout=0), None))
        except SubscriptionLagged:
            self.subscribe()
            raise

    @cached_property
    def _metrics(self) -> Metrics:
        from discoveryd.runtime.metrics import Metrics  # noqa: PLC0415 - only where metrics are asked for

        return Metrics(self._discovery.status)


def list_line(
    discovery: Discovery, chosen: Filter, *, with_self: bool, site: str = "", others: Iterable[str] = ()
) -> bytes:
    """Return the reply to ``list``, written in turns that are short.

    Args:
        discovery: with the peers.
        chosen: the filter.
        with_self: whether this node is told of too.
        site: name of this site, for a list of more than one.
        others: the peers of other sites, as JSON.
    """
    listing = query.Listing(chosen, discovery.messages.builtins.uptime() if with_self else None, site)
    while not discovery.look(listing.turn):
        sleep(YIELD)  # or this thread would have the lock again before another that waits for it
    return listing.line(others)


class Answering:
    """Tells a program what becomes of its message, a line each.

    Args:
        reply: of `QueryHandlers.begin`.
    """

    def __init__(self, reply: Callable[..., None]) -> None:
        self._reply = reply
        self._ended: Counter[str] = Counter()

    def __call__(self, change: Sending | Delivery | QueryError | None) -> None:
        """Tell one change."""
        match change:
            case Sending():
                told = {"sending": {"number": change.number, "expected": change.expected}}
                self._reply(query.encode(told), is_last=False)
            case Delivery():
                self._ended[change.status] += change.is_final
                self._reply(query.encode(delivery_json(change)), is_last=False)
            case QueryError():
                self._reply(query.error_line(change.code, change.message))
            case None:
                self._reply(query.encode(summary_json(self._ended)))


def _owner(connection: int) -> str:
    return f"connection {connection}"


def _reloaded(result: ReloadResult) -> bytes:
    if result.problems:
        return query.error_line("refused", "\n".join(result.problems), result.problems)
    return query.encode({"ok": True, "schema": SCHEMA, "needs_restart": [dict(one) for one in result.needs_restart]})


def _answered(address: str, asked: Question) -> bytes:
    hears_us_ms = asked.said[-1].say.heard_ms if asked.said else None
    found = {
        "peer": None, "address": address, "sent": len(asked.nonces), "received": len(asked.said),
        "rtt_ms": [round(said.rtt * 1000, 3) for said in asked.said],
        "hears_us_s": None if hears_us_ms is None else hears_us_ms / 1000,
    }  # fmt: skip
    return query.encode({"ok": True, "schema": SCHEMA, **found})


def _pinged(result: PingResult) -> bytes:
    peer, rtts = peer_json(result.peer), result.rtt_ms
    found = {"peer": peer, "sent": result.sent, "received": len(rtts), "rtt_ms": rtts, "hears_us_s": result.hears_us_s}
    return query.encode({"ok": True, "schema": SCHEMA, **found, "address": peer["address"]})
