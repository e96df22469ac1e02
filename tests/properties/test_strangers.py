"""Without keys: whatever strangers forge, in whoever's name and from whatever address, those who are there stay listed.

Three true nodes answer PINGs; a stranger never does, for no PING reaches it.
"""

from dataclasses import dataclass, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.messages import Ping, Pong
from tests.properties.strategies import FUZZ
from tests.protocol.samples import WEB, boot, hello
from tests.protocol.segment import Segment

SEQUENCES = max(100, FUZZ // 5)
PARAMETERS = Parameters(budget=4)
"""HELLOs a second of the segment: with three nodes the interval is the configured one, with a fourth it is longer."""
LIFE = 10.0
HIGHEST = 2**63 - 1


@dataclass(frozen=True)
class Forged:
    """One forged datagram: all of it is the stranger's choice, and whoever it names may be a true node."""

    kind: str
    victim: int  # who hears it, 3 for all
    id: str
    boot: int  # 0 to 2 for that of a true node
    seq: int  # added to that of the true node; else it is as high as can be
    interval: float
    ttl: float
    sender: int
    pause: float
    times: int

    def datagram(self, stations, nonce):
        """Write it, as of this moment."""
        node = stations[self.boot].node if self.boot < 3 else None
        said = node.boot if node else boot(self.boot)
        seq = min(HIGHEST, (node.seq if node else 1) + self.seq)
        match self.kind:
            case "bare":
                return b"HELLO|"
            case "ping":
                return Ping(realm="default", id=self.id, boot=said, nonce=boot(nonce)).encode()
            case "pong":
                return Pong(realm="default", boot=said, nonce=boot(nonce), heard_ms=1).encode()
        flags = {"goodbye": self.kind == "goodbye", "solicit": self.kind == "solicit"}
        forged = hello(0, self.id, max(0, seq), WEB, full=self.kind == "full", interval=self.interval, ttl=self.ttl, **flags)
        return replace(forged, boot=said).encode()


forgeries = st.builds(
    Forged,
    kind=st.sampled_from(("full", "steady", "goodbye", "solicit", "ping", "pong", "bare")),
    victim=st.integers(0, 3),
    id=st.sampled_from(("n1", "n2", "n3", "x1", "x2")),
    boot=st.integers(0, 6),
    seq=st.sampled_from((-3, 0, 1, 2, 5, 100, HIGHEST)),
    interval=st.sampled_from((0.001, 0.8, 600.0)),
    ttl=st.sampled_from((1.0, 4.0, 3600.0)),
    sender=st.sampled_from((1, 2, 3, 66, 67)),
    pause=st.sampled_from((0.0, 0.0, 0.01, 0.3, 0.8, 2.0)),
    times=st.sampled_from((1, 1, 2, 5)),
)  # fmt: skip


def listed(station):
    """Give the addresses by id."""
    return {peer.id: peer.address for peer in station.node.peers(station.segment.now)}


def play(script):
    segment = Segment()
    stations = [segment.add(parameters=PARAMETERS).start() for _ in range(3)]
    segment.run(3.0)
    true = {station.name: station.address for station in stations}
    for number, forged in enumerate(script):
        for again in range(forged.times):
            said = forged.datagram(stations, 1000 * number + again)
            for victim in stations if forged.victim == 3 else [stations[forged.victim]]:
                segment.deliver(said, f"10.0.0.{forged.sender}", victim)
            segment.run(0.001)
        segment.run(forged.pause)
    segment.run(1.0)
    for station in stations:
        found = listed(station)
        expected = {name: address for name, address in true.items() if name != station.name}
        assert {name: found.get(name) for name in expected} == expected, f"{station.name} lists {found}"
    segment.run(LIFE - 1.0)
    for station in stations:
        peers = station.node.peers(segment.now)
        assert {peer.id: tuple(peer.addresses) for peer in peers} == {
            name: (address,) for name, address in true.items() if name != station.name
        }
        assert sorted(peer.boot for peer in peers) == sorted(one.node.boot for one in stations if one is not station)
        assert not any(peer.clone for peer in peers)
        assert len(station.node.table) == 2
        assert station.node.interval(segment.now) == 0.8
        assert not station.node.is_isolated(segment.now)


OWN = Forged("full", victim=0, id="n2", boot=1, seq=2, interval=0.001, ttl=1.0, sender=1, pause=0.8, times=1)
"""From the address of the victim itself, with an interval by which the true address counts as silent at once."""
LONG = replace(OWN, seq=0, ttl=3600.0, pause=0.3)
"""With a ttl of an hour, in force when the node in whose name it was forged answers a PING."""


@example([OWN, replace(OWN, pause=0.0)])
@example([LONG, replace(LONG, ttl=1.0, pause=0.0)])
@settings(max_examples=SEQUENCES)
@given(st.lists(forgeries, min_size=1, max_size=12))
def test_strangers_do_not_hide_or_move_a_node(script):
    play(script)
