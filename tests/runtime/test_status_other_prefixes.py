"""What status tells of neighbours with another prefix."""

from random import Random

import pytest

from discoveryd.net import interfaces
from discoveryd.net.transport import Outside
from discoveryd.protocol.limited_broadcast import SETTLED
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.wire.record import Record
from discoveryd.runtime import status as module
from discoveryd.runtime.status import MOST_NAMED, filtered, outsiders

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
TOLD = {"link": "eth0", "ours": "10.0.0.1/24"}


@pytest.fixture
def node():
    node = Node(None, Record(name="here"), node_id="here", random=Random(1))
    node.set_links([ETH0], 0.0)
    return node


class Other:
    """A peer that is heard by limited broadcast."""

    def __init__(self, address):
        self.node = Node(None, Record(name="there"), node_id="there", random=Random(2))
        self.node.set_links([Link("eth0", 2, address, 16, "10.0.255.255")], 0.0)
        self.source = Source(address, ETH0)

    def speak(self, node, now):
        node.receive(self.node.poll(now).sends[0].datagram, self.source, now)
        node.heard_broadcast(self.source, now, limited=True)


def test_a_neighbour_outside_our_network_is_told(node):
    Other("10.0.7.7").speak(node, 0.0)
    found = {(address, 2): Outside(ETH0, 0.0, is_near=True) for address in ("10.0.7.8", "10.0.7.7")}
    assert outsiders(node, 1.0, found) == [
        TOLD | {"address": "10.0.7.7", "in_our_network": False, "listed": True, "two_way": None},
        TOLD | {"address": "10.0.7.8", "in_our_network": False, "listed": False, "two_way": None},
    ]
    node.limited.set_aside(ETH0, "10.0.7.8", 1.0)
    assert [one["address"] for one in outsiders(node, 1.0, found)] == ["10.0.7.7"]
    assert outsiders(node, 100.0, found)[0]["listed"] is False  # it is down


def test_a_lasting_peer_with_another_broadcast_address_is_told(node):
    other = Other("10.0.0.7")
    other.speak(node, 0.0)
    assert outsiders(node, 1.0, {}) == []
    other.speak(node, SETTLED)
    assert outsiders(node, SETTLED, {}) == [
        TOLD | {"address": "10.0.0.7", "in_our_network": True, "listed": True, "two_way": None}
    ]


def test_so_many_are_named(node):
    found = {(f"10.0.9.{number}", 2): Outside(ETH0, 0.0, is_near=True) for number in range(MOST_NAMED + 1)}
    assert len(outsiders(node, 1.0, found)) == MOST_NAMED


def test_the_filter_is_told_where_it_is_in_force(monkeypatch):
    monkeypatch.setattr(module, "rp_filter_drops", lambda: 12)
    monkeypatch.setattr(module, "rp_filter_mode", {"eth0": 1, "eth1": 0, "eth2": 2}.get)
    assert filtered(["eth2", "eth0", "eth0", "eth1"], 5) == {
        "dropped": 7,
        "links": [{"link": "eth0", "mode": 1}, {"link": "eth2", "mode": 2}],
    }
    assert filtered([], 99)["dropped"] == 0


def test_the_filter_is_read_from_the_kernel(monkeypatch, tmp_path):
    for name, value in (("all", "1"), ("eth0", "2"), ("eth1", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rp_filter").write_text(f"{value}\n")
    counters = tmp_path / "netstat"
    counters.write_text("TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 4 17\nIpExt: InNoRoutes\nIpExt: 1\n")
    monkeypatch.setattr(interfaces, "RP_FILTERS", str(tmp_path))
    monkeypatch.setattr(interfaces, "COUNTERS", str(counters))
    assert [interfaces.rp_filter_mode(name) for name in ("eth0", "eth1", "gone0")] == [2, 1, 1]
    assert interfaces.rp_filter_drops() == 17
    for text in ("", "TcpExt: SyncookiesSent IPReversePathFilter\n", "TcpExt: IPReversePathFilter\nTcpExt: many\n"):
        counters.write_text(text)  # the second is all that a sandbox such as gVisor has
        assert interfaces.rp_filter_drops() == 0
    (tmp_path / "eth0" / "rp_filter").write_text("?\n")
    assert interfaces.rp_filter_mode("eth0") == 1
    counters.unlink()
    assert interfaces.rp_filter_drops() == 0
