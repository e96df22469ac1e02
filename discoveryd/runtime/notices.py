"""Notices: what is worth a log line and is no event of a peer; damped where it recurs."""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discoveryd.frozen import frozen
from discoveryd.net.interfaces import compare
from discoveryd.net.transport import SendChange
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Outcome

SCAN_RETRY = 3.0
"""Seconds from a scan of the interfaces that failed to the next."""
ISOLATED = "isolated"
CONNECTED = "no longer isolated"
"""Texts that hooks are run for."""
GAP = 60.0
"""Seconds for each line about one thing that changes again and again."""
AT_ONCE = 2
"""Lines at once about a thing that was calm: that something broke, and that it works again."""
MOST = 256
"""Things remembered; past it the oldest is forgotten, and its next line comes at once."""
NEVER = float("inf")
_CREDIT = (AT_ONCE - 1) * GAP


@frozen
class Notice:
    """Something worth a log line that is no event of a peer.

    Attributes:
        level: ``debug``, ``info``, ``warning`` or ``critical``, after which the process ends.
        text: what happened, the same words for the same thing.
        fields: with what.
    """

    level: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Notify = Callable[[Notice], None]


def info(text: str, **fields: Any) -> Notice:
    """Return a notice of something good or indifferent."""
    return Notice(level="info", text=text, fields=fields)


def warning(text: str, **fields: Any) -> Notice:
    """Return a notice of something that somebody should look at."""
    return Notice(level="warning", text=text, fields=fields)


def of_death(thread: str, error: BaseException) -> Notice:
    """Return the notice that an exception has ended a thread."""
    return Notice(level="critical", text="thread died", fields={"thread": thread, "error": repr(error)})


@dataclass(slots=True)
class _Thing:
    opens_at: float = -_CREDIT  # when the next line may be told
    state: str = ""  # that was told last
    held: tuple[str, Notice] | None = None

    def tell(self, state: str, notice: Notice, now: float) -> Notice:
        self.opens_at = max(self.opens_at, now - _CREDIT) + GAP
        self.state, self.held = state, None
        return notice


class NoticeDamper:
    """Decides which notices are told now: a change and its end at once, then one line a minute for each thing.

    The caller brings the time. For any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._things: dict[Hashable, _Thing] = {}

    def take(self, name: Hashable, state: str, notice: Notice, now: float) -> bool:
        """Take the notice that a thing came to a state; return whether to tell it now, else `due` returns the last."""
        with self._lock:
            thing = self._things.get(name)
            if thing is None:
                self._make_room(now)
                thing = self._things[name] = _Thing()
            is_told = thing.opens_at <= now
            if is_told:
                thing.tell(state, notice, now)
            else:
                thing.held = None if state == thing.state else (state, notice)
            return is_told

    def due(self, now: float) -> list[Notice]:
        """Return the notices that were held back and may be told now."""
        with self._lock:
            things = self._things.values()
            return [thing.tell(*thing.held, now) for thing in things if thing.held and thing.opens_at <= now]

    def next_due(self) -> float:
        """Return when `due` has something to return."""
        with self._lock:
            return min((thing.opens_at for thing in self._things.values() if thing.held), default=NEVER)

    def __len__(self) -> int:
        return len(self._things)

    def _make_room(self, now: float) -> None:
        if len(self._things) >= MOST:
            restless = {name: it for name, it in self._things.items() if it.held or it.opens_at + _CREDIT > now}
            self._things = restless
        while len(self._things) >= MOST:
            del self._things[next(iter(self._things))]


class Reporter:
    """Tells what the driver has to tell. For any thread; never called with the lock of the driver, but for `damper`.

    Args:
        tell: told each notice.
        clock: seconds.
        wake: called when a notice was held back, so that the sender reads `NoticeDamper.next_due` again.

    Attributes:
        damper: holds back what recurs.
    """

    def __init__(self, tell: Notify, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self.tell = tell
        self.damper = NoticeDamper()
        self._clock = clock
        self._wake = wake
        self._scan_error: str | None = None

    def outcome(self, outcome: Outcome, changes: Iterable[SendChange]) -> None:
        """Tell what an outcome says besides events, and where sending began to fail or works again."""
        for link, target, error in changes:
            notice = info("sending works again", link=link, target=target)
            if error is not None:
                notice = warning("sending fails", link=link, target=target, error=error)
            self._tell_damped((link, target), error or "", notice)
        for drop in outcome.drops:
            fields = {"address": drop.address, "link": drop.link, "reason": drop.reason, "detail": drop.detail}
            self.tell(warning("datagrams dropped", **fields))
        if outcome.double:
            why = "cloned with its memory: give one of the two its own id (discoveryd reset-id)"
            self.tell(warning("another node had our boot: a new one was drawn", address=outcome.double, why=why))
        if outcome.isolated:
            self.tell(warning(ISOLATED, why="most peers fell silent together: look at our own cable, switch or Wi-Fi"))
        elif outcome.isolated is not None:
            self.tell(info(CONNECTED))

    def links(
        self,
        before: Sequence[Link] | None,
        now: Sequence[Link],
        scan_error: str | None,
        patterns: Iterable[str],
        *,
        is_silent: bool,
        unlinked: Iterable[str] = (),
    ) -> None:
        """Tell the links that went and came, and whether the interfaces can be read.

        Args:
            before: the links before the scan; None at the start, whose links are no change: one soon after is told at
                once as well.
            now: the links after the scan.
            scan_error: why the scan failed.
            patterns: of the interfaces to use.
            is_silent: whether no HELLO was sent yet.
            unlinked: interfaces without broadcast, for seeds alone.
        """
        for text, links in zip(("link gone", "link up"), compare(before or (), now), strict=True):
            for link in links:
                address = f"{link.address}/{link.prefix}"
                notice = info(text, link=link.name, address=address, broadcast=link.broadcast)
                if before is None:
                    self.tell(notice)
                else:
                    self._tell_damped((link.name, address), text, notice)
        former, self._scan_error = self._scan_error, scan_error
        if scan_error is not None and former is None:  # once, whatever the reason
            text = "interfaces cannot be read: the links stay as they are"
            self.tell(warning(text, error=scan_error, every_s=SCAN_RETRY))
        elif scan_error is None and former is not None:
            self.tell(info("interfaces can be read again"))
        if scan_error is None and not now and (before or is_silent):
            more = {"without_broadcast": ",".join(dict.fromkeys(unlinked))} if unlinked else {}
            self.tell(warning("no usable link: waiting for one", interfaces=",".join(patterns), **more))

    def _tell_damped(self, subject: tuple[str, str], state: str, notice: Notice) -> None:
        if self.damper.take(subject, state, notice, self._clock()):
            self.tell(notice)
        else:
            self._wake()
