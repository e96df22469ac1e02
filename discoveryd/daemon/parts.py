"""The parts of the daemon besides the node itself: what each of them offers, and how they are kept.

A new part is a module with a class of this contract, and a line in `discoveryd.daemon.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from discoveryd.config import Config
from discoveryd.protocol.table.events import Event
from discoveryd.runtime.notices import Notice

_LOOK = "cannot be looked at now"


class Part:
    """A part of the daemon. A method that a part does not need may be left out: it does nothing then.

    All methods but `status` are called in the main thread, in the order of the list of parts, `stop` in the reverse
    order. An OSError is logged once, and neither ends the daemon nor keeps another part from its work; `look` is where
    a part tries again.

    Attributes:
        name: what the log calls the part.
        section: the key under which ``status`` shows it.
    """

    name: str
    section: str = ""

    def open(self) -> None:
        """Acquire what is needed: no socket is open yet, and nothing has been sent."""

    def start(self) -> None:
        """Begin to work: all sockets are open, and nothing has been answered yet."""

    def look(self) -> None:
        """See what has changed; called every two seconds, so it must be cheap."""

    def reload(self, config: Config) -> None:
        """Take over the configuration in force, and look at everything again; also if a new one was refused."""

    def hear(self, message: Event | Notice) -> None:
        """Take note of an event of a peer, or of a notice; quick."""

    def status(self) -> Any:
        """Return the section of ``status`` as JSON, None for no section yet; called in any thread."""
        return None

    def stop(self) -> None:
        """End. Safe to call again, and before `open`."""


class Parts:
    """The parts of a daemon, in their order.

    Args:
        parts: those that come first are opened, started and told first, and stopped last.
        notify: called with what is worth a log line.
        report: called with section and `status` of a part, as soon as it has one.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        notify: Callable[[Notice], None],
        report: Callable[[str, Callable[[], Any]], None],
    ) -> None:
        self._parts = parts
        self._notify = notify
        self._report = report
        self._unreported = [part for part in parts if part.section]
        self._faults: dict[str, str] = {}

    def open(self) -> None:
        """Open all parts."""
        self._each(lambda part: part.open(), "cannot be opened now")

    def start(self) -> None:
        """Start all parts."""
        self._each(lambda part: part.start(), "cannot be started now")

    def look(self) -> None:
        """Let each part see what has changed."""
        self._each(lambda part: part.look())

    def reload(self, config: Config) -> None:
        """Let each part take over the configuration in force."""
        self._each(lambda part: part.reload(config))

    def hear(self, message: Event | Notice) -> None:
        """Tell each part of an event or a notice."""
        for part in self._parts:
            part.hear(message)

    def stop(self) -> None:
        """Stop all parts, the last first; an error of a part does not keep others from it."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.stop)

    def _each(self, act: Callable[[Part], None], text: str = _LOOK) -> None:
        for part in self._parts:
            try:
                act(part)
            except OSError as error:
                why = error.strerror or str(error)
                if self._faults.get(part.name) != why:
                    self._faults[part.name] = why
                    self._notify(Notice(level="warning", text=text, fields={"what": part.name, "why": why}))
            else:
                if text == _LOOK:
                    self._faults.pop(part.name, None)
        for part in [part for part in self._unreported if part.status() is not None]:
            self._unreported.remove(part)
            self._report(part.section, part.status)
