"""A host of the simulated network: it runs one engine after another, as the daemon does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.simulation.network import Clock, Plug, Segment
from discoveryd.simulation.sender import SimulatedSender


class Host:
    """A machine and the engine that it runs.

    Args:
        clock: the time of the network.

    Attributes:
        engine: the one that runs or ran last.
        is_up: whether it runs.
    """

    engine: Node | SimulatedSender

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_up = False
        self.plugs: dict[Link, tuple[Segment, Plug]] = {}
        self._wake = NEVER

    def run(self, engine: Node | SimulatedSender, links: Mapping[Segment, Link]) -> None:
        """Start an engine on these links."""
        self.engine = engine
        self.is_up = True
        self._wake = NEVER
        self.set_links(links)

    def set_links(self, links: Mapping[Segment, Link]) -> None:
        """Change the links of the machine."""
        for link in set(self.plugs) - set(links.values()):
            segment, plug = self.plugs.pop(link)
            segment.pull_out(plug)
        for segment, link in links.items():
            if link not in self.plugs:
                plug = Plug(link, self.hear, self.refuse)
                self.plugs[link] = segment, plug
                self.plug_in(segment, plug)
        self.engine.set_links(links.values(), self.clock.now)
        self.schedule()

    def plug_in(self, segment: Segment, plug: Plug) -> None:
        """Connect the machine to a segment."""
        segment.plug_in(plug)

    def end(self, *, port_closed: bool = False) -> None:
        """End the engine without a goodbye; with `port_closed` the machine stays and refuses datagrams."""
        self.pause(port_closed=port_closed)
        self.plugs = {}

    def pause(self, *, port_closed: bool = False) -> None:
        """Stand still: nothing is heard or sent while time goes on."""
        self.is_up = False
        self._wake = NEVER
        for segment, plug in self.plugs.values():
            segment.pull_out(plug, port_closed=port_closed)

    def resume(self) -> None:
        """Continue after a pause."""
        self.is_up = True
        for segment, plug in self.plugs.values():
            self.plug_in(segment, plug)
        self.schedule()

    # --- what a daemon does for its engine --------------------------------------------------------

    def hear(self, datagram: bytes, source: Source, now: float) -> None:
        """Give the engine a datagram."""
        outcome = self.engine.receive(datagram, source, now)
        if outcome is not NOTHING:
            self.act(outcome)

    def refuse(self, datagram: bytes, now: float) -> None:
        """Give the engine a datagram of its own that came back."""
        self.act(self.engine.refused(datagram, now))

    def poll(self) -> None:
        """Let the engine do what is due."""
        self.act(self.engine.poll(self.clock.now))

    def act(self, outcome: Outcome) -> None:
        """Send the datagrams of an outcome, and follow its events."""
        for send in outcome.sends:
            self.send(send)
        for event in outcome.events:
            self.follow(event)
        self.schedule()

    def send(self, send: Send) -> None:
        """Send a datagram."""
        assert send.link is not None, "no router on this network"
        segment, plug = self.plugs[send.link]
        segment.send(plug, send.to, send.datagram)

    def follow(self, event: Event) -> None:
        """Take an event of the engine; nothing to do for most hosts."""

    def schedule(self) -> None:
        """Wake the engine at its deadline."""
        due = self.engine.next_deadline()
        if due < self._wake:
            self._wake = due
            self.clock.at(max(due + self.lateness(), self.clock.now), partial(self._poll, self.engine, due))

    def lateness(self) -> float:
        """Return by how many seconds the next timer is late."""
        return 0.0

    def _poll(self, engine: Node | SimulatedSender, due: float) -> None:
        if engine is self.engine and due == self._wake:
            self._wake = NEVER
            self.poll()
