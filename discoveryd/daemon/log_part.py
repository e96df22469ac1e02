"""The log as a part of the daemon: events and notices become lines, within a budget for peers that may be made up."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.config import Config, LogSection
from discoveryd.daemon.parts import Part
from discoveryd.protocol.table.events import Event
from discoveryd.runtime.notices import Notice

if TYPE_CHECKING:
    from discoveryd.daemon.logs import Log

RATE = 50.0
"""Lines a second about peers that answered no PING and do not seal; as many at once after a calm second."""
TELL_EVERY = 1.0
"""Seconds between two lines that say how many were left out."""


class LogBudget:
    """Decides which events are logged: peers that may be made up must not fill the disk.

    Attributes:
        unlogged: events left out since the start.
    """

    __slots__ = ("_at", "_tokens", "_told", "_told_at", "unlogged")

    def __init__(self) -> None:
        self.unlogged = 0
        self._tokens, self._at = RATE, 0.0
        self._told, self._told_at = 0, 0.0

    def allows(self, event: Event, now: float) -> bool:
        """Return whether an event is logged, and count it if it is not."""
        if event.peer.rtt_ms is not None or event.peer.key:
            return True
        self._tokens = min(RATE, self._tokens + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._tokens < 1:
            self.unlogged += 1
            return False
        self._tokens -= 1
        return True

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
        self._log = self._log or self._make(self._config)
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
            self._log, self._config = self._make(config.log), config.log

    def hear(self, message: Event | Notice) -> None:
        """Write the line of a notice; of an event within the budget."""
        if isinstance(message, Notice):
            self.write(message.level, message.text, **message.fields)
        elif self._budget.allows(message, monotonic()):
            from discoveryd.daemon.logs import event_line  # noqa: PLC0415 - after the first HELLO

            level, text, fields = event_line(message)
            self.write(level, text, **fields)

    def status(self) -> dict[str, int]:
        """Return how many events were left out since the start."""
        return {"unlogged": self._budget.unlogged}

    def _make(self, section: LogSection) -> Log:
        from discoveryd.daemon.logs import Log  # noqa: PLC0415 - after the first HELLO

        return Log(section.level, section.format, syslog=self._syslog)
