"""Machines on a virtual LAN: each runs one `Node` after another, as the daemon does, and is checked.

A check compares three things that come about independently: what the table lists, what it must list by
the deliveries that the medium noted, and what somebody knows who followed the events alone.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.liveness import NEVER, SUSPECT_INTERVALS
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.protocol.table.standing import LIFE_INTERVALS
from discoveryd.protocol.wire.messages import mark
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Host, Plug
from tests.simulation.medium import LEFT, Heard, Medium, Segment

GOODBYES = (0.0, 0.03, 0.06)
"""Seconds after the decision to leave at which the daemon says goodbye."""
LATE = 0.05
"""Seconds that what happens may be late besides."""
ADDING = ("joined", "recovered", "restarted", "clone")
REMOVING = ("down", "left")


class Lan:
    """The machines, and the truth about them.

    Args:
        medium: clock, dice and log.
        parameters: of all nodes. Their number must leave the interval unstretched: the ttl is taken from here.
        late: by how many seconds at most the timers of the machines are late.
    """

    def __init__(self, medium: Medium, parameters: Parameters | None = None, *, late: float = 0.0) -> None:
        self.medium = medium
        self.parameters = parameters or Parameters()
        self.late = late
        self.machines: list[Machine] = []
        self._numbers = count(1)
        self.boots: dict[str, tuple[str, int]] = {}  # boot -> id, generation
        self.running: set[str] = set()  # boots
        self.asked: set[bytes] = set()  # nonces of PINGs that came to the boot that they ask
        self.false_downs = 0
        self.events = 0

    def add(self, *segments: Segment, name: str = "") -> Machine:
        """Give a new machine, plugged into these segments, not yet started."""
        number = next(self._numbers)
        machine = Machine(self, name or f"m{number:02}", number, segments)
        self.machines.append(machine)
        return machine

    def populate(self, count: int, *segments: Segment, settled: float = 70.0) -> list[Machine]:
        """Start machines within the first second, and let them measure their paths until `settled`."""
        machines = [self.add(*segments) for _ in range(count)]
        for machine in machines:
            self.medium.after(self.medium.random.uniform(0, 1), machine.start)
        self.medium.run(settled)
        return machines

    def watch(self, until: float, every: float = 0.05) -> None:
        """Let time pass, and check all tables every few moments."""
        while self.medium.now < until:
            self.medium.run(min(until, self.medium.now + every * self.medium.random.uniform(0.5, 1.5)))
            self.check()

    def up(self) -> list[Machine]:
        """Give the machines whose node runs."""
        return [machine for machine in self.machines if machine.is_up]

    def check(self) -> None:
        """Check every table at this moment."""
        for machine in self.up():
            machine.check()

    def forget(self) -> None:
        """Forget what was, so that the memory of a long run is that of the nodes."""
        self.machines = self.up()
        self.boots = {machine.node.boot: (machine.name, machine.generation) for machine in self.machines}
        for machine in self.machines:
            machine.forget()

    def check_truth(self) -> None:
        """Every table lists the others that run, all of them, as they are, and nothing else."""
        truth = {machine.node.boot: machine.shows() for machine in self.up()}
        for machine in self.up():
            listed = {peer.boot: _shown(peer) for peer in machine.node.peers(self.medium.now)}
            others = {boot: shows for boot, shows in truth.items() if boot != machine.node.boot}
            assert listed == others, f"{machine.name} lists {listed}, the others are {others}"


class Machine(Host):
    """One machine of the LAN.

    Attributes:
        mirror: boot (or bare peer's address) -> peer for someone who only follows the events of the node that runs.
    """

    def __init__(self, lan: Lan, name: str, number: int, segments: tuple[Segment, ...]) -> None:
        super().__init__(lan.medium)
        self.lan = lan
        self.medium = lan.medium
        self.name = name
        self.number = number
        self.links: dict[Segment, Link] = {segment: segment.link(number) for segment in segments}
        self.generation = 0
        self.node = Node()
        self.mirror: dict[str, Peer] = {}
        self.kinds: list[str] = []
        self.lost: dict[str, str] = {}  # boot -> the event that removed it
        self.woken = -NEVER
        self._heard = Heard()
        self._mark = ""
        self._seq = 0

    # --- its life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Run a new node, of the same id as ever."""
        assert not self.is_up
        self.generation += 1
        self.node = Node(
            self.lan.parameters,
            Record(name=self.name, tags={"version": "0"}),
            node_id=self.name,
            random=Random(f"{self.medium.seed}/{self.number}/{self.generation}"),
        )
        self.lan.boots[self.node.boot] = (self.name, self.generation)
        self.lan.running.add(self.node.boot)
        self._heard, self.mirror, self.kinds, self._seq = Heard(), {}, [], 0
        self.lost, self.woken = {}, -NEVER
        self._mark = mark(self.name, self.node.boot)
        self.run(self.node, self.links)

    def set_links(self, links: dict[Segment, Link]) -> None:
        """Have these links from now on."""
        self.links = links
        for link in set(self.plugs) - set(links.values()):
            segment, plug = self.plugs.pop(link)
            segment.pull_out(plug)
        for segment, link in links.items():
            if link not in self.plugs:
                self.plugs[link] = segment, Plug(link, self.hear, self.refuse)
                segment.plug_in(self.plugs[link][1])
        self.node.set_links(links.values(), self.medium.now)
        self.schedule()

    def set_tag(self, version: str) -> None:
        """Say something else of itself."""
        self.node.set_record(Record(name=self.name, tags={"version": version}), self.medium.now)
        self.schedule()

    def crash(self) -> None:
        """End without a word: the power is gone."""
        self.medium.note(f"{self.name} crashes")
        self.end()

    def kill(self) -> None:
        """End the process alone: the machine says of each PING that nobody listens there."""
        self.medium.note(f"{self.name} is killed")
        self.end(port_closed=True)

    def leave(self) -> None:
        """Say goodbye, and end."""
        self.medium.note(f"{self.name} leaves")
        plugs = dict(self.plugs)
        sends = self.node.goodbye().sends
        self.end()
        for offset in GOODBYES:
            for send in sends:
                segment, plug = plugs[send.link]
                self.medium.after(offset, partial(segment.send, plug, send.to, send.datagram))

    def sleep(self) -> None:
        """Stand still, deaf and dumb, while the time goes on; the truth is that it is not up."""
        self.medium.note(f"{self.name} falls asleep")
        plugs = self.plugs
        self.end()
        self.plugs = plugs

    def wake(self) -> None:
        """Go on."""
        self.medium.note(f"{self.name} awakes")
        self.woken = self.medium.now
        self.lan.running.add(self.node.boot)
        self.is_up = True
        for segment, plug in self.plugs.values():
            segment.plug_in(plug)
        self.schedule()

    def end(self, *, port_closed: bool = False) -> None:
        self.lan.running.discard(self.node.boot)
        super().end(port_closed=port_closed)

    def shows(self) -> tuple[str, frozenset[str], str]:
        """Give what others must see of it."""
        addresses = frozenset(link.address for link in self.links.values())
        return self.name, addresses, self.node.record.tags["version"]

    def hear_stranger(self, datagram: bytes, address: str) -> None:
        """Take a datagram from someone who is no machine of this LAN."""
        [link, *_] = self.plugs
        super().hear(datagram, Source(address, link), self.medium.now)

    def forget(self) -> None:
        """Forget what was."""
        self.kinds.clear()
        self._heard.clear()

    # --- what a daemon does for its node --------------------------------------------------------

    def hear(self, datagram: bytes, source: Source, now: float) -> None:
        super().hear(datagram, source, now)
        self._heard.judge(datagram, self._mark, self.lan.asked, now)

    def poll(self) -> None:
        super().poll()
        assert self.node.next_deadline() > self.medium.now, f"{self.name} has polled and is to poll at once again"

    def lateness(self) -> float:
        return self.medium.random.uniform(0, self.lan.late) if self.lan.late else 0.0

    # --- what is checked ------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        """Take an event as a subscriber does, who sees nothing else."""
        self._seq += 1
        assert event.seq == self._seq, f"{self.name}: event {event.seq} follows {self._seq - 1}"
        peer = event.peer
        self.medium.note(f"{self.name} sees {event.kind} {peer.id} {peer.boot}: {event.reason}")
        self.lan.events += 1
        self.kinds.append(event.kind)
        key = peer.boot or peer.id  # a bare peer's id is its address
        if event.kind in REMOVING:
            assert key in self.mirror, f"{self.name}: {event.kind} of {key}, which was not up"
            del self.mirror[key]
            self.lost[key] = event.kind
            self.lan.false_downs += event.kind == "down" and peer.boot in self.lan.running
            return
        if event.kind in ("updated", "suspect"):
            assert key in self.mirror, f"{self.name}: {event.kind} of {key}, which was not up"
        elif event.kind == "recovered":
            former = self.mirror.get(key)
            assert former is None or former.state == "suspect", f"{self.name}: recovered {key}, which was up"
        elif event.kind != "clone":
            assert key not in self.mirror, f"{self.name}: {event.kind} of {key}, which was up"
        if event.kind == "restarted":
            [former] = [boot for boot, one in self.mirror.items() if one.id == peer.id]
            del self.mirror[former]
        self.mirror[key] = peer
        self.lost.pop(key, None)

    def check(self) -> None:
        """Check the table at this moment."""
        now = self.medium.now
        listed = {row.boot: row.state_at(now) for row in self.node.table.rows(now)}
        must, may = self._expected(now)
        too_many = {boot for boot in listed if boot not in may and not self._is_excused(boot, listed[boot], now)}
        assert not too_many, f"{self.name} lists {too_many} too many"
        # a suspect may be given up before its ttl
        too_few = {boot for boot in must - set(listed) if self.lost.get(boot) != "down"}
        assert not too_few, f"{self.name} lists {too_few} too few"
        if not self.lan.late:  # a late timer makes the events late, never the list untrue
            # events of those that flap are held back for a moment
            flapping = {one.row.id for one in self.node.table.event_log.suppressed.values()}
            told = {key for key, peer in self.mirror.items() if peer.id not in flapping}
            true = {row.boot or row.id for row in self.node.table.rows(now) if row.id not in flapping}
            assert told == true, f"{self.name}: events say {told}, the list {true}"

    def _is_excused(self, boot: str, state: str, now: float) -> bool:
        """Whether a peer may be listed after its ttl: as suspect, for a while after a pause of our own."""
        if state != "suspect":
            return False
        grace = SUSPECT_INTERVALS * self.lan.parameters.interval + LATE
        late = self.lan.late  # is a pause, too
        return now < self.woken + grace or (
            late > 0 and now < self._heard.get(boot, LEFT) + self.lan.parameters.ttl + late + grace
        )

    def _expected(self, now: float) -> tuple[set[str], set[str]]:
        """Tell from the deliveries alone who must be listed, and who may be.

        The newest boot of an id that was heard, within the ttl and without a goodbye. Until it answers a PING it may
        be a forgery: it lasts for four intervals, and need not take the place of the boot before it.
        """
        heard, ttl, boots = self._heard, self.lan.parameters.ttl, self.lan.boots
        by_id: dict[str, list[tuple[int, str]]] = {}
        for boot, at in list(heard.items()):
            id, generation = boots[boot]
            by_id.setdefault(id, []).append((generation, boot))
            if at != LEFT and now - at > 4 * ttl:
                del heard[boot]  # silent for so long that nothing is under way
        by_id.pop(self.name, None)
        must: set[str] = set()
        may: set[str] = set()
        for known in by_id.values():
            *_, newest = (boot for _, boot in sorted(known))
            if newest in heard.answered:
                must |= self._within(ttl, [newest], now)
            else:
                may |= self._within(ttl, [boot for _, boot in known], now)
                if len(known) == 1:
                    must |= self._within(min(ttl, LIFE_INTERVALS * self.lan.parameters.interval), [newest], now)
        return must, may | must

    def _within(self, seconds: float, boots: list[str], now: float) -> set[str]:
        return {boot for boot in boots if now < self._heard.get(boot, LEFT) + seconds}


def _shown(peer: Peer) -> tuple[str, frozenset[str], str]:
    return peer.id, frozenset(peer.addresses), peer.tags.get("version", "")
