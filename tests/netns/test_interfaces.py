"""net/interfaces against real interfaces that come and go."""

import errno
import json
import os
import select
import socket
import time
from contextlib import closing, contextmanager

import pytest

from discoveryd.net import interfaces
from discoveryd.net.interfaces import compare, drain, survey
from discoveryd.net.netlink import IFF_RUNNING, Netlink
from discoveryd.net.owner import holder
from discoveryd.protocol.link import Link
from tests.conftest import no_descriptors

LOWER_UP = 0x10000
"""linux/if.h: there is a carrier."""
DEADLINE = 5.0
"""Seconds. The kernel holds news of a lost carrier back for up to one."""


@pytest.fixture
def host(lab):
    return lab.host("a")


def scan(patterns, netlink):
    """Give the links that can be used now."""
    return tuple(survey(patterns, netlink))


def scanned(host, *patterns):
    with host.namespace(), closing(Netlink()) as netlink:
        wait_for_carriers(netlink)
        return scan(patterns or ["*"], netlink)


def wait_for_carriers(netlink):
    """Let the kernel do what it does later: a carrier that came or went makes an interface run or not, by a worker."""
    end = time.monotonic() + DEADLINE
    while any(bool(one.flags & IFF_RUNNING) != bool(one.flags & LOWER_UP) for one in there(netlink)):
        assert time.monotonic() < end
        select.select([], [], [], 0.001)  # there is nothing to read from


def there(netlink):
    return [found for index, _ in socket.if_nameindex() if (found := netlink.interface(index))]


def read(host):
    """Give the addresses of each interface that has some."""
    with host.namespace(), closing(Netlink()) as netlink:
        return {interface.names[0]: addresses for interface, addresses in interfaces.read(["**"], netlink)}


def short(links):
    return [(link.name, f"{link.address}/{link.prefix}", link.broadcast) for link in links]


@pytest.mark.parametrize(
    ("address", "broadcast"),
    [
        ("10.77.0.1/24", "10.77.0.255"),
        ("10.77.0.1/25", "10.77.0.127"),
        ("10.77.0.129/25", "10.77.0.255"),
        ("10.77.0.1/8", "10.255.255.255"),
        ("10.77.0.5/30", "10.77.0.7"),
        ("172.16.9.1/20", "172.16.15.255"),
    ],
)
def test_broadcast_of_odd_prefixes(host, address, broadcast):
    host.set_address(None, address)
    assert short(scanned(host)) == [("eth0", address, broadcast)]


def test_the_index_is_the_kernels(host):
    host.set_address(None, "10.77.0.1/24")
    expected = scanned(host)
    with host.namespace():
        assert expected == (Link("eth0", socket.if_nametoindex("eth0"), "10.77.0.1", 24, "10.77.0.255"),)


def test_a_process_in_the_host_sees_the_same(host):
    host.set_address(None, "10.77.0.1/24")
    code = (
        "import json; from discoveryd.net.interfaces import Netlink, survey\n"
        "links = survey(['*'], Netlink())\n"
        "print(json.dumps([[x.name, x.index, x.address, x.prefix, x.broadcast] for x in links]))"
    )
    expected = scanned(host)
    assert [Link(*one) for one in json.loads(host.python(code).stdout)] == list(expected)


@pytest.mark.parametrize("address", ["10.77.0.1/32", "10.77.0.1/31"])
def test_networks_without_broadcast_are_left_out(host, address):
    host.set_address(None, address)
    assert scanned(host) == ()


def test_no_address_no_link(host):
    assert scanned(host) == ()


def test_a_host_without_any_interface_but_loopback(host):
    host.remove_interface("eth0")
    assert scanned(host) == ()


def test_a_link_that_is_down_or_unplugged_is_left_out(host):
    host.set_address(None, "10.77.0.1/24")
    host.ip("link set eth0 down")
    assert scanned(host) == ()
    host.ip("link set eth0 up")
    assert len(scanned(host)) == 1
    host.cable(up=False)
    assert scanned(host) == ()
    host.cable(up=True)
    assert len(scanned(host)) == 1


def test_loopback_is_left_out_even_when_asked_for(host):
    assert scanned(host, "*") == scanned(host, "lo") == ()  # it cannot broadcast


def test_each_network_of_an_interface_is_a_link_in_order(host):
    host.ip("addr add 10.77.0.9/24 dev eth0", "addr add 10.77.0.1/24 dev eth0")
    host.ip("addr add 10.80.0.1/16 dev eth0 label eth0:shop")
    host.add_interface("eth1", "10.78.0.1/24", bridge="br1")
    assert short(scanned(host)) == [
        ("eth0", "10.77.0.9/24", "10.77.0.255"),  # the first is the primary one
        ("eth0", "10.80.0.1/16", "10.80.255.255"),
        ("eth1", "10.78.0.1/24", "10.78.0.255"),
    ]


def test_patterns_choose(host):
    host.set_address(None, "10.77.0.1/24")
    host.add_interface("eth1", "10.78.0.1/24")
    host.add_interface("docker0", "10.79.0.1/24")

    def names(*patterns):
        return [link.name for link in scanned(host, *patterns)]

    assert names("*") == ["eth0", "eth1"]
    assert names("*", "!eth1") == ["eth0"]
    assert names("*", "docker0") == ["eth0", "eth1", "docker0"]
    assert names("docker0") == ["docker0"]
    assert names("wl*") == []


@pytest.mark.parametrize("label", ["office", "eth1"])
def test_a_label_makes_no_difference(host, label):
    host.add_interface("eth1")
    host.ip(f"addr add 10.77.0.1/24 dev eth0 label {label}")
    assert short(scanned(host)) == [("eth0", "10.77.0.1/24", "10.77.0.255")]


def test_patterns_choose_by_alternative_names_too(host):
    host.set_address(None, "10.77.0.1/24")
    host.ip("link property add dev eth0 altname office altname enp3s0f0np0-and-longer")
    assert [link.name for link in scanned(host, "office")] == ["eth0"]
    assert [link.name for link in scanned(host, "enp3s0f0np0*")] == ["eth0"]
    assert scanned(host, "*", "!office") == ()


def test_an_address_knows_whether_another_was_there_first(host):
    host.ip("addr add 10.77.0.9/24 dev eth0", "addr add 10.77.0.1/24 dev eth0", "addr add 10.77.0.2/16 dev eth0")
    assert {one.address: one.is_secondary for one in read(host)["eth0"]} == {
        "10.77.0.9": False, "10.77.0.1": True, "10.77.0.2": False,
    }  # fmt: skip


def test_by_ioctl_the_same_is_found(host, monkeypatch):
    host.ip("addr add 10.77.0.9/24 dev eth0", "addr add 10.77.0.1/24 dev eth0")
    host.ip("addr add 10.80.0.1/16 dev eth0 label eth0:shop", "addr add 10.81.0.1/16 dev eth0 label office")
    expected, before = scanned(host), read(host)["eth0"]

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Netlink, "open", refuse)
    with host.namespace():
        assert scan(["*"], Netlink()) == tuple(link for link in expected if link.address != "10.81.0.1")
    ours = [(one.address, one.is_secondary) for one in read(host)["eth0"]]
    assert ours == [(one.address, one.is_secondary) for one in before if one.address != "10.81.0.1"]


def test_more_interfaces_than_one_answer_holds(host):
    host.set_address(None, "10.77.0.1/24")
    host.ip(*[f"link add d{number} type veth peer name p{number}" for number in range(120)])
    host.ip(*[f"addr add 10.{number}.0.1/24 dev d{number}" for number in range(120)])
    host.ip(*[f"link set d{number} up" for number in range(120)])
    assert sorted(read(host)) == sorted(["lo", "eth0", *[f"d{number}" for number in range(120)]])
    with host.namespace(), closing(Netlink()) as netlink:
        found = there(netlink)
        assert {one.index: netlink.name(one.index) for one in found} == {one.index: one.names[0] for one in found}
        assert netlink.name(999_999) == ""


def test_an_open_netlink_needs_no_further_descriptor(host):
    host.set_address(None, "10.77.0.1/24")
    assert scanned(host)
    with host.namespace(), closing(Netlink()) as netlink:
        netlink.open()
        with no_descriptors():
            assert len(scan(["*"], netlink)) == 1
            with pytest.raises(OSError, match="Too many open files"):
                scan(["*"], Netlink())


def test_a_point_to_point_interface_has_no_broadcast(host):
    host.run("ip", "tuntap", "add", "tun0", "mode", "tun", check=False)
    if host.run("ip", "link", "show", "tun0", check=False).returncode:
        pytest.skip("no tun driver in this kernel")
    host.ip("addr add 10.90.0.1/24 dev tun0", "link set tun0 up")
    assert scanned(host) == ()


@contextmanager
def doorbell(host):
    with host.namespace():
        bell = interfaces.doorbell()
    with bell:
        drain(bell)
        yield bell


def wait_for_ring(bell, is_seen):
    """Wait for rings until what they announce can be seen."""
    end = time.monotonic() + DEADLINE
    while select.select([bell], [], [], max(0, end - time.monotonic()))[0]:
        assert drain(bell)
        if is_seen():
            return
    pytest.fail("it did not ring")


def test_the_doorbell_is_silent_while_nothing_changes(host):
    host.set_address(None, "10.77.0.1/24")
    with doorbell(host) as bell:
        scanned(host)
        assert drain(bell) is False


def test_the_doorbell_rings_for_every_change(host):
    with doorbell(host) as bell:

        def rings_until(*wanted):
            wait_for_ring(bell, lambda: [f"{link.address}/{link.prefix}" for link in scanned(host)] == list(wanted))

        host.set_address(None, "10.77.0.1/24")
        rings_until("10.77.0.1/24")
        host.set_address("10.77.0.1/24", "10.77.0.2/24")
        rings_until("10.77.0.2/24")
        host.ip("addr add 10.80.0.1/24 dev eth0")
        rings_until("10.77.0.2/24", "10.80.0.1/24")
        host.set_address("10.80.0.1/24", None)
        rings_until("10.77.0.2/24")
        host.ip("link set eth0 down")
        rings_until()
        host.ip("link set eth0 up")
        rings_until("10.77.0.2/24")
        host.cable(up=False)
        rings_until()
        host.cable(up=True)
        rings_until("10.77.0.2/24")
        host.add_interface("eth1", "10.78.0.1/24")
        rings_until("10.77.0.2/24", "10.78.0.1/24")
        host.remove_interface("eth1")
        rings_until("10.77.0.2/24")


def test_a_doorbell_that_overflowed_still_rings(host):
    with doorbell(host) as bell:
        changes = [f"addr {verb} 10.80.0.1/24 dev eth0" for _ in range(1500) for verb in ("add", "del")]
        host.ip(*changes, "addr add 10.77.0.1/24 dev eth0")
        wait_for_ring(bell, lambda: bool(scanned(host)))
        while drain(bell):
            pass
        host.set_address(None, "10.78.0.1/24")
        wait_for_ring(bell, lambda: len(scanned(host)) == 2)


def test_only_what_changed_differs(host):
    host.set_address(None, "10.77.0.1/24")
    host.add_interface("eth1", "10.78.0.1/24")
    before = scanned(host)
    host.remove_interface("eth1")
    host.add_interface("eth1", "10.78.0.1/24")
    gone, come = compare(before, scanned(host))
    assert short(gone) == short(come) == [("eth1", "10.78.0.1/24", "10.78.0.255")]
    assert gone != come  # another interface of the same name


def test_interfaces_that_come_and_go_during_scans_are_no_errors(host):
    host.set_address(None, "10.77.0.1/24")
    assert scanned(host)
    add = "ip link add d0 type veth peer name d1 && ip addr add 10.80.0.1/24 dev d0 && ip link set d0 up"
    churn = host.popen("sh", "-c", f"for i in $(seq 40); do {add} && ip link set d1 up && ip link del d0; done")
    with host.namespace(), closing(Netlink()) as netlink:
        while churn.poll() is None:
            assert "eth0" in {link.name for link in scan(["*"], netlink)}
    assert churn.returncode == 0, host.log()


def test_holder_names_who_holds_a_port_in_this_network_alone(lab, host):
    other = lab.host("b")
    with host.namespace():
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with held:
        held.bind(("", 3400))
        with host.namespace():
            assert holder(3400).endswith(f"(pid {os.getpid()})")
        with other.namespace():
            assert holder(3400) is None
