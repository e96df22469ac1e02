"""Nothing that comes by the network makes a node raise, and each datagram is counted once."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_STEADY
from discoveryd.protocol.wire.record import Record
from discoveryd.query.engine_status import engine_status
from discoveryd.query.reply import list_line
from discoveryd.query.request import Filter
from tests.properties.strategies import datagrams, fuzz

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SOURCES = (
    Source("10.0.0.1", ETH0),
    Source("10.0.0.7", ETH0),
    Source("10.0.0.7", ETH0, unicast=True),
    Source("10.0.0.8", ETH0),
    Source("192.0.2.9", None),
    Source("10.9.9.9", Link("gone0", 9, "10.9.9.1", 24, "10.9.9.255")),
)
REFUSALS = ("rate", "off-link")


def make_node():
    limits = Limits(peers=3, answers=2, newcomers=3, remember=5)
    node = Node(Parameters(limits=limits), Record(name="me"), node_id="web2", random=Random(0))
    node.set_links([ETH0], now=0.0)
    node.messages.receipts.refusal_of = lambda _: ""
    return node


@fuzz
@given(
    st.lists(
        st.tuples(datagrams, st.sampled_from(SOURCES), st.sampled_from((0.0, 0.001, 0.9, 3.0, 5.0))), min_size=1, max_size=4
    )
)
def test_any_bytes_are_received_or_dropped(arrivals):
    """10,000 examples under CI=true; for a night of it set DISCOVERYD_FUZZ_EXAMPLES=1000000."""
    node, now, events = make_node(), 0.0, []
    for datagram, source, pause in arrivals:
        now += pause
        events += node.poll(now).events
        received, drops = sum(node.received.values()), node.drops.copy()
        outcome = node.receive(datagram, source, now)
        events += outcome.events
        assert (outcome.messages, outcome.deliveries) == ((), ())  # nobody here answered a PING
        heard = sum(node.received.values()) - received
        dropped = node.drops - drops
        if heard:  # and the solicit of a HELLO that was welcome may have been refused
            assert heard == 1
            assert dropped.total() <= 1
            assert all(reason in REFUSALS for reason, _ in dropped)
        else:
            assert dropped.total() == 1
            assert outcome.answers == ()
            assert all(send.datagram.startswith(b"PING") and len(send.datagram) <= len(datagram) for send in outcome.sends)
        assert all(reason in DROP_REASONS for reason, _ in dropped)
        check_sends(outcome.sends, datagram, source)
        assert all(peer.state in LIVE and peer.expires_s > 0 for peer in node.peers(now))
        assert len(node.table) <= 3
        assert node.next_deadline() > now or node.poll(now) is not None
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert list_line(node, Filter(all=True), now).isascii()
    engine_status(node, now)


def check_sends(sends, datagram, source):
    """Nothing is larger than it may be; beyond our links nothing is sent; a PONG is no larger than its PING."""
    for send in sends:
        assert len(send.datagram) <= MAX_DATAGRAM
        if send.datagram.startswith(b"PONG"):
            assert len(send.datagram) < len(datagram)
        if send.datagram.startswith(b"HELLO"):
            hello = decode(send.datagram)
            assert hello.record or len(send.datagram) <= MAX_STEADY
            assert source.link is not None
