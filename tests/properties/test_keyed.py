"""Whatever bytes reach a node with keys, nothing is raised, each is counted once, and who does not live is not listed."""

from base64 import b64encode
from random import Random

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.sealed.envelope import Sealer, derive
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, Hello, Ping, Pong
from discoveryd.protocol.wire.record import Record
from tests.properties.strategies import FUZZ, datagrams, mutated

KEYS = tuple(Key(bytes([number]) * 32) for number in (1, 2))
STRANGE = Key(bytes(32))
ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SOURCES = (Source("10.0.0.7", ETH0), Source("10.0.0.8", ETH0, unicast=True), Source("192.0.2.9", None))
PEER = "a" * 16
OWN = f"{Random(0).getrandbits(64):016x}"
"""Boot of the node below: that it is drawn first is what the test of the strategies shows."""


def make_node(mode):
    limits = Limits(peers=3, answers=4, newcomers=3, remember=5)
    node = Node(
        Parameters(limits=limits), Record(name="me"), node_id="me", random=Random(0),
        keyring=Keyring(keys=KEYS, mode=mode),
    )  # fmt: skip
    node.set_links([ETH0], now=0.0)
    return node


def seeds():
    """Give what a peer, which is long gone, has sealed with either key, and a stranger with another."""
    sealer = Sealer(Keyring(keys=(*KEYS, STRANGE)), realm="default", id="web1", boot=PEER)
    record = Record(name="web1")
    said = [
        Hello(realm="default", id="web1", boot=PEER, interval_ms=800, ttl_ms=4000, digest=record.digest, seq=seq, **more)
        for seq, more in enumerate(({}, {"record": record.encoded}, {"solicit": True}, {"goodbye": True}))
    ]
    said += [
        Ping(realm="default", id="web1", boot=PEER, nonce="b" * 16, to=OWN),
        Pong(realm="default", boot=PEER, nonce="b" * 16, heard_ms=5),
    ]
    for message in said:
        for key in (*KEYS, STRANGE):
            for here, to in ((SOURCES[0].packed, ""), (SOURCES[0].packed, OWN), (SOURCES[1].packed, OWN), (b"", "")):
                yield sealer.seal(message.encode(), key=key.id, here=here, to=to)


SEALED = tuple(seeds())


@st.composite
def by_an_insider(draw):
    """Something senseless, well sealed."""
    cipher = ChaCha20Poly1305(derive(KEYS[0].secret, b"default", b"web1", PEER.encode()))
    inside = draw(mutated() | st.binary(max_size=600)).ljust(1, b"x")
    counter = draw(st.integers(0, 2**63 - 1))
    header = b"SEALED|2|%b|web1|%b|%x|" % (KEYS[0].id.encode(), PEER.encode(), counter)
    scope = draw(st.sampled_from((b"b", b"b0", b"s", b"s0")))
    bound = draw(st.sampled_from(SOURCES)).packed if scope.startswith(b"b") else b""
    raw = cipher.encrypt(counter.to_bytes(12, "big"), inside, header + b"|%b|" % scope + bound)
    return header + b64encode(raw) + b"|" + scope


arrivals = mutated(seeds=SEALED) | st.sampled_from(SEALED) | by_an_insider() | datagrams
steps = st.tuples(arrivals, st.sampled_from(SOURCES), st.sampled_from((0.0, 0.001, 0.9, 3.0, 5.0)))


def test_the_boot_is_the_one_the_seeds_are_for():
    assert make_node("require").boot == OWN


@settings(max_examples=max(100, FUZZ // 5))
@given(st.lists(steps, min_size=1, max_size=6), st.sampled_from(("require", "accept", "off")), st.booleans())
def test_any_bytes_are_received_or_dropped(script, mode, is_flooded):
    """2,000 examples under CI=true, for each costs several seals; for a night of it set DISCOVERYD_FUZZ_EXAMPLES=1000000."""
    node, now = make_node(mode), 0.0
    if is_flooded:
        node.begin_flood(0.0, 0.0)
    for datagram, source, pause in script:
        now += pause
        node.poll(now)
        received, drops = sum(node.received.values()), node.drops.copy()
        outcome = node.receive(datagram, source, now)
        heard, dropped = sum(node.received.values()) - received, node.drops - drops
        assert heard + dropped.total() >= 1
        assert heard <= 1
        assert dropped.total() == 1 - heard or (heard and {reason for reason, _ in dropped} <= {"rate", "off-link"})
        assert all(reason in DROP_REASONS for reason, _ in dropped)
        for send in outcome.sends:
            assert len(send.datagram) <= MAX_DATAGRAM
            if not heard or send.datagram.endswith((b"|u", b"|s")):
                assert send.datagram.startswith(b"HELLO") or len(send.datagram) <= len(datagram)
        assert all(peer.key is None for peer in node.peers(now, gone=True)), "none that seals has answered"
        if mode == "require":
            assert node.peers(now, gone=True) == ()
            assert all(send.datagram.startswith(b"SEALED|") for send in outcome.sends)
        assert node.next_deadline() > now or node.poll(now) is not None
