"""What is answered over HTTP: the JSON of the query socket, metrics, and targets for Prometheus.

A request waits for no other, and the event loop for none: what takes the lock of the node, or reads files, runs in a
thread, a few at a time. All that ask the same at the same time get one answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from discoveryd.errors import QueryError
from discoveryd.exports.hold import Hold
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.query.formats.exports import ExportOptions, export_text
from discoveryd.query.reply import encode
from discoveryd.query.request import Filter, Request, parse_request
from discoveryd.runtime.query_handlers import list_line

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.web.page import WebPage

Made = TypeVar("Made")


class TryLaterError(Exception):
    """Something that is answered later only.

    Attributes:
        status: of HTTP.
        code: a word, as the errors of the query socket have it.
        message: for people.
        after: seconds after which to try again.
    """

    def __init__(self, status: int, code: str, message: str, *, after: float) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.after = after


THREADS = 2
"""Answers that are made at the same time."""
FRESH = 0.25
"""Seconds for which an answer is given again to the same question."""
KEPT = 32
"""Such answers."""
PATIENCE = 10.0
"""Seconds that the history, the sites, or a doctor, may take."""
CUT_OFF = 10.0
"""Seconds after which to ask again where this node is cut off."""
DOCTOR_PAUSE = 5.0
"""Seconds between two reports of a doctor: about a peer it asks that peer, and others."""

_FLAGS = {"": True, "1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
_NAMES = {"self": "with_self"}


class WebAnswers:
    """Answers requests. Made, and used, on the event loop.

    Args:
        discovery: the node.
    """

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._threads = asyncio.Semaphore(THREADS)
        self._shared: dict[Any, tuple[float, asyncio.Task[bytes]]] = {}
        self._hold = Hold(discovery.look(lambda _, now: now))
        self._doctor_due = 0.0
        self._doctor_is_busy = False

    @property
    def kept(self) -> int:
        """How many answers are kept for those that ask the same."""
        return len(self._shared)

    async def look(self, at: Callable[[Node, float], Made]) -> Made:
        """Return what a function makes of the engine; it is called with the lock held, in a thread."""
        async with self._threads:
            return await asyncio.to_thread(self._discovery.look, at)

    # --- the table ------------------------------------------------------------------------------

    async def peers(self, query: Iterable[tuple[str, str]]) -> bytes:
        """Return the reply to ``list``."""
        asked = tuple(query)
        request = request_of("list", asked)
        if request.site:
            return await self._made(("list", asked), partial(self._of_sites, request))
        make = partial(self._listing, request.filter, with_self=request.wants_self)
        return await self._made(("list", asked), partial(self._in_thread, make))

    async def sites(self) -> bytes:
        """Return the reply to ``sites``."""
        return await self._made("sites", partial(self._of_sites, Request(op="sites")))

    async def targets(self, query: Iterable[tuple[str, str]]) -> bytes:
        """Return targets for Prometheus.

        Raises:
            TryLaterError: the peers are not known yet, or no longer; Prometheus then keeps what it has.
        """
        port, service, others, asked = 0, None, [], tuple(query)
        for key, value in asked:
            if key == "port":
                port = _port(value)
            else:
                service = value if key == "service" else service
                others.append((key, value))
        if not any(key == "self" for key, _ in others):
            others.append(("self", "1"))
        request = of_here(request_of("list", others))
        await self._check_warm()

        def make() -> bytes:
            found = json.loads(self._listing(request.filter, with_self=request.wants_self))
            options = ExportOptions(port=port, service=service)
            return export_text("prometheus", found["peers"], found.get("self"), options).encode()

        return await self._made(("targets", asked), partial(self._in_thread, make))

    async def watch_hold(self) -> None:
        """Take note of whether this node is cut off, between requests."""
        await self._settled()

    async def _settled(self) -> float:
        """Return the seconds until the table is known to be whole: infinity while this node is cut off."""
        interval, ttl, is_isolated, now = await self.look(
            lambda node, now: (node.interval(now), node.ttl(node.interval(now)), node.is_isolated(now), now)
        )
        return self._hold.until(now, interval=interval, ttl=ttl, is_isolated=is_isolated)[1] - now

    async def _check_warm(self) -> None:
        if (wait := await self._settled()) > 0:
            is_cut_off = wait == inf
            why = "this node is cut off" if is_cut_off else f"the table is whole in {wait:.1f} s"
            after = CUT_OFF if is_cut_off else wait
            raise TryLaterError(503, "not_ready", f"{why}: keep the targets that you have", after=after)

    def _listing(self, chosen: Filter, *, with_self: bool) -> bytes:
        return list_line(self._discovery, chosen, with_self=with_self)

    # --- the node -------------------------------------------------------------------------------

    async def status(self) -> bytes:
        """Return the reply to ``status``."""
        return await self._made("status", partial(self._in_thread, lambda: encode(self._discovery.status())))

    async def findings(self) -> bytes:
        """Return what looks wrong."""

        def make() -> bytes:
            return encode({"ok": True, "schema": SCHEMA, "findings": self._discovery.status()["findings"]})

        return await self._made("findings", partial(self._in_thread, make))

    async def page(self, page: WebPage) -> bytes:
        """Return the page with what is known now."""

        def make() -> bytes:
            peers = json.loads(self._listing(Filter(all=True), with_self=False))["peers"]
            return page.render(self._discovery.status(), peers)

        return await self._made("page", partial(self._in_thread, make))

    async def metrics(self, accept: str, encoding: str, query: str) -> tuple[list[tuple[str, str]], bytes]:
        """Return headers and text of the metrics."""
        async with self._threads:
            return await asyncio.to_thread(self._discovery.handlers.metrics_page, accept, encoding, query)

    async def doctor(self, peer: str) -> bytes:
        """Return the report of a doctor, about a peer or about this node.

        Raises:
            TryLaterError: another was asked for a short while ago.
            QueryError: ``busy``.
        """
        wait = self._doctor_due - monotonic()
        if self._doctor_is_busy or wait > 0:
            why = f"one report at a time, and one in {DOCTOR_PAUSE:g} s"
            raise TryLaterError(429, "too_often", why, after=max(wait, 1.0))
        self._doctor_is_busy, self._doctor_due = True, monotonic() + DOCTOR_PAUSE
        try:
            async with self._threads:
                examine = partial(self._discovery.examiner.doctor, peer, is_entitled=False)
                return encode(await asyncio.to_thread(examine))
        finally:
            self._doctor_is_busy = False

    # --- the past -------------------------------------------------------------------------------

    async def past(self, op: str, query: Iterable[tuple[str, str]]) -> bytes:
        """Return the reply to ``history`` or ``availability``."""
        request = request_of(op, query)
        if op not in self._discovery.handlers.parts:
            raise QueryError("off", f"{op} is answered by a daemon, and this is a program that embeds one")
        return await self._told(partial(self._discovery.handlers.parts[op], request), "the history does not answer now")

    async def _of_sites(self, request: Request) -> bytes:
        """Return the reply to a request about sites; as many at the same time as there are threads."""
        ends: list[Callable[[], object]] = []

        def begin(reply: Callable[..., None]) -> None:
            ends.append(self._discovery.handlers.begin_of_sites(request, reply))

        async with self._threads:
            try:
                return await self._told(begin, "the sites do not answer now")
            finally:
                for end in ends:
                    end()

    async def _told(self, begin: Callable[[Callable[[bytes], None]], None], why: str) -> bytes:
        """Return what `begin` has told, in any thread; `why` not, if that takes too long."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[bytes] = loop.create_future()

        def settle(line: bytes) -> None:
            if not found.done():
                found.set_result(line)

        def tell(line: bytes) -> None:
            loop.call_soon_threadsafe(settle, line)

        begin(tell)
        try:
            return await asyncio.wait_for(found, PATIENCE)
        except TimeoutError:
            raise QueryError("failed", why) from None

    async def _made(self, key: object, make: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        """Return what a function makes, or just made, of the same question."""
        now = monotonic()
        due, task = self._shared.get(key, (0.0, None))
        if task is None or now >= due:
            task = asyncio.get_running_loop().create_task(make())
            self._shared.pop(key, None)
            self._shared[key] = now + FRESH, task
            while len(self._shared) > KEPT:
                del self._shared[next(iter(self._shared))]
        return await asyncio.shield(task)

    async def _in_thread(self, make: Callable[[], bytes]) -> bytes:
        async with self._threads:
            return await asyncio.to_thread(make)


def request_of(op: str, query: Iterable[tuple[str, str]]) -> Request:
    """Return the request of the query socket that the query of a URL means, such as ``?tag=role=gpu&state=up``.

    Raises:
        QueryError: ``bad_argument``.
    """
    fields: dict[str, Any] = {"op": op}
    for key, value in query:
        match key:
            case "state":
                fields.setdefault("state", []).append(value)
            case "tag":
                name, equals, wanted = value.partition("=")
                if not equals:
                    raise QueryError("bad_argument", f"tag must be KEY=VALUE, not {value!r:.60}")
                fields.setdefault("tags", {})[name] = wanted
            case _ if key in fields:
                raise QueryError("bad_argument", f"{key[:40]!r} stands twice: give it once")
            case "all" | "self":
                if value.lower() not in _FLAGS:
                    raise QueryError("bad_argument", f"{key} must be 1 or 0, not {value!r:.60}")
                fields[_NAMES.get(key, key)] = _FLAGS[value.lower()]
            case "since_s":
                fields[key] = _number(value)
            case _:
                fields[key] = value
    return parse_request(json.dumps(fields).encode())


def of_here(request: Request) -> Request:
    """Return a request that is about this network alone.

    Raises:
        QueryError: ``bad_argument``: it names a site.
    """
    if request.site:
        raise QueryError("bad_argument", "this is about this network alone: /api/v1/peers and /events take a site")
    return request


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise QueryError("bad_argument", f"since_s must be a number of seconds, not {text!r:.60}") from None


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 65535:
        return int(text)
    raise QueryError("bad_argument", f"port must be 1 to 65535, not {text!r:.60}")


def arguments_of(body: bytes) -> Mapping[str, Any]:
    """Return the arguments in the body of a POST, none if it is empty.

    Raises:
        QueryError: ``bad_request``.
    """
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise QueryError("bad_request", 'the body must be a JSON object such as {"peer":"bert"}, or nothing')
    return found
