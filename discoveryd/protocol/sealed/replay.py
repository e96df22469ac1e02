"""What was sealed once counts once: windows over counters, for the boots that have proved to live.

What `Sealer.open` gave goes to `Windows.take`:

- a boot with windows: each counter is taken once, and what is taken is treated as if it had come plain;
- a boot without may be long gone, and the datagram a recording of it. It is not listened to, but for this: a
  HELLO makes us ask (`discoveryd.protocol.challenges`): a PING, sealed for that boot alone. A PING is answered once,
  by unicast, and nothing else follows from it: it was sealed for our boot. A PONG, sealed for our boot, that
  repeats a nonce of ours was made by a boot that lives: `Windows.admit`.

So no clock is compared and nothing is kept on a disk, as in RFC 8967; and windows may be forgotten at any time: who
is heard after that is asked again, which takes one round trip, and recordings stay worthless. They are forgotten
as soon as nothing new was heard for the ttl: what somebody recorded where we do not hear it (another link,
another segment) carries counters that no window has seen.
"""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.sealed.envelope import Opened

WIDTH = 1024
"""Counters below the highest that may still come: one second of the most that a node sends (1,000 answers and
100 probes). Wi-Fi holds broadcasts back for some 0.1 to 0.3 s while unicasts, which spend the same counters, pass.
What comes later than that is dropped, and nobody misses it: a newer HELLO has been heard."""
_ALL = (1 << WIDTH) - 1


class Window:
    """Which counters of one boot and kind of way were taken (RFC 4303, 3.4.3; as RFC 6479 without shifting it in vain).

    Args:
        top: all counters up to this one count as taken.
    """

    __slots__ = ("_taken", "_top")

    def __init__(self, top: int) -> None:
        self._top = top
        self._taken = _ALL  # bit n: the counter n below the top

    @property
    def top(self) -> int:
        """The highest counter that was taken."""
        return self._top

    def take(self, counter: int) -> bool:
        """Take a counter; False if it was taken before, or is too old to tell."""
        ahead = counter - self._top
        if ahead > 0:
            # never shifted by more than its width: a counter may be 2^64
            self._taken = ((self._taken << ahead) | 1) & _ALL if ahead < WIDTH else 1
            self._top = counter
            return True
        if ahead <= -WIDTH:
            return False
        bit = 1 << -ahead
        if self._taken & bit:
            return False
        self._taken |= bit
        return True


class Windows:
    """The windows of the boots that have proved to live: one for what is said to all and one for the rest, each.

    They are apart because Wi-Fi delays broadcasts and not unicasts (RFC 9467). It is the scope that tells, which is
    authenticated, not how a datagram came, which is not.

    Args:
        limit: boots; when there are more the one that was silent longest is forgotten, and is asked again
            when it speaks. Only who has the key can bring that about. 1,000 take 0.7 MB.
    """

    __slots__ = ("_boots", "_questions", "forgotten", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._boots: dict[str, tuple[Window, Window, int]] = {}  # broadcasts, unicasts, counter of the proof
        self._questions: dict[str, int] = {}  # the last PING of a boot that did not prove to live: its counter
        self.forgotten = 0

    def __len__(self) -> int:
        """Count the boots."""
        return len(self._boots)

    def __contains__(self, boot: str) -> bool:
        """Whether a boot has proved to live, and is not forgotten."""
        return boot in self._boots

    def take(self, opened: Opened) -> bool:
        """Take a datagram that was opened; False if its boot is unknown, and has to be asked.

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
        del self._boots[opened.boot]
        self._boots[opened.boot] = known  # the last to go
        return True

    def take_question(self, opened: Opened) -> None:
        """Take a PING of a boot that has not proved to live: as a recording it would be answered for ever.

        Remembered as many boots as there may be windows; past it the one asked by longest ago is forgotten.

        Raises:
            WireError: ``replayed``: it is not newer than the last one.
        """
        last = self._questions.get(opened.boot, -1)
        self._remember(opened.boot, opened.counter)
        if opened.counter <= last:
            raise WireError("replayed", f"unicast {opened.counter} of {opened.id} ({opened.boot}), not known to live")

    def admit(self, opened: Opened) -> None:
        """Listen to a boot from now on: by this datagram it has proved to live.

        All it sealed before this one, of every scope, is void: it may have been recorded.
        """
        if opened.boot in self._boots:
            return
        while len(self._boots) >= self.limit:
            del self._boots[next(iter(self._boots))]
            self.forgotten += 1
        self._boots[opened.boot] = (Window(opened.counter), Window(opened.counter), opened.counter)

    def forget(self, boot: str) -> None:
        """Listen to a boot no more until it has proved to live anew."""
        known = self._boots.pop(boot, None)
        if known is not None:
            self._remember(boot, known[1].top)

    def _remember(self, boot: str, counter: int) -> None:
        last = self._questions.pop(boot, -1)
        while len(self._questions) >= self.limit:
            del self._questions[next(iter(self._questions))]
        self._questions[boot] = max(last, counter)
