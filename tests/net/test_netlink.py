"""The parsers of net/netlink over literal bytes, and the questions over a kernel that answers as it is told."""

import errno
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.net import netlink as module
from discoveryd.net.netlink import (
    ATTRIBUTE,
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_NEWADDR,
    RTM_NEWLINK,
    TRIES,
    Address,
    Interface,
    Netlink,
    address,
    interface,
    pieces,
)  # fmt: skip


def attribute(kind, value):
    return (struct.pack("=HH", 4 + len(value), kind) + value).ljust((4 + len(value) + 3) & ~3, b"\0")


def link(index, *values, flags=0x1043):
    return struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(values)


def named(index, name, **options):
    return link(index, attribute(3, name + b"\0"), **options)


def placed(index, *values, family=socket.AF_INET, prefix=24, flags=0x80):
    return struct.pack("=BBBBI", family, prefix, flags, 0, index) + b"".join(values)


def message(kind, payload=b"", *, flags=2, sequence=1):
    whole = struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload
    return whole.ljust((len(whole) + 3) & ~3, b"\0")


ONE = bytes((10, 0, 0, 1))
OTHER = bytes((10, 0, 0, 2))
LOCAL = b"\xfe\x80" + bytes(13) + b"\1"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (named(2, b"eth0"), Interface(2, 0x1043, ("eth0",))),
        (named(2, b"eth0", flags=0x1002), Interface(2, 0x1002, ("eth0",))),
        (link(7, attribute(29, b"1234"), attribute(3, b"a\xff")), Interface(7, 0x1043, ("a\N{REPLACEMENT CHARACTER}",))),
        (
            link(2, attribute(3, b"eth0\0"), attribute(0x8000 | 52, attribute(53, b"office\0") + attribute(53, b"lan\0"))),
            Interface(2, 0x1043, ("eth0", "office", "lan")),
        ),
        (link(2, attribute(0x8000 | 52, attribute(54, b"other\0")), attribute(3, b"eth0\0")), Interface(2, 0x1043, ("eth0",))),
        (link(2), None),
        (named(0, b"eth0"), None),
        (named(-1, b"eth0"), None),
        (named(2, b""), None),
        (b"", None),
        (named(2, b"eth0")[:15], None),
        (named(2, b"eth0")[:-4], None),  # the attribute is not whole
        (link(2, struct.pack("=HH", 0, 3), attribute(3, b"eth0")), None),  # a length that would never end
    ],
)
def test_interface(payload, expected):
    assert interface(payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (placed(2, attribute(1, ONE), attribute(2, ONE)), Address(2, "10.0.0.1", 24, is_secondary=False)),
        (placed(2, attribute(1, OTHER), attribute(2, ONE)), Address(2, "10.0.0.1", 24, is_secondary=False)),  # peer: 10.0.0.2
        (placed(2, attribute(2, ONE)), Address(2, "10.0.0.1", 24, is_secondary=False)),
        (placed(2, attribute(1, ONE), flags=0x81), Address(2, "10.0.0.1", 24, is_secondary=True)),
        (placed(3, attribute(1, LOCAL), family=10, prefix=64), Address(3, "fe80::1", 64, is_secondary=False)),
        (placed(3, attribute(1, LOCAL), family=10, prefix=129), None),
        (placed(3, attribute(1, LOCAL)), None),
        (placed(2, attribute(2, ONE), prefix=33), None),
        (placed(2, attribute(2, ONE), family=10), None),
        (placed(2, attribute(2, ONE), family=99), None),
        (placed(2, attribute(2, ONE + b"\0")), None),
        (placed(2), None),
        (b"", None),
    ],
)
def test_address(payload, expected):
    assert address(payload) == expected


@pytest.mark.parametrize(
    ("flags", "is_usable"),
    [(0x80, True), (0xC0, False), (0x40, False), (0x48, False), (0x08, False), (0x44, True), (0x4C, False), (0x20, True)],
)  # permanent 80, tentative 40, deprecated 20, optimistic 04; 08 is that of another machine
def test_an_address_that_may_be_of_another_machine_is_not_used(flags, is_usable):
    found = address(placed(2, attribute(1, LOCAL), family=10, prefix=64, flags=flags))
    assert (found.is_usable, found.is_duplicate) == (is_usable, bool(flags & 0x08))
    found = address(placed(2, attribute(2, ONE), flags=flags))
    assert (found.is_usable, found.is_duplicate) == (True, False)  # IPv4 has no such flags


@given(st.binary(max_size=200))
def test_any_bytes_give_values_or_none(data):
    assert isinstance(interface(data), Interface | None)
    assert isinstance(address(data), Address | None)
    for header in (HEADER, ATTRIBUTE):
        assert sum(header.size + len(payload) for _, payload in pieces(data, header)) <= len(data)


def test_messages_are_aligned_and_end_at_the_first_cut_one():
    data = message(16, b"abc") + message(20, b"") + message(3, b"1234")
    assert [(kind, payload) for (kind, *_), payload in pieces(data, HEADER)] == [(16, b"abc"), (20, b""), (3, b"1234")]
    assert [kind for (kind, *_), _ in pieces(data[:-1], HEADER)] == [16, 20]


class Kernel:
    """A netlink socket with these answers, then none."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.is_closed = False

    def __call__(self, *_):
        return self

    def setblocking(self, _):
        pass

    def send(self, _):
        self.asked += 1

    def recv(self, _):
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self):
        self.is_closed = True


@pytest.fixture
def kernel(monkeypatch):
    def kernel(*answers):
        made = Kernel(*answers)
        monkeypatch.setattr(module.socket, "socket", made)
        return made, Netlink()

    return kernel


DONE = message(NLMSG_DONE, bytes(4))


def refusal(number, **options):
    return message(NLMSG_ERROR, struct.pack("=i", -number) + bytes(16), **options)


def eth(index, **options):
    return message(RTM_NEWLINK, named(index, b"eth%d" % index), **options)


def on(index, **options):
    """Give the message of an address of an interface."""
    return message(RTM_NEWADDR, placed(index, attribute(2, ONE)), **options)


def addressed(netlink):
    return [one.index for one in netlink.addresses()]


def several(netlink, indices):
    return [found.index for index in indices if (found := netlink.interface(index))]


def test_an_answer_comes_in_several_parts(kernel):
    _, netlink = kernel(on(1) + on(2), on(3), DONE)
    assert addressed(netlink) == [1, 2, 3]


def test_an_address_of_two_prefixes_counts_once(kernel):
    """The kernel takes 10.9.0.1/24 and 10.9.0.1/16 on one interface; two links would send each HELLO twice."""
    wide = message(RTM_NEWADDR, placed(1, attribute(2, ONE), prefix=16))
    _, netlink = kernel(on(1) + wide, DONE)
    assert [(one.index, one.prefix) for one in netlink.addresses()] == [(1, 16)]


def test_what_answers_another_question_is_passed_over(kernel):
    _, netlink = kernel(on(7, sequence=99), on(1) + eth(1), DONE)
    assert addressed(netlink) == [1]


def test_an_interrupted_dump_is_repeated(kernel):
    made, netlink = kernel(on(1) + on(2, flags=2 | NLM_F_DUMP_INTR) + DONE, on(3, sequence=2) + message(3, sequence=2))
    assert addressed(netlink) == [3]
    assert made.asked == 2


def test_dumps_that_are_all_interrupted_count_together(kernel):
    """One alone may lack an address that was there all the time."""
    parts = [
        on(index, sequence=turn, flags=NLM_F_DUMP_INTR) + message(NLMSG_DONE, bytes(4), sequence=turn)
        for turn, index in enumerate((1, 2, 1), 1)
    ]
    made, netlink = kernel(*parts)
    assert sorted(addressed(netlink)) == [1, 2]
    assert made.asked == TRIES


def test_a_single_question_ends_with_its_answer(kernel):
    _, netlink = kernel(eth(5), eth(7, sequence=2))
    assert [netlink.interface(index).names for index in (5, 7)] == [("eth5",), ("eth7",)]


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EIO, errno.ETIMEDOUT, errno.EMSGSIZE])
def test_an_error_on_one_interface_concerns_that_one(kernel, number):
    made, netlink = kernel(eth(5), refusal(number, sequence=2), eth(7, sequence=3))
    assert several(netlink, [5, 6, 7]) == [5, 7]
    assert not made.is_closed, "another socket could not be had without a descriptor"


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.EACCES])
def test_an_error_not_about_one_interface_concerns_all(kernel, number):
    _, netlink = kernel(eth(5), refusal(number, sequence=2), eth(7, sequence=3))
    with pytest.raises(OSError, match=os.strerror(number)):
        several(netlink, [5, 6, 7])


@pytest.mark.parametrize(
    ("answer", "is_closed"),
    [
        (message(NLMSG_ERROR, struct.pack("=i", -errno.EIO) + bytes(16)), False),
        (message(NLMSG_DONE, struct.pack("=i", -errno.EIO)), False),
        (OSError(errno.EIO, "Input/output error"), True),
    ],
)
def test_after_an_error_the_next_question_is_answered(kernel, answer, is_closed):
    made, netlink = kernel(on(1), answer, on(1, sequence=2) + message(NLMSG_DONE, sequence=2))
    with pytest.raises(OSError, match="Input/output"):
        addressed(netlink)
    assert made.is_closed is is_closed
    assert addressed(netlink) == [1]


def test_an_answer_that_never_ends_is_an_error(kernel):
    _, netlink = kernel(on(1))
    with pytest.raises(BlockingIOError):
        addressed(netlink)


def test_this_machine_has_loopback():
    netlink = Netlink()
    try:
        lo = netlink.interface(socket.if_nametoindex("lo"))
        assert (lo.names[0], netlink.name(lo.index)) == ("lo", "lo")
        assert any(one.address == "127.0.0.1" for one in netlink.addresses() if one.index == lo.index)
    finally:
        netlink.close()


@pytest.mark.parametrize("question", [module.SIOCGIFNETMASK, module.SIOCGIFINDEX, module.SIOCGIFFLAGS])
def test_an_ioctl_that_fails_on_one_interface_concerns_that_one(monkeypatch, question):
    (lo, others), real = module.read_by_ioctl(), module.ioctl
    assert lo[0].names == ("lo",)

    def failing(asker, asked, argument):
        if asked == question and argument.startswith(b"lo\0"):
            raise OSError(errno.ETIMEDOUT, "Connection timed out")
        return real(asker, asked, argument)

    monkeypatch.setattr(module, "ioctl", failing)
    assert module.read_by_ioctl() == (lo[1:], [one for one in others if one.index != lo[0].index])
