"""ICMP messages about what was sent: read from the error queue of a socket, and remembered within bounds."""

import select
import socket

import pytest

from discoveryd.net import icmp
from discoveryd.net.families import IPV4, IPV6
from discoveryd.net.icmp import MAX_ICMP, IcmpError, IcmpErrors, merged
from discoveryd.net.udp_socket import refused_datagrams


@pytest.mark.parametrize(("family", "address", "said"), [(IPV4, "127.0.0.9", (3, 3)), (IPV6, "::1", (1, 4))], ids=["ipv4", "ipv6"])
def test_a_closed_port_is_noted_with_its_machine(family, address, said):
    errors = IcmpErrors()
    with socket.socket(family.number, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(family.level, family.errors, 1)
        with socket.socket(family.number, socket.SOCK_DGRAM) as gone:
            gone.bind((address, 0))
            nobody = gone.getsockname()
        sender.sendto(b"PING|", nobody)
        poll = select.poll()
        poll.register(sender, 0)
        assert poll.poll(5000)
        assert list(refused_datagrams(sender, family, errors)) == [b"PING|"]
    [(error, count, ago)] = errors.latest()
    assert (error, count) == (IcmpError(address, address, *said), 1)
    assert ago < 5


def test_the_latest_errors_are_remembered(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(icmp, "monotonic", lambda: now[0])
    errors, other = IcmpErrors(), IcmpErrors()
    for number in range(MAX_ICMP + 5):
        now[0] = float(number)
        errors.note(IcmpError(f"10.0.0.{number}", "10.0.0.1", 3, 1))
    errors.note(IcmpError("10.0.0.30", "10.0.0.254", 3, 1))
    now[0] += 10
    other.note(IcmpError("fe80::1%eth0", "fe80::1", 1, 4))
    now[0] += 1
    found = errors.latest()
    assert len(found) == MAX_ICMP
    assert found[0] == (IcmpError("10.0.0.30", "10.0.0.254", 3, 1), 2, 11.0)
    assert "10.0.0.4" not in {error.target for error, _, _ in found}
    assert [error.target for error, _, _ in merged((errors, other))[:2]] == ["fe80::1%eth0", "10.0.0.30"]
    assert len(merged((errors, other))) == MAX_ICMP


def test_an_error_without_an_address_has_no_sender():
    assert icmp.sender_of(bytes(44)) == ""
