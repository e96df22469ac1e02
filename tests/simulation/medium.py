"""A LAN in memory: a virtual clock, and segments that lose, delay, reorder and duplicate.

Everything random comes from one seed, and everything that happens becomes one line of the flow log. The
log is hashed as it grows, so two runs are the same to the bit if their digests are; the last lines are
kept for whoever has to find out what went wrong. A line of a datagram ends with one mark per plug of the
segment, in the order in which they were plugged in: ``+`` heard it, ``.`` did not.

The medium also keeps, for each plug and apart from the code under test, when the last datagram that
vouches for a boot was delivered: what a table may list is judged by that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from itertools import compress
from math import ceil
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.simulation.medium import Clock

LEFT = float("-inf")
"""In place of the moment a boot was last heard: its goodbye was delivered, nothing can follow."""
MARKS = bytes.maketrans(b"\0\1", b".+")


class Medium(Clock):
    """The clock, the dice and the log that all segments share."""

    def __init__(self, seed: object) -> None:
        super().__init__()
        self.seed = seed
        self.random = Random(str(seed))
        self.sent = 0
        self.delivered = 0
        self.last_lines: deque[str] = deque(maxlen=150)
        self._digest = sha256()

    def run(self, until: float, most: int = 1_000_000) -> bool:
        """Let the time pass. Whatever goes wrong on the way is told with the seed and the last lines."""
        try:
            while super().run(until, most):
                pass
        except BaseException as error:
            error.add_note("\n".join((*self.last_lines, f"seed {self.seed}, {self.now} s")))
            raise
        return False

    def note(self, line: str) -> None:
        """Add a line to the flow log."""
        line = f"{self.now!r} {line}"
        self._digest.update(line.encode())
        self.last_lines.append(line)

    def digest(self) -> str:
        """Digest the flow log so far."""
        return self._digest.hexdigest()


class Plug:
    """Where a machine is connected to a segment, and what was delivered there.

    Attributes:
        receive: takes a datagram, as `Node.receive` does.
        refused: takes one of its own that came back, as `Node.refused` does.
        act: is given each outcome that is not `NOTHING`.
        boot: of the node that speaks here.
        mark: what PINGs for that name it by.
        heard: what vouches for whom; shared by the plugs of a machine.
    """

    def __init__(self, segment: Segment, link: Link, boot: str, heard: Heard) -> None:
        self.segment = segment
        self.link = link
        self.boot = boot
        self.mark = ""
        self.heard = heard
        self.island = 0
        self.has_left = False
        self.receive: Callable[[bytes, Source, float], Outcome] = lambda *_: NOTHING
        self.refused: Callable[[bytes, float], Outcome] = lambda *_: NOTHING
        self.act: Callable[[Outcome], None] = lambda _: None
        self.broadcasts = Sources(link, unicast=False)
        self.unicasts = Sources(link, unicast=True)


class Heard(dict[str, float]):
    """Boot -> when the last datagram that vouches for it came in.

    Of HELLOs only one with a seq above all before vouches: the others may be repetitions.

    Attributes:
        answered: the boots that answered a PING of ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answered: set[str] = set()
        self._asked: set[bytes] = set()  # nonces of PINGs that came to the boot for which they were meant
        self._seqs: dict[str, int] = {}

    def hello(self, boot: str, seq: int, now: float) -> None:
        """Note a HELLO."""
        if seq > self._seqs.get(boot, -1):
            self._seqs[boot] = seq
            self[boot] = now

    def ask(self, nonce: bytes) -> None:
        """Note that a PING of ours came to the boot that it asks."""
        self._asked.add(nonce)

    def pong(self, boot: str, nonce: bytes, now: float) -> None:
        """Note a PONG; another boot than the one that was asked says nothing by it."""
        if nonce in self._asked and self.get(boot, LEFT) != LEFT:
            self._asked.remove(nonce)
            self[boot] = now
            self.answered.add(boot)


class Sources(dict[str, Source]):
    """One source object per sender, as the net floor keeps them; the one that came first is forgotten."""

    LIMIT = 512

    def __init__(self, link: Link, *, unicast: bool) -> None:
        super().__init__()
        self._link = link
        self._unicast = unicast

    def __missing__(self, address: str) -> Source:
        if len(self) >= self.LIMIT:
            del self[next(iter(self))]
        source = self[address] = Source(address, self._link, self._unicast)
        return source


class Segment:
    """One broadcast domain.

    Args:
        medium: the clock and the dice.
        name: of the interface that a machine has here; must end in a number, which becomes the network's.
        loss: share of deliveries lost, for each receiver on its own (in steps of 1/256, rounded up).
        delay: shortest and longest, seconds.
        scattered: each receiver has its own delay, so that datagrams overtake one another.
        duplicated: share of scattered deliveries that come twice.
    """

    def __init__(
        self,
        medium: Medium,
        name: str = "eth0",
        *,
        loss: float = 0.0,
        delay: tuple[float, float] = (0.0001, 0.003),
        scattered: bool = False,
        duplicated: float = 0.0,
    ) -> None:
        self.medium = medium
        self.name = name
        self.number = int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        self.network = f"10.{self.number}"
        self.broadcast = f"{self.network}.255.255"
        self.loss = loss
        self.delay = delay
        self.scattered = scattered
        self.duplicated = duplicated
        self._plugs: dict[str, Plug] = {}  # by address
        self._closed: set[str] = set()  # addresses of machines that run no daemon
        self._refusing: set[str] = set()  # and of those whose firewall says so of each PING
        self._cuts: set[tuple[str, str]] = set()  # from whom to whom nothing gets through
        self._is_parted = False

    def link(self, number: int) -> Link:
        """Give the link of the machine with this number, 1 to 65534."""
        return Link(self.name, self.number + 2, f"{self.network}.{number >> 8}.{number & 255}", 16, self.broadcast)

    def plug_in(self, plug: Plug) -> None:
        """Connect."""
        assert plug.link.address not in self._plugs, f"{plug.link.address} is taken"
        self._plugs[plug.link.address] = plug
        self._closed.discard(plug.link.address)
        self.medium.note(f"{self.name} {plug.link.address} plugged in")

    def pull_out(self, plug: Plug) -> None:
        """Disconnect; what is under way to it is lost, what it has sent is not."""
        del self._plugs[plug.link.address]
        self.medium.note(f"{self.name} {plug.link.address} pulled out")

    def close_port(self, address: str) -> None:
        """Answer with port unreachable what is sent to this address alone, until somebody plugs in there."""
        self._closed.add(address)

    def refuses(self, address: str) -> None:
        """Let a firewall there refuse each PING, by port unreachable."""
        self._refusing.add(address)

    def cut(self, sender: str, receiver: str) -> None:
        """Let nothing get through from one to another; the other direction works."""
        self._cuts.add((sender, receiver))
        self._is_parted = True
        self.medium.note(f"{self.name} {sender} no longer reaches {receiver}")

    def join(self) -> None:
        """End all cuts."""
        self._cuts.clear()
        self.heal()

    def part(self, *islands: Sequence[str]) -> None:
        """Let only those hear each other whose addresses stand together; the rest are one island too."""
        for plug in self._plugs.values():
            plug.island = 0
        for number, island in enumerate(islands, 1):
            for address in island:
                self._plugs[address].island = number
        self._is_parted = bool(islands)
        self.medium.note(f"{self.name} parted")

    def heal(self) -> None:
        """Let all hear all again."""
        self.part()

    def send(self, sender: Plug, to: str, datagram: bytes) -> None:
        """Carry a datagram from one plug to another, or to all."""
        medium = self.medium
        medium.sent += 1
        if to == self.broadcast and not self.scattered:
            medium.after(medium.random.uniform(*self.delay), partial(self._broadcast, sender, datagram))
            return
        for address in list(self._plugs) if to == self.broadcast else [to]:
            for _ in range(self._copies()):
                arrive = partial(self._arrive, sender, to, address, datagram)
                medium.after(medium.random.uniform(*self.delay), arrive)

    def _copies(self) -> int:
        dice = self.medium.random.random
        if dice() < self.loss:
            return 0
        return 2 if self.scattered and dice() < self.duplicated else 1

    def _broadcast(self, sender: Plug, datagram: bytes) -> None:
        """Deliver to all who hear it: nearly everything of a long run happens here."""
        medium = self.medium
        plugs = list(self._plugs.values())
        fates = medium.random.randbytes(len(plugs)).translate(_fates(self.loss))
        if self._is_parted:
            fates = bytes(fate and self._reaches(sender, plug) for fate, plug in zip(fates, plugs, strict=True))
        now, address, boot = medium.now, sender.link.address, sender.boot
        self._note(address, self.broadcast, datagram, fates)
        # goodbyes and what they overtook are judged one by one
        vouches = _vouches(datagram) and not sender.has_left
        seq = _seq(datagram) if vouches else 0
        for plug in compress(plugs, fates):
            outcome = plug.receive(datagram, plug.broadcasts[address], now)
            if vouches:
                plug.heard.hello(boot, seq, now)
            else:
                _judge(plug, sender, datagram, now)
            if outcome is not NOTHING:
                plug.act(outcome)
        medium.delivered += fates.count(1)

    def _arrive(self, sender: Plug, to: str, address: str, datagram: bytes) -> None:
        """Deliver to one."""
        plug = self._plugs.get(address)
        heard = plug is not None and self._reaches(sender, plug)
        if address == sender.link.address:  # its own echo is heard by the run that sent it, or by none
            heard = plug is sender
        self._note(sender.link.address, address, datagram, b"\1" if heard else b"\0")
        is_refused = address in (self._refusing if heard and datagram.startswith(b"PING") else self._closed)
        if plug is None or not heard or is_refused:
            if is_refused and self._copies():
                self.medium.after(self.medium.random.uniform(*self.delay), partial(self._refuse, sender, datagram))
            return
        now = self.medium.now
        sources = plug.broadcasts if to == self.broadcast else plug.unicasts
        outcome = plug.receive(datagram, sources[sender.link.address], now)
        _judge(plug, sender, datagram, now)
        if outcome is not NOTHING:
            plug.act(outcome)
        self.medium.delivered += 1

    def _reaches(self, sender: Plug, receiver: Plug) -> bool:
        cut = (sender.link.address, receiver.link.address) in self._cuts
        return sender.island == receiver.island and not cut

    def _refuse(self, sender: Plug, datagram: bytes) -> None:
        """Bring a datagram back to its sender, as the ICMP message port unreachable does."""
        if self._plugs.get(sender.link.address) is not sender:
            return
        self.medium.note(f"{self.name} {sender.link.address} < refused {datagram.decode('latin-1')}")
        outcome = sender.refused(datagram, self.medium.now)
        if outcome is not NOTHING:
            sender.act(outcome)

    def _note(self, sender: str, to: str, datagram: bytes, fates: bytes) -> None:
        marks = fates.translate(MARKS).decode()
        self.medium.note(f"{self.name} {sender} > {to} {datagram.decode('latin-1')} {marks}")


def _fates(loss: float, tables: dict[float, bytes] = {}) -> bytes:  # noqa: B006 - the memory is the point
    """Give the table that turns a random byte into 0, lost, or 1, delivered."""
    if loss not in tables:
        lost = ceil(loss * 256)
        tables[loss] = bytes(lost) + b"\1" * (256 - lost)
    return tables[loss]


def _vouches(datagram: bytes) -> bool:
    """Whether this says that its sender is up: a HELLO with a boot that is no goodbye."""
    return datagram.startswith(b"HELLO|2|") and b"g" not in b"".join(datagram.split(b"|", 11)[10:11])


def _seq(hello: bytes) -> int:
    return int(hello.split(b"|", 10)[9])


def _judge(plug: Plug, sender: Plug, datagram: bytes, now: float) -> None:
    """Note what a receiver must make of this datagram."""
    heard, boot = plug.heard, sender.boot
    if _vouches(datagram):
        if heard.get(boot) != LEFT:
            heard.hello(boot, _seq(datagram), now)
    elif datagram.startswith(b"HELLO|2|"):
        if boot in heard:
            heard[boot] = LEFT
    elif datagram.startswith(b"PING|"):
        nonce, asked = datagram.split(b"|")[5:7]
        if asked.decode() == plug.mark:
            sender.heard.ask(nonce)
    elif datagram.startswith(b"PONG|"):
        heard.pong(boot, datagram.split(b"|")[4], now)
