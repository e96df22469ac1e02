"""The simulated network with a flow log, and what each machine must make of the datagrams that reach it.

Everything random comes from one seed, and everything that happens becomes one line of the flow log. The log is hashed
as it grows, so two runs are the same to the bit if their digests are; a failure shows its last lines. The line of a
datagram ends with the addresses that it reaches.

`Heard` notes, apart from the code under test, when the last datagram that proves a boot to be up was delivered: the
list of a table is compared with that.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache, partial
from hashlib import sha256
from random import Random

from discoveryd.simulation import network
from discoveryd.simulation.network import Clock, Plug

LEFT = float("-inf")
"""In place of the time a boot was last heard: its goodbye was delivered, nothing can follow."""


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
        """Let time pass; an exception on the way is told with the seed and the last lines of the log."""
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
        """Return a digest of the flow log so far."""
        return self._digest.hexdigest()


class Segment(network.Segment):
    """A segment that writes to the flow log, on which a sender hears itself; with more faults.

    Args:
        medium: clock, dice and log.
        name: of the interface, ends in the number of the network.
        scattered: each receiver of a broadcast has its own delay, so that datagrams overtake each other.
        duplicated: share of deliveries by a scattered segment that come twice.

    Attributes:
        refusing: addresses of hosts whose firewall refuses each PING (port unreachable).
    """

    def __init__(
        self, medium: Medium, name: str = "eth0", *, scattered: bool = False, duplicated: float = 0.0, **options: object
    ) -> None:
        super().__init__(medium, medium.random, int(name.removeprefix("eth")), **options)
        self.medium = medium
        self.name = name
        self.scattered = scattered
        self.duplicated = duplicated
        self.refusing: set[str] = set()
        self._cuts: set[tuple[str, str]] = set()  # from and to which address nothing gets through

    def plug_in(self, plug: Plug, **options: object) -> None:
        super().plug_in(plug, **options)
        self.medium.note(f"{self.name} {plug.address} plugged in")

    def pull_out(self, plug: Plug, **options: object) -> None:
        super().pull_out(plug, **options)
        self.medium.note(f"{self.name} {plug.address} pulled out")

    # --- faults ---------------------------------------------------------------------------------

    def cut(self, sender: str, receiver: str) -> None:
        """Let nothing get through from one address to another; the other direction works."""
        self._cuts.add((sender, receiver))
        self.medium.note(f"{self.name} {sender} no longer reaches {receiver}")

    def part(self, island: list[str]) -> None:
        """Cut some of the hosts off from all others, in both directions."""
        for other in sorted(self.plugs.keys() - island):
            for address in island:
                self.cut(address, other)
                self.cut(other, address)

    def heal(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    # --- datagrams ------------------------------------------------------------------------------

    def send(self, sender: Plug, to: str, datagram: bytes) -> None:
        self.medium.sent += 1
        if not self.scattered:
            super().send(sender, to, datagram)
            return
        for address in list(self.plugs) if to == self.broadcast else [to]:
            for _ in range(self._copies()):
                self.later(partial(self.arrive, sender, address, datagram, unicast=to != self.broadcast))

    def receivers(self, sender: Plug, datagram: bytes) -> list[Plug]:
        reached = [plug for plug in self.plugs.values() if not self.loses() and (sender.address, plug.address) not in self._cuts]
        self._note(sender, self.broadcast, datagram, reached)
        return reached

    def arrive(self, sender: Plug, to: str, datagram: bytes, *, unicast: bool = True) -> None:
        plug = self.plugs.get(to)
        is_late_echo = to == sender.address and plug is not sender  # of a host that was unplugged since
        if is_late_echo or (sender.address, to) in self._cuts:
            plug = None
        self._note(sender, to, datagram, [plug] if plug else [])
        if to in (self.refusing if plug and datagram.startswith(b"PING") else self.closed):
            self.refuse(sender, datagram)
        elif plug is not None:
            plug.deliver(datagram, sender.address, self.medium.now, unicast=unicast)

    def _copies(self) -> int:
        if self.loses():
            return 0
        return 2 if self.medium.random.random() < self.duplicated else 1

    def _note(self, sender: Plug, to: str, datagram: bytes, receivers: list[Plug]) -> None:
        self.medium.delivered += len(receivers)
        reached = " ".join([plug.address for plug in receivers])
        self.medium.note(f"{self.name} {sender.address} > {to} {datagram.decode('latin-1')} {reached}")


class Heard(dict[str, float]):
    """Boot -> when the last datagram that proves it to be up came in, to one machine.

    Of HELLOs only one with a seq above all before is a proof: the others may be repetitions.

    Attributes:
        answered: the boots that answered a PING of this machine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answered: set[str] = set()
        self._seqs: dict[str, int] = {}

    def judge(self, datagram: bytes, mark: str, asked: set[bytes], now: float) -> None:
        """Note what a machine must make of a datagram.

        Args:
            datagram: as it came in.
            mark: the name of this machine in a PING.
            asked: the nonces of PINGs that reached the boot that they ask.
            now: seconds.
        """
        kind, boot, detail = claim(datagram)
        if kind == "HELLO":
            if self.get(boot) != LEFT and int(detail) > self._seqs.get(boot, -1):
                self._seqs[boot] = int(detail)
                self[boot] = now
        elif kind == "goodbye":
            if boot in self:
                self[boot] = LEFT
        elif kind == "PING":
            if boot == mark:
                asked.add(detail)
        elif kind == "PONG" and detail in asked and self.get(boot, LEFT) != LEFT:
            asked.remove(detail)  # another boot than the one that was asked proves nothing by a PONG
            self[boot] = now
            self.answered.add(boot)


@lru_cache(maxsize=512)  # each receiver of a broadcast asks
def claim(datagram: bytes) -> tuple[str, str, bytes]:
    """Return the kind of a datagram, the boot (of a PING the mark) that it is about, and its seq or nonce."""
    fields = datagram.split(b"|", 11)
    kind = fields[0].decode("latin-1")
    place, detail = {"HELLO": (4, 9), "PING": (6, 5), "PONG": (3, 4)}.get(kind, (99, 99))
    if len(fields) <= max(place, detail):
        return "", "", b""
    if b"g" in b"".join(fields[10:11]) and kind == "HELLO":
        kind = "goodbye"
    return kind, fields[place].decode(), fields[detail]
