"""IPv6 at a socket: origins, readers, filters, errors, targets; and the sources that come of them."""

import socket
from contextlib import ExitStack
from itertools import count
from time import monotonic

import pytest

from discoveryd.net import udp_socket
from discoveryd.net.batch import Many, read_one
from discoveryd.net.families import HOPS, IPV4, IPV6, Origin, parse_origin
from discoveryd.net.packet_filter import MAX_KNOWN, code_of, set_filter
from discoveryd.net.sources import Sources
from discoveryd.net.udp_socket import UdpSender, refused_datagrams
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import GROUP, Link
from discoveryd.protocol.outcome import Send

FOUR = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
SIX = Link("eth0", 2, "fe80::1%eth0", 64, GROUP)
OTHER = Link("eth1", 3, "fe80::1%eth1", 64, GROUP)
places = count()


@pytest.fixture
def make():
    """Open sockets at ::1."""
    with ExitStack() as stack:

        def make():
            try:
                made = udp_socket.make(stack, IPV6)
                made.bind(("::1", 0))
            except OSError as error:
                pytest.skip(f"no IPv6 on loopback: {error}")
            return made

        yield make


def all_of(read, receiver):
    """Read until the socket is empty: what was sent on loopback is there at once."""
    found = []
    while True:
        try:
            found += read(receiver)
        except BlockingIOError:
            return found


def test_each_reader_gives_the_same_origin(make):
    receiver, sender, many = make(), make(), Many(IPV6)
    index, here, there = socket.if_nametoindex("lo"), receiver.getsockname(), sender.getsockname()
    found = []
    for read in (lambda one: [read_one(one, 0.0, IPV6)], lambda one: many.read(one, 8, 0.0)):
        for number in range(3):
            sender.sendto(b"x" * number, here)
        arrivals = all_of(read, receiver)
        assert [datagram for datagram, *_ in arrivals] == [b"", b"x", b"xx"]
        [origin] = {origin for _, origin, _ in arrivals}
        assert parse_origin(origin) == Origin("::1", there[1], index, "::1", HOPS)
        moments = [moment for *_, moment in arrivals]
        assert moments == sorted(moments)
        found.append(origin)
    assert found[0] == found[1]  # so that a sender is one source, however it was read


def test_the_hop_limit_of_a_datagram_is_known(make):
    receiver, sender = make(), make()
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 254)
    sender.sendto(b"x", receiver.getsockname())
    [(_, origin, _)] = all_of(lambda one: [read_one(one, 0.0, IPV6)], receiver)
    assert parse_origin(origin).hops == 254


@pytest.mark.parametrize(
    ("address", "to", "hops", "is_forged"),
    [
        ("fe80::2", GROUP, 255, False), ("fe80::2", "fe80::1", 255, False), ("fd00::2", "fd00::1", 64, False),
        ("fe80::2", GROUP, 254, True), ("fe80::2", "fe80::1", 64, True), ("fe80::2", "fd00::1", 0, True),
        ("fd00::2", GROUP, 64, True), ("2001:db8::2", "ff02::1", 1, True),
    ],
)  # fmt: skip
def test_what_claims_to_be_on_the_link_has_passed_no_router(address, to, hops, is_forged):
    assert Origin(address, 3400, 2, to, hops).is_forged is is_forged


def test_a_closed_port_brings_the_datagram_back(make):
    sender, gone = make(), make()
    nobody = gone.getsockname()
    gone.close()
    sender.sendto(b"PING|", nobody)
    found, deadline = [], monotonic() + 5
    while not found and monotonic() < deadline:
        found = list(refused_datagrams(sender, IPV6))
    assert found == [b"PING|"]


def test_a_flood_filter_compares_the_end_of_an_address(make):
    receiver, sender = make(), make()

    def passes(known):
        set_filter(receiver, known, 0.0)
        sender.sendto(b"HELLO|", receiver.getsockname())
        return len(all_of(lambda one: [read_one(one, 0.0, IPV6)], receiver))

    assert passes(["::1"]) == 1
    assert passes(["fe80::1%eth0"]) == 1  # the same last four bytes
    assert passes(["fe80::2%eth0", "0.0.0.1", "127.0.0.1"]) == 0
    assert passes([*(f"fe80::1:{number:x}%eth0" for number in range(MAX_KNOWN - 1)), "::1"]) == 1
    assert len(code_of([f"10.0.{n >> 8}.{n & 255}" for n in range(5000)], 0.5, is_ipv6=True)) < 100  # none of them


def test_a_target_has_its_zone_as_an_index():
    lo = socket.if_nametoindex("lo")
    assert IPV6.target("fe80::1%lo", 3400) == ("fe80::1", 3400, 0, lo)
    assert IPV6.target(GROUP, 3400) == (GROUP, 3400, 0, 0)
    assert IPV4.target("10.0.0.1", 3400) == ("10.0.0.1", 3400)
    with pytest.raises(OSError, match="No such device"):
        IPV6.target("fe80::1%none0", 3400)


class Recorder:
    """A sending socket that keeps what it is given."""

    def __init__(self):
        self.sent = []

    def getsockopt(self, *_):
        return bytes(36)

    def sendmsg(self, buffers, ancillary, flags, address):
        self.sent.append((address, ancillary[0][0] if ancillary else None, flags))


def test_each_family_has_its_socket():
    sender = UdpSender(3400, Drops(), is_local=False)
    sender.set_links([FOUR, SIX])
    sender.sockets = {"ipv4": Recorder(), "ipv6": Recorder()}
    sends = [
        Send(b"x", FOUR, FOUR.broadcast, limited=True), Send(b"x", SIX, GROUP, limited=True),
        Send(b"x", SIX, "fe80::9%eth0"), Send(b"x", None, "fd00::9"), Send(b"x", OTHER, GROUP),
    ]  # fmt: skip
    assert sender.send(sends) == []
    assert [address for address, *_ in sender.sockets["ipv4"].sent] == [("255.255.255.255", 3400)]
    assert [(address, level) for address, level, _ in sender.sockets["ipv6"].sent] == [
        ((GROUP, 3400, 0, 0), socket.IPPROTO_IPV6),
        (("fe80::9", 3400, 0, 0), socket.IPPROTO_IPV6),  # the control message names the interface
        (("fd00::9", 3400, 0, 0), None),
    ]
    assert {flags for *_, flags in sender.sockets["ipv6"].sent} == {0}


def test_a_family_without_a_socket_sends_nothing():
    sender, drops = UdpSender(3400, Drops(), is_local=False), Drops()
    sender.set_links([SIX])
    sender.sockets = {"ipv4": Recorder()}
    assert sender.send([Send(b"x", SIX, GROUP)]) == []
    assert (sender.errors, drops) == ({}, {})


def test_a_zone_that_is_no_interface_is_an_error_of_that_target():
    sender = UdpSender(3400, Drops(), is_local=False)
    sender.sockets = {"ipv6": Recorder()}
    [change] = sender.send([Send(b"x", None, "fe80::9%none0")])
    assert (change.link, change.target) == ("-", "fe80::9%none0")
    assert change.error == "ENODEV: No such device"


# --- sources ------------------------------------------------------------------------------------------


@pytest.fixture
def sources():
    made = Sources()
    made.set_links([FOUR, SIX, OTHER], frozenset((FOUR.address, SIX.address, OTHER.address)))
    return made


def hear(sources, address, to, *, index=2):
    return sources.find(next(places), Origin(address, 3400, index, to), 0.0)


def test_a_link_local_sender_is_on_the_link_and_has_its_zone(sources):
    source = hear(sources, "fe80::7", GROUP)
    assert (source.address, source.link, source.unicast) == ("fe80::7%eth0", SIX, False)
    assert hear(sources, "fe80::7", GROUP) is source
    to_us = hear(sources, "fe80::7", "fe80::1")
    assert (to_us.address, to_us.link, to_us.unicast) == ("fe80::7%eth0", SIX, True)
    same = hear(sources, "fe80::7", GROUP, index=3)
    assert (same.address, same.link) == ("fe80::7%eth1", OTHER)
    assert source.packed == same.packed == b"\xfe\x80" + bytes(13) + b"\7"
    assert sources.broadcasts() == []  # limited broadcast is of IPv4


def test_any_other_sender_is_beyond_the_links(sources):
    source = hear(sources, "fd00::7", "fd00::1")
    assert (source.address, source.link, source.unicast) == ("fd00::7", None, True)
    unknown = hear(sources, "fe80::7", "fe80::1", index=99)
    assert (unknown.address, unknown.link) == ("fe80::7%#99", None)
    assert hear(sources, "10.0.0.7", FOUR.address).link is FOUR
