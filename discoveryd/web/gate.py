"""What every request passes first: is it meant for this machine, does a page of ours send it, has it the token?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import field
from email.utils import formatdate
from hmac import compare_digest
from typing import Any

from discoveryd.frozen import frozen
from discoveryd.net.http_host import is_ours
from discoveryd.query.reply import error_line

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HARMLESS_METHODS = ("GET", "HEAD")
METHODS = (*HARMLESS_METHODS, "POST")
IS_ENTITLED = "discoveryd.is_entitled"
"""Key of a scope: whether the request may see what is not free."""
CHALLENGE = 'Bearer realm="discoveryd"'
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer, unless it has its own."""


@frozen(kw_only=False)
class Refusal:
    """Why a request is not answered.

    Attributes:
        status: of HTTP.
        code: a word, as the errors of the query socket have it.
        message: for people.
    """

    status: int
    code: str
    message: str


@frozen
class Rules:
    """Which requests are answered.

    Attributes:
        token: that a request must have; empty for none.
        hosts: further names of this machine, in lower case.
        free: paths that need no token.
    """

    token: str = field(default="", repr=False)
    hosts: Collection[str] = ()
    free: Collection[str] = ()

    def refusal(self, scheme: str, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is not answered, None if it is.

        Args:
            scheme: ``http`` or ``https``, as it came.
            method: of the request.
            path: of the request.
            headers: by name in lower case.
        """
        if not is_ours(headers.get("host", ""), self.hosts):
            how = "ask by an address, by localhost or by the name of this machine; others stand under web.hosts"
            return Refusal(421, "misdirected", f"this host is not known here: {how}")
        if method not in METHODS:
            return Refusal(405, "bad_request", f"{method[:16]} is not answered, but GET, HEAD and POST")
        if foreign := _foreign(scheme, method, headers):
            return Refusal(403, "cross_site", foreign)
        if path not in self.free and not self.entitles(headers):
            how = "send the header Authorization: Bearer TOKEN, with the token that is in web.token_file"
            return Refusal(401, "denied", f"this needs the token: {how}")
        return None

    def entitles(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request may see what is not free: it has the token, or none is wanted."""
        return not self.token or _has_token(headers, self.token)


def _foreign(scheme: str, method: str, headers: Mapping[str, str]) -> str:
    """Return what shows that a page of another site sends a request; empty if nothing does.

    A person may follow a link from elsewhere; a page may not send what it could not read, or keep streams from others.
    """
    site = headers.get("sec-fetch-site", "")
    is_visit = headers.get("sec-fetch-mode") == "navigate" and method in HARMLESS_METHODS
    if site in ("cross-site", "same-site") and not (is_visit and headers.get("sec-fetch-dest") == "document"):
        return f"another site sends this (Sec-Fetch-Site: {site})"
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.lower() not in {f"{one}://{host.lower()}" for one in _schemes(scheme)}:
        return f"another site sends this (Origin: {origin[:80]!r})"
    return ""


def _schemes(scheme: str) -> tuple[str, ...]:
    """Return the schemes that a page of ours has: where a proxy speaks TLS, it is not that of the request."""
    return (scheme,) if scheme == "https" else ("http", "https")


def _has_token(headers: Mapping[str, str], token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return compare_digest(given.strip().encode("utf-8", "replace"), token.encode()) and kind.lower() == "bearer"


class Gate:
    """Lets through what passes, adds the headers of every answer, and answers what goes wrong within.

    Args:
        app: within.
        rules: may be replaced.
        failed: told an exception out of the application.

    Attributes:
        rules: in force.
        requests: let through.
        refused: not let through, but for lack of the token.
        denied: without the token.
    """

    def __init__(self, app: App, rules: Rules, failed: Callable[[Exception], None]) -> None:
        self.rules = rules
        self.requests = 0
        self.refused = 0
        self.denied = 0
        self._app = app
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        has_begun = False

        async def answer(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": _with_ours(message.get("headers", ()))}
            await send(message)

        found = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self.rules.refusal(scope["scheme"], scope["method"], scope["path"], found)
        if refusal is not None:
            self.denied += refusal.status == 401
            self.refused += refusal.status != 401
            await answer_error(answer, refusal)
            return
        self.requests += 1
        try:
            await self._app({**scope, IS_ENTITLED: self.rules.entitles(found)}, receive, answer)
        except Exception as error:
            self._failed(error)
            if has_begun:
                raise  # the connection ends, so that the client sees that the answer is not whole
            await answer_error(answer, Refusal(500, "failed", "cannot be answered: the log says why"))


def _with_ours(headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    theirs = [(key.lower(), value) for key, value in headers]
    there = {key for key, _ in theirs}
    ours = [(key.encode(), value.encode()) for key, value in HEADERS.items() if key.encode() not in there]
    return [(b"date", formatdate(usegmt=True).encode()), *theirs, *ours]


async def answer_error(send: Send, refusal: Refusal) -> None:
    """Answer that a request is refused."""
    body = error_line(refusal.code, refusal.message)
    more = {"www-authenticate": CHALLENGE} if refusal.status == 401 else {}
    more |= {"allow": ", ".join(METHODS)} if refusal.status == 405 else {}
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close", **more}
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
