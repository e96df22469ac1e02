"""The parts of the daemon besides the node itself: what each of them offers, and how they are kept.

A new part is a module with a class of this contract, and a line in `discoveryd.daemon.run`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from discoveryd.config import Config
from discoveryd.files import token
from discoveryd.files.trusted import remedy
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.notices import CONNECTED, ISOLATED, Notice
from discoveryd.runtime.query_handlers import Control

if TYPE_CHECKING:
    from discoveryd.runtime.hook_queue import FindingEvent, SiteHookEvent
    from discoveryd.runtime.hooks import Hooks
    from discoveryd.runtime.message_programs import Programs
    from discoveryd.runtime.messages import Messages

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


class TokenPart(Part):
    """Keeps the control token.

    Args:
        directory: where the token is kept.
        control: is given the token.
        notify: told where nothing can be changed, for lack of a token.
    """

    name = "control token"

    def __init__(self, directory: str, control: Control, notify: Callable[[Notice], None]) -> None:
        self._directory = directory
        self._control = control
        self._notify = notify
        self._lock: int | None = None

    def start(self) -> None:
        """Make the token; if that fails a notice says that nothing can be changed."""
        try:
            self._control.token, self._lock = token.create(self._directory)
        except OSError as error:
            helps = remedy(error, "run it as a user that may write there, or set paths.runtime")
            fields = {"directory": self._directory, "error": error.strerror, "remedy": helps}
            text = "no control token: no reload or register by socket"
            self._notify(Notice(level="warning", text=text, fields=fields))

    def stop(self) -> None:
        """Let the token end with this daemon, unless another daemon of the directory goes on."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class HooksPart(Part):
    """Runs hooks from the moment that there is a directory of them.

    Args:
        directory: of the hooks.
        limits: of `Config.parameters`, until `reload`.
        notify: called with what the hooks say and do; in any thread.
    """

    name = "hooks.d"
    section = "hooks"

    def __init__(self, directory: str, limits: Limits, notify: Callable[[Notice], None]) -> None:
        self._directory = directory
        self._limits = limits
        self._notify = notify
        self._hooks: Hooks | None = None

    def open(self) -> None:
        """Begin to run hooks, if there is a directory of them."""
        if self._hooks is None and os.path.isdir(self._directory):
            from discoveryd.runtime.hooks import Hooks  # noqa: PLC0415 - only where there is a directory of them

            hooks = Hooks(self._directory, self._notify, self._limits)
            hooks.start()
            self._hooks = hooks

    def look(self) -> None:
        """See what has come, gone or changed in the directory; cheap where there is none."""
        self.open()
        if self._hooks is not None:
            self._hooks.reload(self._limits)

    def reload(self, config: Config) -> None:
        """Take over the limits, and look."""
        self._limits = config.parameters.limits
        self.look()

    def hear(self, message: Event | Notice) -> None:
        """Run the hooks for an event, and when this node is cut off, or no longer."""
        if self._hooks is None:
            return
        if isinstance(message, Event):
            self._hooks.hear(message)
        elif message.text in (ISOLATED, CONNECTED):
            reason = str(message.fields.get("why", "peers are heard again"))
            self._hooks.doubt(is_isolated=message.text == ISOLATED, reason=reason)

    def find(self, kind: FindingEvent, finding: Mapping[str, Any]) -> None:
        """Run the hooks for a finding that appeared, or is gone."""
        if self._hooks is not None:
            self._hooks.find(kind, finding)

    def tell_site(self, kind: SiteHookEvent, site: str, reason: str) -> None:
        """Run the hooks for a site that fell silent, or is back."""
        if self._hooks is not None:
            self._hooks.tell_site(kind, site, reason)

    def status(self) -> dict[str, int] | None:
        """Return the counts of the hooks."""
        return None if self._hooks is None else self._hooks.counts()

    def stop(self) -> None:
        """End what runs."""
        if self._hooks is not None:
            self._hooks.stop()


class MessagesPart(Part):
    """Answers the built-in names as configured, and runs programs from the moment that there is a directory of them.

    Args:
        config: what to begin with.
        messages: of the node; they are asked for all that nothing else takes.
        notify: called with what the programs say and do; in any thread.
    """

    name = "messages.d"

    def __init__(self, config: Config, messages: Messages, notify: Callable[[Notice], None]) -> None:
        self._directory = os.path.join(config.directory, self.name)
        self._config = config
        self._messages = messages
        self._notify = notify
        self._programs: Programs | None = None
        messages.has_builtins = config.messages.builtins

    def look(self) -> None:
        """Begin to run programs, if there is a directory of them, and see what has changed there."""
        if self._programs is None and os.path.isdir(self._directory):
            from discoveryd.runtime.message_programs import Programs  # noqa: PLC0415 - as for hooks

            programs = Programs(self._directory, self._notify)
            programs.start()
            self._programs = programs
            self._messages.programs = programs.status
            self._messages.register(self.name, programs.wants, programs.handle)
        if self._programs is not None:
            config = self._config
            self._programs.look(
                config.messages.allow, has_builtins=config.messages.builtins,
                is_sealed=config.security.mode == "require", timeout=config.parameters.limits.hook_timeout,
            )  # fmt: skip

    open = look

    def reload(self, config: Config) -> None:
        """Take over what is allowed, and look."""
        self._config = config
        self._messages.has_builtins = config.messages.builtins
        self.look()

    def stop(self) -> None:
        """End what runs."""
        if self._programs is not None:
            self._programs.stop()
