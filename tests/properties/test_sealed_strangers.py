"""With keys: whatever a stranger forges in plain, and repeats of what was sealed, from whatever address and to whomever,
each node that lives is listed under its key at its own address, a second after it started, and none that is dead stays.

The stranger has a peer of its own, which answers each PING, in the name of whom it likes, and is sooner there than anybody:
what a node says to all it repeats, or answers under the boot of that node, before others hear it.
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Pong
from tests.properties.strategies import FUZZ
from tests.protocol.samples import boot, hello
from tests.protocol.segment import K1, Segment, ring

STRANGER = "10.0.0.66"
TTL = 4.0
SOON = 1.0
HIGHEST = 2**63 - 1


@dataclass(frozen=True)
class Step:
    """What the stranger does, or what happens to a node, and how long it is quiet after that."""

    kind: str
    victim: int  # whom it is sent to, or what happens to
    named: int  # whose boot it has: of a node that lives or did, or of nobody
    id: str
    seq: int
    ttl: float
    which: float  # of all that was said: 0 the first, 1 the last
    sender: str
    unicast: bool
    pause: float


steps = st.builds(
    Step,
    kind=st.sampled_from(("repeat", "repeat", "full", "steady", "goodbye", "solicit", "ping", "squat", "relay", "crash", "leave", "start")),
    victim=st.integers(0, 2),
    named=st.integers(0, 8),
    id=st.sampled_from(("n1", "n2", "n3", "evil")),
    seq=st.sampled_from((0, 1, 2, 5, 100, HIGHEST)),
    ttl=st.sampled_from((1.0, 4.0, 3600.0)),
    which=st.floats(0, 1),
    sender=st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3", STRANGER)),
    unicast=st.booleans(),
    pause=st.sampled_from((0.0, 0.001, 0.3, 2.0, 6.0)),
)  # fmt: skip


class Watched(Segment):
    """A segment where somebody is told of a datagram before it arrives anywhere."""

    ahead = staticmethod(lambda *_: None)

    def carry(self, sender, to, datagram):
        self.ahead(sender, to, datagram)
        super().carry(sender, to, datagram)


class Play:
    """Three nodes, and a stranger who hears all."""

    def __init__(self, mode):
        self.segment = Watched()
        self.stations = [self.segment.add(ring(K1, mode=mode)).start() for _ in range(3)]
        self.boots = [station.node.boot for station in self.stations]
        self.named = "e" * 16
        self.relays, self.squats = False, None
        self.segment.ahead = self.hear
        self.segment.run(3.0)

    def hear(self, sender, to, datagram):
        """Do at once what the stranger does with a datagram."""
        if to == STRANGER and datagram.startswith(b"PING|"):
            pong = Pong(realm="default", boot=self.named, nonce=decode(datagram).nonce, heard_ms=1)
            self.say(pong.encode(), sender, unicast=True)
        elif self.relays:
            self.say(datagram, sender, unicast=True)
        if self.squats is not None and to != STRANGER and datagram.startswith(b"SEALED|"):
            id, said_by = datagram.split(b"|")[3:5]
            for forged in self.squats:
                named = replace(forged, id=id.decode()) if forged.id == "n1" else forged
                self.say(replace(named, boot=said_by.decode()).encode(), sender)

    def say(self, datagram, sender, *, unicast=False):
        for address, station in self.segment.stations.items():
            if address != sender:
                self.segment.deliver(datagram, STRANGER, station, unicast=unicast)

    def take(self, step):
        station = self.stations[step.victim]
        match step.kind:
            case "start" if station.node is None:
                self.boots.append(station.start().node.boot)
            case "crash" | "leave" if station.node is not None:
                getattr(station, step.kind)()
            case "repeat":
                *_, said = self.segment.tape[round(step.which * (len(self.segment.tape) - 1))]
                self.segment.deliver(said, step.sender, station, unicast=step.unicast)
            case "relay":
                self.relays = not self.relays
            case "squat":
                first = hello(seq=step.seq, ttl=step.ttl, id=step.id)
                self.squats = None if self.squats else [first, *([replace(first, goodbye=True)] if step.unicast else [])]
            case "full" | "steady" | "goodbye" | "solicit" | "ping":
                self.forge(step, station)
        self.segment.run(step.pause)

    def forge(self, step, station):
        self.named = self.boots[step.named] if step.named < len(self.boots) else boot(step.named)
        if step.kind == "ping":
            said = Ping(realm="default", id=step.id, boot=self.named, nonce="b" * 16)
        else:
            flags = {"goodbye": step.kind == "goodbye", "solicit": step.kind == "solicit"}
            said = replace(hello(seq=step.seq, ttl=step.ttl, full=step.kind == "full", **flags), id=step.id, boot=self.named)
        self.segment.deliver(said.encode(), step.sender, station, unicast=step.unicast)

    def sealed(self, station):
        """Return who a station lists under a key."""
        return sorted((peer.id, peer.boot, *peer.addresses) for peer in station.node.peers(self.segment.now) if peer.key)

    def living(self, station):
        """Return who it should list."""
        others = (one for one in self.stations if one is not station and one.node is not None)
        return sorted((one.name, one.node.boot, one.address) for one in others)


@pytest.mark.parametrize("mode", ["accept", "require"])
@settings(max_examples=max(40, FUZZ // 10))
@given(script=st.lists(steps, min_size=1, max_size=10))
def test_no_stranger_hides_moves_or_revives_a_node_that_seals(mode, script):
    play = Play(mode)
    for step in script:
        play.take(step)
    play.segment.run(SOON)
    up = [station for station in play.stations if station.node is not None]
    for station in up:
        found = play.sealed(station)
        assert [one for one in play.living(station) if one not in found] == []
    play.segment.run(TTL + 1.0)
    for station in up:
        assert play.sealed(station) == play.living(station)
        if mode == "require":
            assert len(station.node.peers(play.segment.now)) == len(up) - 1
