"""The pure parts of net/interfaces, and what any machine can show. Real interfaces: tests/netns."""

import errno
import socket
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.net import interfaces
from discoveryd.net.interfaces import (
    INTERNAL,
    compare,
    doorbell,
    drain,
    grouped,
    is_excluded_by_name,
    loopback,
    matches,
    read,
    survey,
    without_broadcast,
)
from discoveryd.net.netlink import IFF_BROADCAST, IFF_RUNNING, IFF_UP, USABLE, USABLE_IPV6, Address, Interface, Netlink
from discoveryd.protocol.link import GROUP, Link


def scan(patterns):
    """Give the links that can be used now."""
    with closing(Netlink()) as netlink:
        return tuple(survey(patterns, netlink))


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
    ("patterns", "wanted"),
    [
        (["office"], True),
        (["off*"], True),
        (["*", "!office"], False),
        (["!office", "*"], True),
        (["home"], False),
    ],
)
def test_patterns_match_alternative_names_too(patterns, wanted):
    assert matches("eth0", patterns, ["enp3s0", "office"]) is wanted


def test_the_name_alone_makes_an_interface_internal():
    assert matches("eth0", ["*"], ["docker0"])
    assert not matches("docker0", ["*"], ["eth0"])


@pytest.mark.parametrize("patterns", [["*"], ["*", "!veth*"], ["!veth*", "*"], ["*", "!wl*"], ["!veth9"], []])
def test_an_internal_interface_is_excluded_by_its_name_alone(patterns):
    assert is_excluded_by_name("veth9", patterns)


@pytest.mark.parametrize("patterns", [["*"], ["e*"], ["*", "office"], ["!eth0", "off*"], ["veth9"]])
def test_a_name_excludes_nothing_an_alternative_name_includes(patterns):
    assert not is_excluded_by_name("eth0", patterns)


names = st.sampled_from(["eth0", "veth9", "docker0", "office", "wlan0"])


@given(names, st.lists(names), st.lists(st.sampled_from(["*", "**", "!*", "eth0", "!eth0", "off*", "!off*", "veth*", "!v*"])))
def test_an_interface_excluded_by_name_matches_no_patterns(name, others, patterns):
    assert not (is_excluded_by_name(name, patterns) and matches(name, patterns, others))


def test_what_cannot_broadcast_is_told_with_the_reason(monkeypatch):
    tunnel = IFF_UP | IFF_RUNNING
    found = [Interface(2, USABLE, ("eth0",)), Interface(3, tunnel, ("wg0",)), Interface(4, IFF_UP, ("wg1",)),
             Interface(5, tunnel, ("cali7",))]  # fmt: skip
    read_as(monkeypatch, found, [
        address(2, "10.0.0.1", 24), address(2, "10.0.1.1", 32), address(3, "10.9.0.1", 24), address(4, "10.8.0.1", 24),
        address(5, "10.7.0.1", 32),
    ])  # fmt: skip
    with closing(Netlink()) as netlink:
        assert without_broadcast(["*"], netlink, ["ipv4"]) == (
            ("eth0", "10.0.1.1", 32, "no-broadcast-address"), ("wg0", "10.9.0.1", 24, "no-broadcast"),
        )  # fmt: skip
        assert without_broadcast(["eth0"], netlink, ["ipv4"])[0].name == "eth0"
        assert [link.name for link in survey(["*"], netlink, ["ipv4"])] == ["eth0"]


def test_an_address_of_another_machine_is_told(monkeypatch):
    six = [
        address(2, "fe80::5", 64, is_usable=False, is_duplicate=True), address(2, "fe80::6", 64, is_usable=False),
        address(2, "fd00::6", 64), address(2, "10.0.0.1", 24),
    ]  # fmt: skip
    read_as(monkeypatch, [Interface(2, USABLE | USABLE_IPV6, ("eth0",))], six)
    assert without_broadcast(["*"], Netlink()) == (("eth0", "fe80::5%eth0", 64, "duplicate"),)
    assert [link.family for link in survey(["*"], Netlink())] == ["ipv4"]


def test_an_interface_excluded_by_name_costs_no_question(monkeypatch):
    asked = []
    monkeypatch.setattr(Netlink, "addresses", lambda *_: [address(index, f"10.{index}.0.1", 24) for index in range(1, 401)])
    monkeypatch.setattr(Netlink, "name", lambda _, index: "eth0" if index == 7 else f"veth{index}")
    monkeypatch.setattr(Netlink, "interface", lambda _, index: asked.append(index) or Interface(7, USABLE, ("eth0",)))
    assert [link.name for link in scan(["*"])] == ["eth0"]
    assert asked == [7]


def read_as(monkeypatch, interfaces, addresses):
    """Let the kernel have these interfaces."""
    by_index = {one.index: one for one in interfaces}
    monkeypatch.setattr(Netlink, "interface", lambda _, index: by_index.get(index))
    monkeypatch.setattr(Netlink, "name", lambda *_: "")  # it cannot be read, so all are asked
    monkeypatch.setattr(Netlink, "addresses", lambda *_: addresses)


def address(index, text, prefix, *, is_secondary=False, is_usable=True, is_duplicate=False):
    return Address(index, text, prefix, is_secondary, is_usable, is_duplicate)


@pytest.mark.parametrize(
    ("text", "prefix", "broadcast"),
    [
        ("10.0.0.1", 24, "10.0.0.255"),
        ("10.0.0.1", 25, "10.0.0.127"),
        ("10.0.0.200", 25, "10.0.0.255"),
        ("10.1.2.3", 8, "10.255.255.255"),
        ("172.16.5.4", 20, "172.16.15.255"),
        ("10.0.0.5", 30, "10.0.0.7"),
        ("10.0.0.5", 0, "255.255.255.255"),
    ],
)
def test_broadcast_comes_from_the_real_prefix(monkeypatch, text, prefix, broadcast):
    read_as(monkeypatch, [Interface(2, USABLE, ("eth0",))], [address(2, text, prefix)])
    assert scan(["*"]) == (Link("eth0", 2, text, prefix, broadcast),)


@pytest.mark.parametrize("prefix", [31, 32])
def test_networks_without_a_broadcast_address_are_left_out(monkeypatch, prefix):
    read_as(monkeypatch, [Interface(2, USABLE, ("eth0",))], [address(2, "10.0.0.1", prefix)])
    assert scan(["*"]) == ()


@pytest.mark.parametrize("lacks", [IFF_UP, IFF_RUNNING, IFF_BROADCAST])
def test_an_interface_must_be_up_running_and_able_to_broadcast(monkeypatch, lacks):
    read_as(monkeypatch, [Interface(2, USABLE & ~lacks, ("eth0",))], [address(2, "10.0.0.1", 24)])
    assert scan(["*"]) == ()


def test_all_ipv6_of_an_interface_is_one_link(monkeypatch):
    found = [
        address(2, "fd00::1", 64), address(2, "fe80::1", 64, is_usable=False), address(2, "fe80::2", 64),
        address(2, "10.0.0.1", 24), address(3, "fe80::2", 64), address(4, "fd00::1", 64), address(5, "10.0.5.1", 24),
    ]  # fmt: skip
    flags = {2: USABLE | USABLE_IPV6, 3: USABLE_IPV6, 4: USABLE_IPV6, 5: USABLE_IPV6}
    read_as(monkeypatch, [Interface(index, flags[index], (f"eth{index}",)) for index in flags], found)
    two = Link("eth2", 2, "fe80::2%eth2", 64, GROUP)
    assert survey(["*"], Netlink()) == {
        Link("eth2", 2, "10.0.0.1", 24, "10.0.0.255"): (),
        two: ("fd00::1", "fe80::1%eth2"),
        Link("eth3", 3, "fe80::2%eth3", 64, GROUP): (),
    }
    assert [*survey(["eth2"], Netlink(), ["ipv6"])] == [two]
    assert [link.family for link in survey(["eth2"], Netlink(), ["ipv4"])] == ["ipv4"]


@pytest.mark.parametrize(("families", "number"), [(["ipv4"], 2), (["ipv6"], 10), (["ipv4", "ipv6"], 0), (["ipv6", "ipv4"], 0)])
def test_only_addresses_of_the_families_are_asked_for(monkeypatch, families, number):
    asked = []
    monkeypatch.setattr(Netlink, "addresses", lambda _, family: asked.append(family) or [])
    assert (survey(["*"], Netlink(), families), asked) == ({}, [number])


def test_without_netlink_there_is_no_ipv6(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EAFNOSUPPORT, "no netlink here")

    monkeypatch.setattr(Netlink, "addresses", refuse)
    assert survey(["**"], Netlink(), ["ipv6"]) == {}
    assert {link.family for link in survey(["**"], Netlink())} <= {"ipv4"}


@pytest.mark.parametrize("number", [1, 2, 200])
def test_the_primary_address_of_a_network_speaks_for_all(number):
    addresses = [address(2, f"10.0.0.{last}", 24, is_secondary=last < number) for last in range(1, number + 1)]
    others = tuple(f"10.0.0.{last}" for last in range(1, number))
    assert grouped("eth0", addresses) == {Link("eth0", 2, f"10.0.0.{number}", 24, "10.0.0.255"): others}


def test_networks_of_one_interface_are_links_of_their_own():
    addresses = [
        address(2, "10.0.0.1", 24), address(2, "10.0.0.2", 24, is_secondary=True),
        address(2, "10.0.0.130", 25), address(2, "10.0.0.3", 16), address(2, "10.0.0.4", 32),
    ]  # fmt: skip
    assert {f"{link.address}/{link.prefix}": others for link, others in grouped("eth0", addresses).items()} == {
        "10.0.0.1/24": ("10.0.0.2",), "10.0.0.130/25": (), "10.0.0.3/16": (),
    }  # fmt: skip


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


def test_a_scan_is_deterministic_and_leaves_loopback_out():
    assert scan(["*"]) == scan(["*"])
    assert scan(["lo"]) == ()
    assert scan([]) == ()


def test_an_address_whose_interface_went_meanwhile_is_no_error(monkeypatch):
    read_as(monkeypatch, [Interface(2, USABLE, ("eth0",))], [address(2, "10.0.0.1", 24), address(3, "10.0.1.1", 24)])
    assert [link.name for link in scan(["*"])] == ["eth0"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES])
def test_without_netlink_the_interfaces_are_read_by_ioctl(monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no netlink here")

    with closing(Netlink()) as netlink:
        expected = read(["**"], netlink, ["ipv4"])
    monkeypatch.setattr(Netlink, "open", refuse)
    found = read(["**"], Netlink())
    assert [(one.index, one.names[0]) for one, _ in found] == [(one.index, one.names[0]) for one, _ in expected]
    assert [[one.address for one in each] for _, each in found] == [[one.address for one in each] for _, each in expected]
    assert scan(["lo"]) == ()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_an_error_that_passes_is_not_taken_for_a_sandbox(monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "not now")

    monkeypatch.setattr(Netlink, "open", refuse)
    with pytest.raises(OSError, match="not now"):
        scan(["*"])


class FakeBell:
    """A netlink socket that raises or answers what it is told, then has nothing more."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def recv(self, size):
        answer = self.answers.pop(0) if self.answers else BlockingIOError()
        if isinstance(answer, Exception):
            raise answer
        return answer


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
    bell = FakeBell(*answers)
    assert drain(bell) is rang
    assert drain(bell) is False


def test_drain_is_bounded():
    bell = FakeBell(*[b"x"] * 1000)
    assert drain(bell)
    assert bell.answers


def test_an_error_that_is_none_of_the_expected_passes():
    with pytest.raises(OSError, match="Bad file"):
        drain(FakeBell(OSError(errno.EBADF, "Bad file descriptor")))


def test_a_refused_netlink_socket_passes_and_leaks_nothing(monkeypatch):
    class Refusing(socket.socket):
        def bind(self, address):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(interfaces.socket, "socket", Refusing)
    with pytest.raises(PermissionError):
        doorbell()
