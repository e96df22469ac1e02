"""What one source may have us look at."""

import pytest

from tests.protocol.samples import hello, make_node, row_of, source


def test_one_source_has_only_so_many_datagrams_looked_at():
    node = make_node(source_datagrams=20)
    for _ in range(30):
        node.receive(b"rubbish", source(), 1.0)
    assert dict(node.drops) == {("malformed", "eth0"): 20, ("rate", "eth0"): 10}
    node.receive(b"rubbish", source("10.0.0.8"), 1.0)
    assert node.drops["malformed", "eth0"] == 21
    node.receive(b"rubbish", source(), 2.0)
    assert node.drops["malformed", "eth0"] == 22


def test_steady_hellos_of_a_listed_peer_are_never_too_many():
    node, web1 = make_node(source_datagrams=20), source()
    node.receive(hello(seq=1).encode(), web1, 1.0)
    for _ in range(100):
        node.receive(b"rubbish", web1, 1.0)  # somebody speaks in its name
    for beat in range(2, 40):
        node.receive(hello(seq=beat, full=False).encode(), web1, 1.0)
    assert node.received["hello"] == 39
    assert node.drops["rate", "eth0"] == 100 - 19
    assert row_of(node.table, 1).state == "up"


def test_another_limit_holds_at_once():
    node = make_node(source_datagrams=10)
    wider = make_node(source_datagrams=1000).parameters
    node.set_parameters(wider, 1.0)
    for _ in range(100):
        node.receive(b"rubbish", source(), 1.0)
    assert node.drops["rate", "eth0"] == 0


@pytest.mark.parametrize(
    "datagram",
    [hello().encode(), b"PING|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|0000000000000000|", b"PONG|2|x", b"SEALED|2|x"],
)
def test_only_a_node_speaks_for_itself_on_a_link(datagram):
    node = make_node()
    outcome = node.receive(datagram, source(port_fits=False), 1.0)
    assert outcome.sends == ()
    assert node.peers(1.0) == ()
    assert [drop.reason for drop in outcome.drops] == ["foreign-port"]
    assert dict(node.drops) == {("foreign-port", "eth0"): 1}


def test_other_programs_spend_no_tokens_of_their_node():
    node = make_node(source_datagrams=10)
    for _ in range(100):
        node.receive(hello().encode(), source(port_fits=False), 1.0)
    node.receive(hello().encode(), source(), 1.0)
    assert dict(node.drops) == {("foreign-port", "eth0"): 100}
    assert [peer.id for peer in node.peers(1.0)] == ["web1"]


def test_bare_hellos_and_what_is_routed_may_come_from_any_port():
    node = make_node()
    node.receive(b"HELLO|\n", source("10.0.0.8", port_fits=False), 1.0)
    node.receive(hello().encode(), source("192.0.2.1", None, port_fits=False), 1.0)
    assert {peer.address for peer in node.peers(1.0)} == {"10.0.0.8", "192.0.2.1"}
    node.receive(b"rubbish", source("10.0.0.9", port_fits=False), 1.0)
    assert dict(node.drops) == {("malformed", "eth0"): 1}
