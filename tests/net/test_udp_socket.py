"""One UDP socket: its buffers and counters, and sending."""

import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from discoveryd.net import udp_socket as module
from discoveryd.net.interfaces import loopback
from discoveryd.net.sockets import explain_bind
from discoveryd.net.udp_socket import MAX_ERRORS, TRIES, UdpSender
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from tests.ear import EVERYBODY
from tests.net.conftest import stranger


def test_the_receive_buffer_is_asked_for(make):
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        granted = min(module.RECEIVE_BUFFER, int(file.read()))
    size, wanted = make().receive_buffer()
    assert size >= granted
    assert wanted == module.RECEIVE_BUFFER


def test_the_buffer_that_was_granted_is_told(make, monkeypatch, unprivileged):
    wanted = module.RECEIVE_BUFFER
    assert make("127.0.0.2").receive_buffer() == (min(wanted, unprivileged), wanted)
    monkeypatch.setattr(module, "RECEIVE_BUFFER", 2 * unprivileged)
    assert make("127.0.0.3").receive_buffer() == (unprivileged, 2 * unprivileged)


def test_the_sysctl_file_allows_what_is_wanted():
    lines = (Path(__file__).parents[2] / "config/sysctl.d/10-discoveryd.conf").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [f"net.core.rmem_max = {module.RECEIVE_BUFFER}"]


@pytest.mark.parametrize(("size", "least", "most"), [(212_992, 150, 250), (4 * 1024 * 1024, 990, 1000)])
def test_a_thousand_at_once_find_room_with_the_sysctl(make, port, monkeypatch, unprivileged, size, least, most):
    if unprivileged < size:
        pytest.skip(f"needs net.core.rmem_max={size}")
    monkeypatch.setattr(module, "RECEIVE_BUFFER", size)
    links = make("127.0.0.2")
    with stranger() as sender:
        for _ in range(1000):
            sender.sendto(b"HELLO|" + b"x" * 854, ("127.0.0.2", port))
    assert least <= 1000 - links.kernel_drops() <= most


@pytest.mark.usefixtures("unprivileged")
def test_what_the_kernel_lost_is_counted(make, port, monkeypatch):
    monkeypatch.setattr(module, "RECEIVE_BUFFER", 4096)
    links = make()
    assert links.kernel_drops() == 0
    with stranger() as sender:
        for _ in range(100):
            sender.sendto(bytes(1000), ("127.0.0.2", port))
    assert 50 <= links.kernel_drops() < 100


def test_a_count_that_begins_anew_goes_on(monkeypatch):
    told = iter([2**31 - 1, 2**32 - 2, 3, 2, 4])
    monkeypatch.setattr(module, "memory", lambda *_: [next(told)])
    counter = module.DropCounter(None)
    assert [counter.read() for _ in range(5)] == [2**31 - 1, 2**32 - 2, 2**32 + 3, 2**32 + 3, 2**32 + 4]


def test_a_kernel_without_that_count_is_no_error(make, monkeypatch):
    links = make()
    monkeypatch.setattr(module, "SO_MEMINFO", 9999)
    assert links.kernel_drops() == 0


def test_an_error_is_written_with_its_name():
    assert module.error_text(OSError(errno.ENETDOWN, "x")) == "ENETDOWN: Network is down"


def test_a_port_below_1024_without_permission_is_explained():
    error = explain_bind(PermissionError(errno.EACCES, "Permission denied"), "UDP", "0.0.0.0", 34)
    assert isinstance(error, PermissionError)
    assert error.strerror == "cannot listen on UDP port 34: Permission denied"


def test_a_port_that_a_unit_forbids_is_explained():
    error = explain_bind(PermissionError(errno.EPERM, ""), "TCP", "127.0.0.1", 3400)
    assert "SocketBindDeny=" in error.strerror


# --- sending -----------------------------------------------------------------------------------------

ETH0 = Link("eth0", 2, "10.0.0.130", 25, "10.0.0.255")
LO = Link("lo", 1, "127.0.0.2", 8, EVERYBODY)


class Recorder:
    """A sending socket that keeps what it is given, and fails for some targets, or a number of times."""

    def __init__(self, *failing, refusals=0):
        self.sent = []
        self.failing = failing
        self.refusals = refusals

    def sendmsg(self, buffers, ancillary, flags, address):
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        self.sent.append((address[0], flags, [struct.unpack("@i", data[:4])[0] for _, _, data in ancillary]))
        if address[0] in self.failing:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def getsockopt(self, *_):
        raise OSError


def made(sock, link=ETH0, *, is_local=False):
    """Give a sender with one link."""
    sender = UdpSender(3400, Drops(), is_local=is_local)
    sender.sockets["ipv4"] = sock
    sender.set_links([link])
    return sender


def targets(sender):
    return [target for target, *_ in sender.sockets["ipv4"].sent]


def test_send_errors_are_counted_and_told_once_per_change(make):
    links = make()
    good, bad = (Send(text, loopback("127.0.0.2"), EVERYBODY) for text in (b"HELLO|", bytes(70_000)))
    error = f"EMSGSIZE: {os.strerror(errno.EMSGSIZE)}"
    assert links.send([bad]) == [("lo", EVERYBODY, error)]
    assert links.send([bad, bad]) == []
    assert links.send_errors == {("lo", EVERYBODY): error}
    assert links.send([good, good]) == [("lo", EVERYBODY, None)]
    assert links.send_errors == {}
    assert links.send([bad, good]) == [("lo", EVERYBODY, error), ("lo", EVERYBODY, None)]
    assert links.drops == {("send-failed", "lo"): 4}


def test_errors_of_a_link_that_is_gone_are_forgotten():
    sender = made(Recorder())
    kept = {("eth0", "10.0.0.255"): "x", ("-", "192.0.2.1"): "y"}
    sender.errors.update({("eth7", "10.7.0.255"): "ENODEV: No such device", **kept})
    sender.set_links([ETH0])
    assert sender.errors == kept


def test_a_limited_broadcast_goes_to_all_on_its_link():
    sender = made(Recorder())
    assert sender.send([Send(b"a", ETH0, ETH0.broadcast, limited=True), Send(b"b", ETH0, ETH0.broadcast)]) == []
    assert sender.sockets["ipv4"].sent == [("255.255.255.255", 0, [2]), ("10.0.0.255", 0, [2])]


def test_loopback_has_no_limited_broadcast():
    sender = made(Recorder(), LO, is_local=True)
    sender.send([Send(b"a", LO, EVERYBODY, limited=True)])
    assert targets(sender) == [EVERYBODY]


def test_a_neighbour_outside_our_network_needs_no_gateway():
    sender = made(Recorder())
    sender.send([Send(b"", link, to) for link, to in ((ETH0, "10.0.0.1"), (ETH0, "10.0.0.131"), (None, "192.0.2.1"))])
    assert [(target, flags) for target, flags, _ in sender.sockets["ipv4"].sent] == [
        ("10.0.0.1", socket.MSG_DONTROUTE), ("10.0.0.131", 0), ("192.0.2.1", 0),
    ]  # fmt: skip


def test_a_forbidden_limited_broadcast_is_sent_as_a_directed_one():
    sender = made(Recorder("255.255.255.255"))
    error = f"EPERM: {os.strerror(errno.EPERM)}"
    assert sender.send([Send(b"a", ETH0, ETH0.broadcast, limited=True)]) == [("eth0", "255.255.255.255", error)]
    assert sender.send([Send(b"b", ETH0, ETH0.broadcast, limited=True), Send(b"c", ETH0, ETH0.broadcast)]) == []
    assert targets(sender).count("10.0.0.255") == 3
    assert sender.errors == {("eth0", "255.255.255.255"): error}


def test_targets_with_an_error_are_bounded():
    names = [f"127.0.{number >> 8}.{number & 255}" for number in range(1, MAX_ERRORS + 3)]
    sender = made(Recorder(*names))
    for target in names:
        sender.send([Send(b"", None, target)])
    assert [target for _, target in sender.errors] == names[2:]


def test_two_threads_may_find_that_sending_works_again():
    class Raced(dict):
        """Another thread takes the error away right after it was read."""

        def get(self, key):
            return self.pop(key, None)

    sender = made(Recorder())
    sender.errors = Raced({("eth0", ETH0.broadcast): "ENETDOWN: Network is down"})
    assert sender.send([Send(b"HELLO|", ETH0, ETH0.broadcast)]) == [("eth0", ETH0.broadcast, None)]


@pytest.mark.parametrize(("forged", "is_sent"), [(TRIES - 1, True), (10_000, False)])
def test_forged_icmp_errors_are_not_those_of_a_link(forged, is_sent):
    drops = Drops()
    sender = UdpSender(3400, drops, is_local=False)
    sender.set_links([ETH0])
    sender.sockets["ipv4"] = Recorder(refusals=forged)
    assert sender.send([Send(b"HELLO|", ETH0, ETH0.broadcast)]) == []
    assert sender.errors == {}
    assert bool(sender.sockets["ipv4"].sent) is is_sent
    assert drops == ({} if is_sent else {("send-failed", "eth0"): 1})


def test_nothing_is_sent_for_a_link_that_has_gone():
    sender = made(Recorder())
    gone = Link("eth9", 99, "10.9.9.9", 24, "10.9.9.255")
    sender.send([Send(b"HELLO|", gone, "10.0.0.131"), Send(b"HELLO|", ETH0, "10.0.0.132")])
    assert targets(sender) == ["10.0.0.132"], "without its link the kernel would have routed it elsewhere"


def test_nothing_is_sent_without_a_socket():
    sender = made(None)
    assert sender.send([Send(b"HELLO|", None, "192.0.2.1"), Send(b"HELLO|", ETH0, "10.0.0.131")]) == []
