"""The routes: which path is answered by what, and how an error becomes a status of HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from discoveryd.errors import QueryError
from discoveryd.query.reply import error_line
from discoveryd.query.request import parse_request
from discoveryd.web.answers import TryLaterError, WebAnswers, arguments_of, request_of
from discoveryd.web.events import Hub
from discoveryd.web.gate import IS_ENTITLED
from discoveryd.web.page import HTML, WebPage
from discoveryd.web.responses import JSON, EventStream, Owed, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


MetricsAnswer = Callable[[str, str, str], Awaitable[tuple[list[tuple[str, str]], bytes]]]
"""Returns headers and text of the metrics, given Accept, Accept-Encoding and the query of the URL."""

MAX_BODY = 4096
"""Bytes of a request for a doctor."""

_STATUSES = {
    "bad_argument": 400, "bad_request": 400, "unknown_op": 400, "denied": 403, "not_found": 404, "off": 404,
    "ambiguous": 409, "too_long": 413,
}  # fmt: skip
"""By code of a QueryError; of others it is 503, which says to try again."""
PATIENCE = 1.0
"""Seconds that the page waits for the data that is in it for browsers without JavaScript."""
AGAIN = "5"
"""Seconds after which to try again what is `busy`."""


class Site:
    """What is served at ``web.listen``.

    Args:
        answers: to all that is asked.
        hub: of the events.
    """

    def __init__(self, answers: WebAnswers, hub: Hub) -> None:
        self._answers = answers
        self._hub = hub
        self._page = WebPage()

    def application(self) -> Starlette:
        """Return the application."""
        return _application(
            [
                Route("/", self._home),
                Route("/metrics", _metrics(self._answers.metrics)),
                Route("/sd/prometheus", self._targets),
                Route("/api/v1/peers", self._peers),
                Route("/api/v1/sites", self._sites),
                Route("/api/v1/status", self._status),
                Route("/api/v1/findings", self._findings),
                Route("/api/v1/history", self._history),
                Route("/api/v1/availability", self._availability),
                Route("/api/v1/doctor", self._doctor, methods=["POST"]),
                Route("/events", self._events),
            ]
        )

    async def _home(self, request: Request) -> Response:
        document = self._page.render()
        if request.scope[IS_ENTITLED]:
            with suppress(TimeoutError):  # without data it is the same page to a browser with JavaScript
                document = await asyncio.wait_for(self._answers.page(self._page), PATIENCE)
        headers = {"content-type": HTML, "content-security-policy": self._page.policy}
        return Text(document, headers=headers)  # as a media type, older versions would add a second charset

    async def _targets(self, request: Request) -> Response:
        return _json(await self._answers.targets(request.query_params.multi_items()))

    async def _peers(self, request: Request) -> Response:
        return _json(await self._answers.peers(request.query_params.multi_items()))

    async def _sites(self, _: Request) -> Response:
        return _json(await self._answers.sites())

    async def _status(self, _: Request) -> Response:
        return _json(await self._answers.status())

    async def _findings(self, _: Request) -> Response:
        return _json(await self._answers.findings())

    async def _history(self, request: Request) -> Response:
        return _json(await self._answers.past("history", request.query_params.multi_items()))

    async def _availability(self, request: Request) -> Response:
        return _json(await self._answers.past("availability", request.query_params.multi_items()))

    async def _doctor(self, request: Request) -> Response:
        fields = {**arguments_of(await _body(request)), "op": "doctor"}
        fields.pop("proof", None)  # what the control token guards is not to be had here
        return _json(await self._answers.doctor(parse_request(json.dumps(fields).encode()).peer))

    async def _events(self, request: Request) -> Response:
        query = [pair for pair in request.query_params.multi_items() if pair[0] != "last_event_id"]
        last_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id", "")
        asked = request_of("watch", query)
        if request.method == "HEAD":
            return Response(headers={"content-type": "text/event-stream; charset=utf-8"})
        return EventStream(self._hub, await self._hub.open(asked.filter, last_id, asked.site))


def make_metrics_site(metrics: MetricsAnswer) -> Starlette:
    """Return the application of ``metrics.listen``: the metrics alone."""
    return _application([Route("/metrics", _metrics(metrics))])


def _application(routes: list[Route]) -> Starlette:
    made = Starlette(routes=routes, exception_handlers=_HANDLERS)
    made.state.owed = Owed()
    return made


def _metrics(metrics: MetricsAnswer) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        headers, text = await metrics(
            request.headers.get("accept", ""),
            request.headers.get("accept-encoding", ""),
            request.url.query,
        )
        return Text(text, headers=dict(headers))

    return answer


async def _body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        QueryError: ``too_long``.
    """
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > MAX_BODY:
            raise QueryError("too_long", f"the body is at most {MAX_BODY} bytes")
    return found


def _json(line: bytes) -> Response:
    """Return an answer of the query socket; one that is an error has the status of that."""
    if line.startswith(b'{"ok":false'):
        error = json.loads(line)["error"]
        return _refused(QueryError(error["code"], error["message"]))
    return Text(line, media_type=JSON)


def _refused(error: QueryError) -> Response:
    status = _STATUSES.get(error.code, 503)
    headers = {"retry-after": AGAIN} if status == 503 else {}
    return Response(error_line(error.code, error.message), status, headers, JSON)


async def _on_query_error(_: Request, error: Any) -> Response:
    return _refused(error)


async def _on_later(_: Request, error: Any) -> Response:
    headers = {"retry-after": str(ceil(error.after))}
    return Response(error_line(error.code, error.message), error.status, headers, JSON)


async def _on_http_error(request: Request, error: Any) -> Response:
    """Answer for a path or a method that there is not."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        body = error_line("bad_request", f"{request.method} is not for {request.url.path[:80]}, which takes {allowed}")
        return Response(body, 405, {"allow": allowed}, JSON)
    paths = sorted(route.path for route in request.app.routes)
    body = error_line("not_found", f"nothing is at {request.url.path[:80]}; there are {', '.join(paths)}")
    return Response(body, error.status_code, media_type=JSON)


_HANDLERS: Mapping[Any, Any] = {
    QueryError: _on_query_error, TryLaterError: _on_later, HTTPException: _on_http_error,
}  # fmt: skip
