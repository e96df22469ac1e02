"""What the driver tells the program: notices of links, of sending, of dropped datagrams; damped where they recur."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from discoveryd.net.transport import SendChange
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Outcome
from discoveryd.runtime import notices
from discoveryd.runtime.notice_damper import NoticeDamper
from discoveryd.runtime.notices import Notice


class Reporter:
    """Tells notices. For any thread; never called with the lock of the driver, but for `due` and `next_due`.

    Args:
        tell: told each notice.
        clock: seconds.
        wake: called when a notice was held back, so that `next_due` is read again.
    """

    def __init__(
        self, tell: Callable[[Notice], None], clock: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        self.tell = tell
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()  # guards _damper
        self._damper = NoticeDamper()
        self._scan_error: str | None = None

    def due(self, now: float) -> list[Notice]:
        """Return the notices that were held back and may be told now."""
        with self._lock:
            return self._damper.due(now)

    def next_due(self) -> float:
        """Return when `due` has something to return."""
        with self._lock:
            return self._damper.next_due()

    def outcome(self, outcome: Outcome, changes: Iterable[SendChange]) -> None:
        """Tell what an outcome says besides events, and where sending began to fail or works again."""
        for change in changes:
            self._tell_damped(change[:2], change.error or "", notices.of_sending(*change))
        for drop in outcome.drops:
            self.tell(notices.of_drop(drop))
        if outcome.double:
            self.tell(notices.of_double(outcome.double))
        if outcome.isolated is not None:
            self.tell(notices.of_isolation(is_isolated=outcome.isolated))

    def links(
        self,
        before: Sequence[Link] | None,
        now: Sequence[Link],
        scan_error: str | None,
        patterns: Iterable[str],
        *,
        is_silent: bool,
    ) -> None:
        """Tell the links that went and came, and whether the interfaces can be read.

        Args:
            before: the links before the scan; None at the start, whose links are no change: one soon after is told at
                once as well.
            now: the links after the scan.
            scan_error: why the scan failed.
            patterns: of the interfaces to use.
            is_silent: whether no HELLO was sent yet.
        """
        for notice in notices.of_links(before or (), now):
            if before is None:
                self.tell(notice)
            else:
                self._tell_damped((notice.fields["link"], notice.fields["address"]), notice.text, notice)
        former, self._scan_error = self._scan_error, scan_error
        if (former is None) != (scan_error is None):  # once, whatever the reason
            self.tell(notices.of_scan(scan_error))
        if scan_error is None and not now and (before or is_silent):
            self.tell(notices.of_no_link(patterns))

    def _tell_damped(self, subject: tuple[str, str], state: str, notice: Notice) -> None:
        with self._lock:
            told = self._damper.take(subject, state, notice, self._clock())
        for each in told:
            self.tell(each)
        if not told:
            self._wake()
