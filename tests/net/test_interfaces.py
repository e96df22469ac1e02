"""The pure parts of net/interfaces, and what any machine can show. Real interfaces: tests/netns."""

import errno
import os
import socket
from types import SimpleNamespace

import psutil
import pytest

from discoveryd.net import interfaces
from discoveryd.net.interfaces import INTERNAL, Doorbell, compare, holder, loopback, matches, scan
from discoveryd.protocol.link import Link


@pytest.mark.parametrize(
    ("name", "patterns", "wanted"),
    [
        ("eth0", ["*"], True),
        ("wlp3s0", ["*"], True),
        ("br0", ["*"], True),
        ("br-lan", ["*"], True),  # OpenWrt's LAN
        ("vmbr0", ["*"], True),  # Proxmox's LAN
        ("br-0123456789ab", ["*"], False),
        ("lo", ["*"], False),
        ("docker0", ["*"], False),
        ("docker_gwbridge", ["*"], False),
        ("veth12ab", ["*"], False),
        ("virbr0", ["*"], False),
        ("lxcbr0", ["*"], False),
        ("cni-podman0", ["*"], False),
        ("kube-ipvs0", ["*"], False),
        ("ve-shop", ["*"], False),
        ("docker0", ["*", "docker0"], True),
        ("docker0", ["docker0", "*"], True),  # "*" does not match docker0, so it does not take it back
        ("docker1", ["*", "docker0"], False),
        ("lo", ["lo"], True),
        ("docker0", ["d*"], True),
        ("docker0", ["**"], True),  # any other pattern means what it says
        ("eth0", ["e*", "!eth1"], True),
        ("eth1", ["e*", "!eth1"], False),
        ("eth1", ["!eth1", "e*"], True),  # the last that matches decides
        ("wlan0", ["*", "!wl*"], False),
        ("wlan0", ["*", "!wl*", "wlan0"], True),
        ("eth0", ["*", "!*"], False),
        ("eth0", ["!eth1"], False),  # nothing asked for it
        ("eth0", [], False),
        ("eth0", [""], False),
        ("eth3", ["eth[0-3]"], True),
        ("eth4", ["eth[0-3]"], False),
        ("ETH0", ["eth0"], False),
        ("eth0", ["!"], False),
        ("eth0", ["[", "eth0"], True),
    ],
)
def test_the_last_pattern_that_matches_decides(name, patterns, wanted):
    assert matches(name, patterns) is wanted


def test_every_internal_interface_can_be_asked_for_by_name():
    for pattern in INTERNAL:
        name = pattern.replace("[0-9a-f]", "a").replace("[ebz]", "e").replace("*", "0")
        assert not matches(name, ["*"]), name
        assert matches(name, ["*", name]), name


@pytest.mark.parametrize(
    ("address", "netmask", "prefix", "broadcast"),
    [
        ("10.0.0.1", "255.255.255.0", 24, "10.0.0.255"),
        ("10.0.0.1", "255.255.255.128", 25, "10.0.0.127"),
        ("10.0.0.200", "255.255.255.128", 25, "10.0.0.255"),
        ("10.1.2.3", "255.0.0.0", 8, "10.255.255.255"),
        ("172.16.5.4", "255.255.240.0", 20, "172.16.15.255"),
        ("10.0.0.5", "255.255.255.252", 30, "10.0.0.7"),
    ],
)
def test_broadcast_comes_from_the_real_prefix(address, netmask, prefix, broadcast):
    assert interfaces._link("eth0", 2, address, netmask) == Link("eth0", 2, address, prefix, broadcast)


@pytest.mark.parametrize("netmask", ["255.255.255.254", "255.255.255.255"])
def test_networks_without_a_broadcast_address_are_left_out(netmask):
    assert interfaces._link("eth0", 2, "10.0.0.1", netmask) is None


ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SECOND = Link("eth0", 2, "10.0.1.1", 24, "10.0.1.255")
REPLUGGED = Link("eth0", 7, "10.0.0.1", 24, "10.0.0.255")
WIDER = Link("eth0", 2, "10.0.0.1", 16, "10.0.255.255")


@pytest.mark.parametrize(
    ("old", "new", "gone", "come"),
    [
        ((), (), (), ()),
        ((), (ETH0,), (), (ETH0,)),
        ((ETH0,), (), (ETH0,), ()),
        ((ETH0,), (ETH0,), (), ()),
        ((ETH0, SECOND), (SECOND, ETH0), (), ()),
        ((ETH0,), (ETH0, SECOND), (), (SECOND,)),
        ((ETH0,), (REPLUGGED,), (ETH0,), (REPLUGGED,)),
        ((ETH0, SECOND), (WIDER, SECOND), (ETH0,), (WIDER,)),
    ],
)
def test_compare_leaves_unchanged_links_alone(old, new, gone, come):
    assert compare(old, new) == (gone, come)


def test_loopback_link():
    assert loopback("127.0.0.2") == Link("lo", socket.if_nametoindex("lo"), "127.0.0.2", 8, "127.255.255.255")


def test_scan_is_deterministic_and_knows_no_broadcast_on_loopback():
    assert scan(["*"]) == scan(["*"])
    assert scan(["lo"]) == ()
    assert scan([]) == ()


def test_an_interface_that_vanishes_while_scanned_is_no_error(monkeypatch):
    entry = SimpleNamespace(family=socket.AF_INET, address="10.0.0.1", netmask="255.255.255.0")
    stats = SimpleNamespace(flags="up,broadcast,running,multicast")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"nosuch0": [entry], "nosuch1": [entry]})
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"nosuch0": stats})
    assert scan(["*"]) == ()


def test_holder_names_the_process():
    me = f"{psutil.Process().name()} (pid {os.getpid()})"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        assert holder(udp.getsockname()[1]) == me
        assert holder(tcp.getsockname()[1], kind="tcp") == me
        port = udp.getsockname()[1]
    assert holder(port) is None


def test_holder_that_cannot_be_found_is_none(monkeypatch):
    def denied(kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert holder(3400) is None


def test_doorbell_opens_nothing_before_it_is_asked_and_closes_twice():
    bell = Doorbell()
    assert bell.fileno() == -1
    assert bell.drain() is False
    bell.close()
    with bell:
        bell.open()
        assert bell.fileno() >= 0
    assert bell.fileno() == -1
    bell.close()


class FakeBell:
    """A netlink socket that raises or answers what it is told, then has nothing more."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def recv(self, size):
        answer = self.answers.pop(0) if self.answers else BlockingIOError()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


@pytest.mark.parametrize(
    ("answers", "rang"),
    [
        ((), False),
        ((b"x",), True),
        ((b"x", b"x", b"x"), True),
        ((OSError(errno.ENOBUFS, "No buffer space available"),), True),
    ],
)
def test_drain_takes_everything_and_counts_an_overflow_as_a_ring(answers, rang):
    bell = Doorbell()
    bell._socket = FakeBell(*answers)
    assert bell.drain() is rang
    assert bell.drain() is False


def test_drain_is_bounded():
    bell = Doorbell()
    bell._socket = FakeBell(*[b"x"] * 1000)
    assert bell.drain()
    assert bell._socket.answers


def test_an_error_that_is_none_of_the_expected_passes():
    bell = Doorbell()
    bell._socket = FakeBell(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file"):
        bell.drain()


def test_a_refused_netlink_socket_passes_and_leaks_nothing(monkeypatch):
    class Refusing(socket.socket):
        def bind(self, address):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(interfaces.socket, "socket", Refusing)
    bell = Doorbell()
    with pytest.raises(PermissionError):
        bell.open()
    assert bell.fileno() == -1
