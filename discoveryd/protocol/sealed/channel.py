"""The sealed layer in front of the engine: what comes in is opened, and taken once; what goes out is sealed.

**In.** A sealed datagram is refused unread where its source brought too much, else opened, and taken once, by windows
over the counters of each boot that has proved to live:

- Of a boot with windows each counter is taken once, and the datagram counts as if it had come plain.
- A boot without windows may be long gone, and the datagram a recording of it. It counts for nothing but this: a HELLO
  makes us send a PING (`discoveryd.protocol.challenges`), sealed for that boot alone. A PING sealed for our boot is
  answered once, by unicast, and nothing else follows from it. A PONG sealed for our boot that repeats a nonce of ours
  was made by a boot that lives: `Windows.admit`.

So no clock is compared and nothing is kept on a disk, as in RFC 8967; and windows may be forgotten at any time: a boot
that is heard after that is sent a PING again, which takes one round trip, and recordings stay worthless. The windows of
a boot hold while HELLOs come that are newer than any before; when none did for its ttl, or it went down or left, it has
to prove again that it lives: a recording made where we do not hear it (another link, another segment) carries counters
that no window has seen. The engine sees plain datagrams whose source says by which key they came.

**Out.** A *variant* is the id of a key, or empty for plain. A HELLO goes out in the variant that is configured
(`Keyring.sends`), and once more in each other variant that a live peer on that link still uses, if we may: an older
key of the ring, and plain unless the mode is ``require``. So a fleet changes its key, or begins to use one,
node by node and in any order. A peer that is heard in several variants is taken to use the one we prefer: in mode
``off`` plain, else the key we send with, then the others of the ring, plain at last. Since a peer that is heard in the
configured variant makes us say nothing twice, that ends when all have changed. What is for one node alone goes
in the variant in which that node was heard last.

A change of keys begins in `Reception.set_keyring`. What cannot be opened after it, `Sealer.open` refuses with a reason.
"""

from dataclasses import dataclass
from typing import Any, Final

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import drop_first, put_last
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import Incoming
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.sealed.envelope import OF_WILL, Opened, Sealer
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable

PROVED_FOR: Final = 5.0
"""Seconds from a proof to the HELLO that it was asked for; a boot that takes longer is asked again."""
MAX_SOURCES = 8192
"""Senders, each with a key, remembered; past it the first is made anew, and its next HELLO is looked at more closely.
As many as the net floor keeps."""
WIDTH = 1024
"""Counters below the highest that may still come: two thirds of a second of the most that a node sends (1,000 answers,
100 probes, and 500 datagrams of messages unless ``messages.budget`` is raised). Wi-Fi holds broadcasts back for some
0.1 to 0.3 s while unicasts, which spend the same counters, pass. A datagram that comes later is dropped, and not
missed: a newer HELLO has been heard."""
_ALL = (1 << WIDTH) - 1


@dataclass(slots=True)
class Window:
    """The counters of one boot that were taken (RFC 4303, 3.4.3; as RFC 6479 without shifting it in vain).

    Attributes:
        top: the highest counter that was taken; at first all up to it count as taken.
        taken: bit n tells whether the counter n below the top was taken.
    """

    top: int
    taken: int = _ALL

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


class Windows(dict[str, tuple[Window, Window, int]]):
    """The windows of each boot that proved to live, one for broadcasts, one for the rest, the counter of its proof.

    They are apart because Wi-Fi delays broadcasts and not unicasts (RFC 9467). The scope decides, which is
    authenticated, not how a datagram came, which is not.

    Args:
        limit: boots; when there are more the one that was silent longest is forgotten, and is sent a PING when it is
            heard again. Only a node with the key can bring that about. 1,000 take 0.7 MB.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._questions: dict[str, int] = {}  # counter of the last PING of each boot that did not prove to live
        self._wills: dict[str, int] = {}  # counter of the last will of each boot

    def take(self, opened: Opened) -> bool:
        """Take a datagram that was opened; False if its boot is unknown, and has to be sent a PING.

        Raises:
            WireError: ``replayed``; ``unproven``: sealed before its boot proved to live, and perhaps overtaken by that.
        """
        known = self.get(opened.boot)
        if known is None:
            return False
        if opened.scope == OF_WILL:
            self._take_will(opened)
            return True
        broadcasts, unicasts, proof = known
        if opened.counter <= proof:
            raise WireError("unproven", f"{opened.counter} of {opened.id} ({opened.boot}) is older than its proof")
        if not (broadcasts if opened.is_to_all else unicasts).take(opened.counter):
            kind = "broadcast" if opened.is_to_all else "unicast"
            raise WireError("replayed", f"{kind} {opened.counter} of {opened.id} ({opened.boot})")
        put_last(self, opened.boot, known, self.limit)
        return True

    def _take_will(self, opened: Opened) -> None:
        if opened.counter <= self._wills.get(opened.boot, -1):
            raise WireError("replayed", f"will {opened.counter} of {opened.id} ({opened.boot})")
        put_last(self._wills, opened.boot, opened.counter, self.limit)

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
        if opened.boot not in self:
            windows = Window(opened.counter), Window(opened.counter), opened.counter
            put_last(self, opened.boot, windows, self.limit)

    def forget(self, boot: str) -> None:
        """Take nothing more of a boot until it has proved again that it lives."""
        known = self.pop(boot, None)
        if known is not None:
            self._remember(boot, known[1].top)

    def _remember(self, boot: str, counter: int) -> None:
        put_last(self._questions, boot, max(counter, self._questions.get(boot, -1)), self.limit)


class Sealing:
    """The sealed layer of one node, for as long as it runs: keys may change, the counter goes on.

    Args:
        keyring: the keys, and what to do with them.
        table: the peers, and how each was heard.
        rate_limits: what each source may bring.
        sealer: arguments of its `Sealer`: realm, id and boot of this node, and what tells processes apart.

    Attributes:
        windows: of the boots that have proved to live.
        sealer: seals and opens; its counter goes on as long as the node runs.
        sources: the object that stands for each sender, key and boot.
    """

    def __init__(self, keyring: Keyring, table: PeerTable, rate_limits: RateLimits, **sealer: Any) -> None:
        self.windows = Windows(table.limit)
        self._table = table
        self._rate_limits = rate_limits
        self.sealer = Sealer(keyring, **sealer)
        self.reboot = self.sealer.reboot
        self._proved: dict[str, float] = {}  # boots that have proved to live, until a HELLO comes
        self.sources: dict[tuple[Source, str, str], Source] = {}
        self._pings: dict[bytes, bytes] = {}  # sealed -> plain, as one may come back
        self._turn = 0
        self.set_keyring(keyring)

    def set_keyring(self, keyring: Keyring) -> None:
        """Use other keys, or the same in another variant."""
        self.keyring = keyring
        self._variants = keyring.ranks()  # in which we may speak
        self.sealer.set_keyring(keyring)

    # --- out --------------------------------------------------------------------------------------

    def variants(self, link: Link) -> list[str]:
        """Return the variants in which a HELLO goes out on a link."""
        return self._spoken({
            row.sealed_with
            for row in self._table.shown()
            if any(path.link == link.name for path in row.paths)
        })  # fmt: skip

    def used(self) -> dict[str, set[str]]:
        """Return the variants in which peers are heard, by address."""
        found: dict[str, set[str]] = {}
        for row in self._table.shown():
            for path in row.paths:
                found.setdefault(path.address, set()).add(row.sealed_with)
        return found

    def variants_of(self, used: set[str]) -> list[str]:
        """Return the variants in which a HELLO goes to a routed node that is heard in these.

        A node from which nothing is heard may know only a key that we no longer send with: it gets each HELLO in the
        configured variant, and the others in turn.
        """
        if not used:
            others = [variant for variant in self._variants if variant != self.keyring.sends]
            self._turn += 1
            used = {others[self._turn % len(others)]} if others else used
        return self._spoken(used)

    def _spoken(self, used: set[str]) -> list[str]:
        sends = self.keyring.sends
        return [sends, *sorted(variant for variant in used if variant != sends and variant in self._variants)]

    def seal(self, datagram: bytes, variant: str, link: Link | None, to: str = "") -> bytes:
        """Write a datagram in a variant, or in the configured one if that variant may no longer be used.

        Args:
            datagram: plain, for one `Send`.
            variant: id of the key, empty for plain.
            link: by which it goes out; None for a node that is not on a link of ours.
            to: boot of the only node it is for, empty for all, and where it is not known.
        """
        if variant not in self._variants:
            variant = self.keyring.sends
        if not variant:
            return datagram
        sealed = self.sealer.seal(datagram, key=variant, here=link.packed if link else b"", to=to)
        if datagram.startswith(b"PING"):
            put_last(self._pings, sealed, datagram, MAX_PINGS)
        return sealed

    def plain(self, datagram: bytes) -> bytes:
        """Return the PING that came back because nothing listens where it went."""
        return self._pings.pop(datagram, datagram)

    # --- in ---------------------------------------------------------------------------------------

    def open(self, datagram: bytes, source: Source, now: float) -> Incoming:
        """Open a datagram, unless its source brought too much, and judge whether it may be a recording.

        `Sealer.open` refuses what is sealed with a key that is not in the ring, and what the key does not open.

        Raises:
            WireError: ``foreign-port``, ``rate``; as `Sealer.open`; ``replayed``.
        """
        self._rate_limits.check(datagram, source, now)
        opened = self.sealer.open(datagram, source)
        row = self._table.get(opened.id, opened.boot)
        is_heard = row is not None and now < row.sealed_until and row.state_at(now) in LIVE
        if not is_heard and now >= self._proved.get(opened.boot, now):
            self.windows.forget(opened.boot)
        is_known = self.windows.take(opened)
        is_next = is_known and row is not None and _is_next(opened, row)
        if is_next and row is not None:
            row.sealed_until = now + row.ttl
        return Incoming(opened.datagram, self._source(source, opened), len(datagram), opened, is_known, is_next)

    def open_double(self, datagram: bytes, source: Source) -> tuple[Opened, Source, bool]:
        """Open what came under our own boot from elsewhere; return too whether a datagram of ours had its counter.

        Raises:
            WireError: as `Sealer.open`.
        """
        opened = self.sealer.open(datagram, source, own=True)
        next_ = self.sealer.will_counter if opened.scope == OF_WILL else self.sealer.counter
        return opened, self._source(source, opened), opened.counter < next_

    def prove(self, opened: Opened, now: float) -> None:
        """Admit a boot that has answered a challenge of ours: it lives."""
        self.windows.admit(opened)
        drop_first(self._proved, lambda until: now >= until)
        put_last(self._proved, opened.boot, now + PROVED_FOR, self.windows.limit)

    def _source(self, source: Source, opened: Opened) -> Source:
        """Return the object that stands for this sender and key, as the net floor does for senders."""
        sender = (source, opened.key, opened.boot)
        found = self.sources.get(sender)
        if found is None:
            found = Source(source.address, source.link, source.unicast, opened.key, opened.boot, source.port_fits)
            put_last(self.sources, sender, found, MAX_SOURCES)
        return found


def _is_next(opened: Opened, row: Row) -> bool:
    seq = opened.datagram.rpartition(b"|")[2]
    return opened.is_quiet and seq.isdigit() and len(seq) < 10 and int(seq) > row.seq
