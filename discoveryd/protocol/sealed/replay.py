"""A sealed datagram counts once: windows over the counters of each boot that has proved to live.

`Sealer.open` gives the datagram to `Windows.take`:

- Of a boot with windows each counter is taken once, and the datagram counts as if it had come plain.
- A boot without windows may be long gone, and the datagram a recording of it. It counts for nothing but this: a HELLO
  makes us send a PING (`discoveryd.protocol.challenges`), sealed for that boot alone. A PING sealed for our boot is
  answered once, by unicast, and nothing else follows from it. A PONG sealed for our boot that repeats a nonce of ours
  was made by a boot that lives: `Windows.admit`.

So no clock is compared and nothing is kept on a disk, as in RFC 8967; and windows may be forgotten at any time: a boot
that is heard after that is sent a PING again, which takes one round trip, and recordings stay worthless. The windows of
a boot are forgotten as soon as nothing new of it was heard for its ttl: a recording made where we do not hear it
(another link, another segment) carries counters that no window has seen.
"""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.sealed.envelope import Opened

WIDTH = 1024
"""Counters below the highest that may still come: one second of the most that a node sends (1,000 answers and
100 probes). Wi-Fi holds broadcasts back for some 0.1 to 0.3 s while unicasts, which spend the same counters, pass.
A datagram that comes later is dropped, and not missed: a newer HELLO has been heard."""
_ALL = (1 << WIDTH) - 1


class Window:
    """The counters of one boot that were taken (RFC 4303, 3.4.3; as RFC 6479 without shifting it in vain).

    Attributes:
        top: the highest counter that was taken; at first all up to it count as taken.
        taken: bit n tells whether the counter n below the top was taken.
    """

    __slots__ = ("taken", "top")

    def __init__(self, top: int) -> None:
        self.top = top
        self.taken = _ALL

    def take(self, counter: int) -> bool:
        """Take a counter; False if it was taken before, or is too old to tell."""
        ahead = counter - self.top
        if ahead > 0:
            # never shifted by more than its width: a counter may be 2^64
            self.taken = ((self.taken << ahead) | 1) & _ALL if ahead < WIDTH else 1
            self.top = counter
            return True
        if ahead <= -WIDTH or self.taken & (1 << -ahead):
            return False
        self.taken |= 1 << -ahead
        return True


class Windows:
    """The windows of the boots that have proved to live: each has one for broadcasts and one for the rest.

    They are apart because Wi-Fi delays broadcasts and not unicasts (RFC 9467). The scope decides, which is
    authenticated, not how a datagram came, which is not.

    Args:
        limit: boots; when there are more the one that was silent longest is forgotten, and is sent a PING when it is
            heard again. Only a node with the key can bring that about. 1,000 take 0.7 MB.
    """

    __slots__ = ("_boots", "_questions", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._boots: dict[str, tuple[Window, Window, int]] = {}  # broadcasts, unicasts, counter of the proof
        self._questions: dict[str, int] = {}  # counter of the last PING of each boot that did not prove to live

    def __len__(self) -> int:
        """Return the number of boots."""
        return len(self._boots)

    def take(self, opened: Opened) -> bool:
        """Take a datagram that was opened; False if its boot is unknown, and has to be sent a PING.

        Raises:
            WireError: ``replayed``; ``unproven``: sealed before its boot proved to live, and perhaps overtaken by that.
        """
        known = self._boots.get(opened.boot)
        if known is None:
            return False
        broadcasts, unicasts, proof = known
        if opened.counter <= proof:
            raise WireError("unproven", f"{opened.counter} of {opened.id} ({opened.boot}) is older than its proof")
        if not (broadcasts if opened.is_to_all else unicasts).take(opened.counter):
            kind = "broadcast" if opened.is_to_all else "unicast"
            raise WireError("replayed", f"{kind} {opened.counter} of {opened.id} ({opened.boot})")
        put_last(self._boots, opened.boot, known, self.limit)
        return True

    def take_question(self, opened: Opened) -> None:
        """Take a PING of a boot that has not proved to live: a recording of it would else be answered for ever.

        As many boots are remembered as may have windows; past it the one whose PING came longest ago is forgotten.

        Raises:
            WireError: ``replayed``: it is not newer than the last one.
        """
        last = self._questions.get(opened.boot, -1)
        self._remember(opened.boot, opened.counter)
        if opened.counter <= last:
            raise WireError("replayed", f"unicast {opened.counter} of {opened.id} ({opened.boot}), not known to live")

    def admit(self, opened: Opened) -> None:
        """Take the datagrams of a boot from now on: with this one it has proved to live.

        What it sealed before, of every scope, is void: it may have been recorded.
        """
        if opened.boot not in self._boots:
            windows = Window(opened.counter), Window(opened.counter), opened.counter
            put_last(self._boots, opened.boot, windows, self.limit)

    def forget(self, boot: str) -> None:
        """Take nothing more of a boot until it has proved again that it lives."""
        known = self._boots.pop(boot, None)
        if known is not None:
            self._remember(boot, known[1].top)

    def _remember(self, boot: str, counter: int) -> None:
        put_last(self._questions, boot, max(counter, self._questions.get(boot, -1)), self.limit)
