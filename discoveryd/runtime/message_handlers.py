"""What handles messages in this process: the built-in names, and the handlers of an embedding program."""

import json
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from discoveryd import __version__
from discoveryd.errors import ConfigError
from discoveryd.protocol.messages.values import NAME, IncomingMessage
from discoveryd.protocol.node import Node
from discoveryd.query.messages import BUILTIN, Draft
from discoveryd.runtime.notices import Notice, warning
from discoveryd.runtime.worker import Worker

INFO_ROOM = 160
"""Bytes that a question ``info`` has at least, so that the answer, which is no longer, has room for a usual name."""
MOST_WAITING = 8
"""Messages that may wait for handlers of a program, with the one being handled: one more is refused (``busy``). It is
less than the engine allows of all kinds, so that a handler that hangs keeps no other from its own."""

Handler = Callable[[IncomingMessage], bytes | str | None]
"""Handles a message of another node; what it returns is the answer, if one is wanted. An exception: it failed."""


class Done(Protocol):
    """Told how a message ended: ``handled``, with the answer to a question, or why not."""

    def __call__(self, status: str, answer: bytes | None = None) -> None:
        """Take it."""


class Builtins:
    """Answers ``echo`` (the payload), ``upper`` (with ASCII letters in capitals) and ``info``.

    Args:
        node: what ``info`` is about.

    Attributes:
        is_on: whether it does.
        uptime: returns the seconds since the start of the node.
    """

    name = "built-in"

    def __init__(self, node: Node) -> None:
        self.is_on = True
        self.uptime: Callable[[], float] = lambda: 0.0
        self._node = node

    def wants(self, message: IncomingMessage) -> str | None:
        """Take the built-in names."""
        return "" if self.is_on and message.name in BUILTIN else None

    def handle(self, message: IncomingMessage, done: Done) -> None:
        """Answer at once."""
        if message.name == "info":
            done("handled", self._info(message.room))
        else:
            done("handled", message.payload.upper() if message.name == "upper" else message.payload)

    def padded(self, draft: Draft) -> bytes:
        """Return the payload to send: that of a question ``info`` is so long that the answer has room."""
        is_info = draft.name == "info" and draft.is_question
        return draft.content.ljust(INFO_ROOM) if is_info else draft.content

    def _info(self, room: int) -> bytes:
        """Return what a node is, as JSON; the last keys are left out where there is too little room."""
        found = {"version": __version__, "uptime_s": round(self.uptime(), 1), "name": self._node.record.name}
        while len(text := json.dumps(found, separators=(",", ":"))) > room and found:
            found.popitem()
        return text.encode("ascii") if len(text) <= room else b""


class LibraryHandlers:
    """Calls the handlers of an embedding program, one at a time, in a thread that starts with the first message.

    Args:
        notify: told of a handler that failed.
        failed: told the exception that ended the thread.
    """

    name = "library"

    def __init__(self, notify: Callable[[Notice], None], failed: Callable[[str, BaseException], None]) -> None:
        self._notify = notify
        self._handlers: dict[str, Handler] = {}
        self._inbox: SimpleQueue[tuple[IncomingMessage, Done] | None] = SimpleQueue()
        self._worker = Worker("message-handler", self._run, failed)
        self._is_started = False
        self._open: set[tuple[str, int]] = set()  # messages taken that have not ended

    def set(self, name: str, handler: Handler | None) -> None:
        """Let a handler take the messages of a name from now on; None for no handler.

        Raises:
            ConfigError: no message can have this name, or it is built in.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in BUILTIN:
            wanted = f"1 to 32 of a-z 0-9 -, and not {', '.join(sorted(BUILTIN))}"
            raise ConfigError(f"the name of a message must be {wanted}; not {name!r:.60}")
        if handler is None:
            self._handlers.pop(name, None)
        elif callable(handler):
            self._handlers[name] = handler
        else:
            raise ConfigError(f"the handler of {name} must be a function or None, not {handler!r:.60}")

    def names(self) -> list[str]:
        """Return the names that have a handler."""
        return sorted(self._handlers)

    def wants(self, message: IncomingMessage) -> str | None:
        """Take what has a handler, unless too much waits."""
        if message.name not in self._handlers:
            return None
        if len(self._open) >= MOST_WAITING:
            return "busy"
        self._open.add(message.key)
        return ""

    def handle(self, message: IncomingMessage, done: Done) -> None:
        """Let the thread call the handler."""
        if not self._is_started:
            try:
                self._worker.start()
            except OSError as error:
                self._notify(warning("message not handled", message=message.name, error=str(error)))
                self._open.discard(message.key)
                done("busy")
                return
            self._is_started = True
        self._inbox.put((message, done))

    def stop(self, timeout: float) -> list[str]:
        """End the thread after the handler that it is in; return its name if that does not end in time."""
        self._inbox.put(None)
        return [] if self._worker.join(timeout) else [self._worker.name]

    def _run(self) -> None:
        while (taken := self._inbox.get()) is not None:
            message, done = taken
            status, answer = self._call(message)
            self._open.discard(message.key)
            done(status, answer)

    def _call(self, message: IncomingMessage) -> tuple[str, bytes | None]:
        handler = self._handlers.get(message.name)
        if handler is None:  # it was taken away before its turn
            return "no-handler", None
        try:
            answer = handler(message)
            return "handled", _as_bytes(answer)
        except BaseException as error:  # noqa: BLE001 - sys.exit() of a handler ends neither this thread nor the node
            fields = {"message": message.name, "error": f"{error!r:.200}", "at": _place(error)}
            self._notify(warning("message handler failed", **fields))
            return "failed", None


def _as_bytes(answer: bytes | str | None) -> bytes | None:
    if answer is not None and not isinstance(answer, bytes | str):
        raise TypeError(f"the answer must be bytes, a text or None, not {answer!r:.60}")
    return answer.encode() if isinstance(answer, str) else answer


def _place(error: BaseException) -> str:
    """Return the file and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
