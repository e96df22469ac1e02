"""Log lines: for people on a terminal, for machines elsewhere."""

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from math import inf
from time import monotonic
from types import ModuleType
from typing import Any

from discoveryd.config import Config
from discoveryd.config.sections import LogSection
from discoveryd.daemon.parts import Part
from discoveryd.protocol.bounded import TokenBuckets
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.notices import Notice

LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Levels as syslog(3) and sd-daemon(3) number them."""

_OURS = frozenset(("event", "level", "timestamp"))
"""Fields that every line has."""

PATIENCE = 0.2
"""Seconds that a line may wait for a pipe or terminal that is full."""
LONGEST = 4000
"""Bytes of a line: what a pipe that has room at all takes at once (PIPE_BUF is 4,096)."""

RATE = 50.0
"""Lines a second about peers that answered no PING and do not seal; as many at once after a calm second."""
TELL_EVERY = 1.0
"""Seconds between two lines that say how many were left out."""

LOUD = frozenset(("suspect", "down", "clone"))
"""Events that may need a person."""


def event_line(event: Event) -> tuple[str, str, dict[str, Any]]:
    """Return level, text and fields of an event's log line."""
    peer = event.peer
    fields = {"reason": event.reason, "peer": peer.label, "address": peer.address, "link": peer.link or "-"}
    if peer.name is not None:
        fields["id"] = peer.id
    return ("warning" if event.kind in LOUD else "info", f"peer {event.kind}", fields)


class _OnDemand(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            if name == "current_task":  # asked for by logging (Python 3.12 and later) while structlog is imported
                raise AttributeError(name)
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def _spared(name: str) -> Iterator[None]:
    """Let modules that are imported in the block have another module on demand only.

    structlog imports asyncio for its asynchronous loggers, which are not used here: 3 MB, with ssl.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = stand_in = _OnDemand(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


class Log:
    """Writes log lines to standard error, or to syslog where there is none.

    Making a `Log` imports structlog, which the first HELLO does not wait for.

    Args:
        level: least level that is written.
        form: ``console``, ``logfmt``, ``json``, or ``auto``: console on a terminal, else logfmt.
        syslog: write there.
    """

    def __init__(self, level: str, form: str, *, syslog: bool = False) -> None:
        with _spared("asyncio"):
            from structlog import dev, processors  # noqa: PLC0415 - see the class

        is_tty = sys.stderr is not None and sys.stderr.isatty() and not syslog
        is_journal = _is_journal() and not syslog
        chosen = form if form != "auto" else ("console" if is_tty else "logfmt")
        has_colours = is_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._least = LEVELS[level]
        self._steps: list[Callable[[Any, str, Any], Any]] = []
        if not is_journal and not syslog:  # both stamp their lines themselves
            clock = "%H:%M:%S" if chosen == "console" else "iso"
            self._steps.append(processors.TimeStamper(fmt=clock, utc=chosen != "console"))
        if chosen == "console":
            self._steps.append(dev.ConsoleRenderer(16, colors=has_colours))  # columns of padding
        elif chosen == "json":
            self._steps.append(processors.JSONRenderer())
        else:
            order = ["timestamp", "level", "event"]
            self._steps.append(processors.LogfmtRenderer(key_order=order, drop_missing=True))
        self._put: Callable[[int, str], object] = lambda _level, _line: None
        if syslog:
            from discoveryd.net.syslog import Syslog  # noqa: PLC0415 - detached mode only

            self._put = Syslog().write
        elif sys.stderr is not None:  # else closed before we began: 2 may be one of our sockets by now
            # not through sys.stderr: what a full disk refused would wait in its buffer and spoil the exit code
            self._put = _Descriptor(sys.stderr.fileno(), with_priority=is_journal).write

    def write(self, level: str, text: str, /, **fields: Any) -> None:
        """Write a line; nothing in the fields can break it."""
        if LEVELS[level] > self._least:
            return
        line: Any = {f"{key}_" if key in _OURS else key: _printable(value) for key, value in fields.items()}
        line |= {"event": text, "level": level}
        for step in self._steps:
            line = step(None, level, line)
        self._put(LEVELS[level], line)


def _printable(value: Any) -> Any:
    """Escape what could end a line or command a terminal: some values come from the network."""
    return ascii(value)[1:-1] if isinstance(value, str) and not value.isprintable() else value


def _is_journal() -> bool:
    """Return whether standard error goes to the journal itself, found out as systemd.exec(5) says.

    The variable alone is inherited by all that a service starts, and their lines may go to a file.
    """
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Descriptor:
    """Writes lines, and does not wait long for a reader: a reader that hangs must not stop the daemon."""

    def __init__(self, descriptor: int, *, with_priority: bool) -> None:
        self._descriptor = descriptor
        self._with_priority = with_priority
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lost = 0

    def write(self, level: int, line: str) -> None:
        """Write a line, or count it as lost."""
        # once a line was lost there is no waiting, until there is room again
        if not self._poll.poll(0 if self._lost else PATIENCE * 1000):
            self._lost += 1
            return
        if self._lost:
            self._put(level, f"{self._lost} lines of the log are lost: nobody read them")
            self._lost = 0
        self._put(level, line)

    def _put(self, level: int, line: str) -> None:
        prefix = f"<{level}>" if self._with_priority else ""
        left = f"{prefix}{line}".encode("utf-8", "backslashreplace")[:LONGEST] + b"\n"
        with suppress(OSError):  # the terminal is gone, or the disk full; the daemon stays
            while left:
                left = left[os.write(self._descriptor, left) :]


class LogBudget:
    """Decides which events are logged: peers that may be made up must not fill the disk.

    Attributes:
        unlogged: events left out since the start.
    """

    def __init__(self) -> None:
        self.unlogged = 0
        self._buckets = TokenBuckets(RATE, RATE, 1)
        self._told, self._told_at = 0, 0.0

    def allows(self, event: Event, now: float) -> bool:
        """Return whether an event is logged, and count it if it is not."""
        is_proven = event.peer.rtt_ms is not None or bool(event.peer.key)
        is_logged = is_proven or self._buckets.allows("", now)
        self.unlogged += not is_logged
        return is_logged

    def untold(self, now: float) -> int:
        """Return how many events were left out since the last call that returned some, at most each `TELL_EVERY`."""
        count = self.unlogged - self._told
        if not count or now < self._told_at + TELL_EVERY:
            return 0
        self._told, self._told_at = self.unlogged, now
        return count


class LogPart(Part):
    """Writes the log, on standard error or to syslog.

    Args:
        section: level and form.
        syslog: whether there is no standard error to write to.
    """

    name, section = "log", "peer_log"

    def __init__(self, section: LogSection, *, syslog: bool) -> None:
        self._config = section
        self._syslog = syslog
        self._budget = LogBudget()
        self._log: Log | None = None

    def write(self, level: str, text: str, /, **fields: Any) -> None:
        """Write a line."""
        self._log = self._log or Log(self._config.level, self._config.format, syslog=self._syslog)
        self._log.write(level, text, **fields)

    def tell_unlogged(self, now: float = inf) -> None:
        """Say how many events of peers were left out, if any were."""
        if count := self._budget.untold(now):
            why = "too many of peers that answered no PING"
            self.write("warning", "peer events not logged", count=count, why=why)

    def look(self) -> None:
        """Say how many events were left out lately."""
        self.tell_unlogged(monotonic())

    def reload(self, config: Config) -> None:
        """Take over level and form."""
        if config.log != self._config:
            self._log, self._config = None, config.log

    def hear(self, message: Event | Notice) -> None:
        """Write the line of a notice; of an event within the budget."""
        if isinstance(message, Notice):
            self.write(message.level, message.text, **message.fields)
        elif self._budget.allows(message, monotonic()):
            level, text, fields = event_line(message)
            self.write(level, text, **fields)

    def status(self) -> dict[str, int]:
        """Return how many events were left out since the start."""
        return {"unlogged": self._budget.unlogged}
