"""The UDP transport where IPv6 is missing, taken, or chosen later; between hosts it is in tests/netns/test_ipv6.py."""

import errno
import os
import socket

import pytest

from discoveryd.net import udp as module
from discoveryd.net.sockets import free_port
from discoveryd.net.udp import MEMBERSHIP, RETRY, UdpTransport
from discoveryd.protocol.link import GROUP, Link
from discoveryd.protocol.parameters import Parameters
from tests.conftest import descriptors
from tests.net.listening import listen

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SIX = Link("eth0", 2, "fe80::1%eth0", 64, GROUP)
PATTERNS = ("*",)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    """Make transports as without `loopback`, on a free port; nothing is sent."""
    made = []

    def make(**parameters):
        parameters.setdefault("port", free_port("0.0.0.0", "udp"))
        transport = UdpTransport(Parameters(**parameters), clock)
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def asked(monkeypatch):
    """Have both links there, of the families that are asked for; give those that were."""
    asked = []

    def survey(_patterns, _netlink, families):
        asked.append(list(families))
        return {link: () for link in (ETH0, SIX) if link.family in families}

    monkeypatch.setattr(module, "survey", survey)
    return asked


def without_ipv6(monkeypatch, number=errno.EAFNOSUPPORT):
    """Be on a kernel without IPv6."""

    class Socket(socket.socket):
        def __init__(self, family=-1, *given, **more):
            if family == socket.AF_INET6:
                raise OSError(number, os.strerror(number))
            super().__init__(family, *given, **more)

    monkeypatch.setattr(socket, "socket", Socket)


def taken(port):
    """Hold the port of IPv6 alone."""
    try:
        other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", port))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    return other


def test_a_kernel_without_ipv6_is_no_fault(make, asked, monkeypatch):
    without_ipv6(monkeypatch)
    transport = make()
    transport.open()
    assert transport.rescan(PATTERNS) == (ETH0,)
    assert (transport.family_errors, transport.send_errors, asked) == ({}, {}, [["ipv4"]])
    assert not listen(transport, 0).datagrams


def test_without_any_family_it_does_not_open(make, monkeypatch):
    without_ipv6(monkeypatch)
    before, transport = descriptors(), make(families=("ipv6",))
    with pytest.raises(OSError, match="not supported"):
        transport.open()
    assert descriptors() == before


def test_a_port_of_ipv6_that_is_taken_is_named_and_tried_again(make, asked, clock):
    port = free_port("0.0.0.0", "udp")
    transport = make(port=port)
    with taken(port):
        transport.open()
        assert transport.rescan(PATTERNS) == (ETH0,)
        [(family, error)] = transport.family_errors.items()
        assert family == "ipv6"
        assert error.endswith(f"of IPv6 is taken by python (pid {os.getpid()})")
    transport.rescan(PATTERNS)
    assert asked[-1] == ["ipv4"]  # not at each ring of the doorbell
    clock.now += RETRY
    transport.rescan(PATTERNS)
    assert (transport.family_errors, asked[-1]) == ({}, ["ipv4", "ipv6"])


def test_a_family_may_be_chosen_later_and_left_out_again(make, asked):
    with taken(free_port("0.0.0.0", "udp")):
        pass
    transport = make(families=("ipv4",))
    transport.open()
    few = descriptors()
    assert transport.rescan(PATTERNS, ("ipv4",)) == (ETH0,)
    assert descriptors() == few
    assert transport.rescan(PATTERNS, ("ipv4", "ipv6")) == (ETH0, SIX)
    assert len(descriptors()) > len(few)
    assert transport.rescan(PATTERNS, ("ipv6",)) == (SIX,)
    assert transport.rescan(PATTERNS) == (SIX,)
    assert transport.rescan(PATTERNS, ("ipv4",)) == (ETH0,)
    assert asked == [["ipv4"], ["ipv4", "ipv6"], ["ipv6"], ["ipv6"], ["ipv4"]]


def test_a_group_that_cannot_be_joined_is_told(make, asked, monkeypatch):
    joined = []

    def refuse(bound, index):
        joined.append(index)
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    with taken(free_port("0.0.0.0", "udp")):
        pass
    monkeypatch.setattr(module, "join", refuse)
    transport = make()
    transport.open()
    assert transport.rescan(PATTERNS) == (ETH0, SIX)
    assert transport.send_errors == {("eth0", MEMBERSHIP): "ENOBUFS: No buffer space available"}
    transport.rescan(PATTERNS)
    assert joined == [2]  # an unchanged link is not touched
    monkeypatch.setattr(module, "join", lambda bound, index: joined.append(bound))
    transport.rescan(PATTERNS, ("ipv4",))
    assert transport.send_errors == {}
    transport.rescan(PATTERNS, ("ipv4", "ipv6"))
    assert (transport.send_errors, len(set(joined[1:]))) == ({}, 2)  # each socket of the pair


def test_in_loopback_mode_there_is_ipv4_alone(make):
    transport = make(loopback="127.0.0.2")
    transport.open()
    assert [link.family for link in transport.rescan(PATTERNS)] == ["ipv4"]
    assert transport.family_errors == {}
