"""The UDP transport, on loopback and between sockets of this process."""

import errno
import os
import socket
import threading
from contextlib import closing
from time import monotonic

import pytest

from discoveryd.net import sources
from discoveryd.net import udp as module
from discoveryd.net.batch import BATCH
from discoveryd.net.interfaces import loopback
from discoveryd.net.stamps import boottime
from discoveryd.net.transport import Arrivals, Woken
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.messages import MAX_DATAGRAM
from tests.conftest import descriptors
from tests.ear import EVERYBODY, Ear
from tests.net.conftest import PATTERNS, stranger
from tests.net.listening import listen

NOTHING = Arrivals([], [], [])


def arrived(links, count=1, timeout=5.0):
    """Listen until that number of datagrams came in."""
    deadline = monotonic() + timeout
    found = []
    while len(found) < count and (left := deadline - monotonic()) > 0:
        found += listen(links, left).datagrams
    assert len(found) == count, found
    return found


def hear(links, count=1, timeout=5.0):
    """Give that number of datagrams and their sources."""
    return [(datagram, source) for datagram, source, _ in arrived(links, count, timeout)]


def test_a_broadcast_reaches_all_and_names_sender_and_link(make, port):
    a, b = make("127.0.0.2"), make("127.0.0.3")
    with Ear(port) as ear:
        assert a.send([Send(b"HELLO|", loopback("127.0.0.2"), EVERYBODY)]) == []
        assert ear.hear() == (b"HELLO|", ("127.0.0.2", port))  # source port too: stateful firewalls want it
    [(datagram, source)] = hear(b)
    assert (datagram, source.address, source.link, source.unicast) == (
        b"HELLO|", "127.0.0.2", loopback("127.0.0.3"), False,
    )  # fmt: skip
    assert [datagram for datagram, _ in hear(a)] == [b"HELLO|"]


def test_unicast_is_told_from_broadcast(make):
    a, b = make("127.0.0.2"), make("127.0.0.3")
    a.send([Send(b"PING|", loopback("127.0.0.2"), "127.0.0.3")])
    [(_, source)] = hear(b)
    assert source.unicast
    assert listen(a, 0) == NOTHING


def test_a_source_stays_the_same_object_until_the_links_change(make):
    a, b = make("127.0.0.2"), make("127.0.0.3")

    def source():
        a.send([Send(b"HELLO|", a.rescan(PATTERNS)[0], "127.0.0.3")])
        return hear(b)[0][1]

    first = source()
    b.rescan(PATTERNS)
    assert source() is first
    b.rescan(("eth*",))
    assert source() is not first


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EIO, errno.ETIMEDOUT])
def test_a_scan_that_fails_keeps_the_links_there_are(monkeypatch, number):
    here = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
    answers = [{here: ()}, OSError(number, os.strerror(number)), {}]

    def answer(*_):
        if isinstance(given := answers.pop(0), OSError):
            raise given
        return given

    monkeypatch.setattr(module, "survey", answer)
    monkeypatch.setattr(module, "without_broadcast", lambda *_: ())
    with closing(UdpTransport(Parameters())) as links:
        assert (links.rescan(PATTERNS), links.scan_error) == ((here,), None)
        assert (links.rescan(PATTERNS), links.scan_error) == ((here,), f"{errno.errorcode[number]}: {os.strerror(number)}")
        assert (links.rescan(PATTERNS), links.scan_error) == ((), None)


def test_rescan_keeps_the_object_of_an_unchanged_link(make):
    links = make()
    [link] = links.rescan(PATTERNS)
    assert links.rescan(PATTERNS)[0] is link


def test_sources_are_bounded_and_the_newest_are_kept(make, monkeypatch, port):
    monkeypatch.setattr(sources, "MAX_PLACES", 4)
    monkeypatch.setattr(sources, "MAX_SENDERS", 4)
    links = make()

    def source_of(number):
        with stranger(f"127.0.1.{number}") as sender:
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
            return hear(links)[0][1]

    seen = {number: source_of(number) for number in range(1, 11)}
    assert all(source_of(number) is seen[number] for number in (7, 8, 9, 10))
    assert source_of(6) is not seen[6]


def test_all_other_ports_of_a_sender_are_one_place(make, port, monkeypatch):
    monkeypatch.setattr(sources, "MAX_PLACES", 2)
    monkeypatch.setattr(sources, "MAX_SENDERS", 2)
    links = make()
    with stranger(port=port) as node, stranger() as first, stranger() as second:
        found = []
        for sender in (node, first, second, node):
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
            found.append(hear(links)[0][1])
    assert [source.port_fits for source in found] == [True, False, False, True]
    assert found[1] is found[2]
    assert found[3] is found[0], "the place of the node was not taken"


def test_a_datagram_that_is_too_long_is_known_as_such(make, port):
    links = make()
    node = Node(Parameters(loopback="127.0.0.2"))
    with stranger(port=port) as sender:
        for size in (MAX_DATAGRAM, MAX_DATAGRAM + 1, 9000):
            sender.sendto(b"HELLO|".ljust(size, b"x"), ("127.0.0.2", port))
    batch = hear(links, 3)
    assert [len(datagram) for datagram, _ in batch] == [MAX_DATAGRAM, MAX_DATAGRAM + 1, MAX_DATAGRAM + 1]
    node.set_links(links.rescan(PATTERNS), 0.0)
    for datagram, source in batch:
        node.receive(datagram, source, 0.0)
    assert node.drops == {("version", "lo"): 1, ("too-long", "lo"): 2}


def test_arrival_is_when_the_kernel_gets_a_datagram(make, port):
    links = make()
    wait = threading.Event().wait
    with stranger() as sender:
        late = True
        while late:  # the kernel begins to stamp a moment after the first socket of the machine wants it
            sender.sendto(b"HELLO|0", ("127.0.0.2", port))
            sent = boottime()
            wait(0.05)
            [(_, _, moment)] = arrived(links, 1)
            late = moment > sent + 0.04
        before = boottime()
        sender.sendto(b"HELLO|1", ("127.0.0.2", port))
        between = boottime()
        wait(0.2)
        sender.sendto(b"HELLO|2", ("127.0.0.2", port))
    [(_, _, first), (_, _, second)] = arrived(links, 2)
    assert before - 0.01 <= first <= between + 0.1, "not 0.2 s later"
    assert second >= first + 0.19
    assert second - 0.01 <= links.heard_until <= boottime()


def test_datagrams_of_two_sockets_keep_the_order_of_arrival(make, port):
    links = make()
    with stranger("127.0.0.9") as sender:
        for number in range(2 * BATCH):
            sender.sendto(b"%d" % (2 * number), ("127.0.0.2", port))
            if not number % 4:
                sender.sendto(b"%d" % (2 * number + 1), ("127.255.255.255", port))
    found = []
    while len(found) < 2.5 * BATCH:
        drained = links.heard_until
        batch = listen(links, 5.0).datagrams
        assert all(arrived >= drained for _, _, arrived in batch), "nothing is given after it was told to be complete"
        found += batch
    numbers = [int(datagram) for datagram, _, _ in found]
    assert numbers == sorted(numbers)


def test_a_batch_is_bounded(make, port):
    links = make()
    with stranger() as sender:
        for _ in range(BATCH + 1):
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
    assert len(listen(links, 1.0).datagrams) == BATCH
    assert len(listen(links, 1.0).datagrams) == 1


def test_wake_ends_a_listen_from_another_thread(make):
    links = make()
    returned = []
    listener = threading.Thread(target=lambda: returned.append(listen(links, 30.0)))
    listener.start()
    links.wake()
    listener.join(5.0)
    assert returned == [NOTHING]


def test_nothing_is_open_before_open_and_after_close(port):
    before = descriptors()
    links = UdpTransport(Parameters(port=port, loopback="127.0.0.2"))
    assert descriptors() == before
    links.wake()
    assert links.send([Send(b"HELLO|", None, EVERYBODY)]) == []
    assert links.kernel_drops() == 0
    links.close()
    links.open()
    links.close()
    links.close()
    assert descriptors() == before
    links.wake()
    links.open()  # and it can be opened anew
    links.close()


@pytest.mark.parametrize("loopback_address", ["127.0.0.2", ""])
def test_a_taken_port_fails_to_open_and_names_the_holder(port, loopback_address):
    links = UdpTransport(Parameters(port=port, loopback=loopback_address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((loopback_address or "127.0.0.1", port))
        before = descriptors()
        with pytest.raises(OSError, match=rf"UDP port {port} .*is taken by .*\(pid {os.getpid()}\)") as caught:
            links.open()
        assert caught.value.errno == errno.EADDRINUSE
        assert descriptors() == before
    links.open()
    links.close()


@pytest.fixture
def wildcard(port):
    """Open links as without `loopback`, wanting no interface, so that nothing is ever sent."""
    links = UdpTransport(Parameters(port=port))
    links.open()
    links.rescan(("none0",))
    yield links
    links.close()


def test_an_excluded_interface_is_counted_by_name(wildcard, port):
    for count in (1, 2):
        with stranger() as sender:
            sender.sendto(b"HELLO|", ("127.0.0.1", port))
        assert listen(wildcard, 5.0) == NOTHING
        assert wildcard.drops == {("excluded", "lo"): count}, "no source is remembered"


def test_a_wanted_interface_without_broadcast_brings_datagrams(wildcard, port):
    wildcard.rescan(("lo",))
    with stranger() as sender:
        sender.sendto(b"HELLO|", ("127.0.0.1", port))
    [(_, source)] = hear(wildcard)
    assert (source.address, source.link, source.unicast) == ("127.0.0.9", None, False)


def test_a_sandbox_without_netlink_is_known(make, monkeypatch):
    def refuse():
        raise PermissionError(errno.EPERM, "Operation not permitted")

    assert make("127.0.0.2").has_doorbell
    monkeypatch.setattr(module, "doorbell", refuse)
    links = make("127.0.0.3")
    assert not links.has_doorbell
    assert listen(links, 0) == NOTHING


def test_the_doorbell_ends_a_listen(make, monkeypatch):
    ours, kernel = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr(module, "doorbell", lambda: ours)
    with kernel:
        links = make()
        kernel.send(b"link changed")
        assert links.wait(5.0) == Woken([], has_rung=True)
        assert listen(links, 0) == NOTHING
        links.close()


def test_a_refused_datagram_comes_back_and_hides_no_other(make, port):
    links = make()
    (lo,) = links.rescan(PATTERNS)
    links.send([Send(b"PING|to nobody", lo, "127.0.0.99")])  # no socket has this port there
    with stranger() as sender:
        sender.sendto(b"HELLO|", ("127.0.0.2", port))
    datagrams, refused = [], []
    deadline = monotonic() + 5.0
    while not (datagrams and refused) and monotonic() < deadline:
        arrivals = listen(links, 0.1)
        datagrams += [datagram for datagram, *_ in arrivals.datagrams]
        refused += arrivals.refused
    assert (datagrams, refused) == ([b"HELLO|"], [b"PING|to nobody"])
    assert listen(links, 0) == NOTHING, "the error queue is empty: nothing wakes us"


def test_an_error_that_came_back_swallows_no_later_datagram(make):
    links = make()
    (lo,) = links.rescan(PATTERNS)
    for number in range(3):
        links.send([Send(b"PING|to nobody", lo, "127.0.0.99")])
        assert links.send([Send(b"HELLO|%d" % number, lo, lo.broadcast)]) == []
    assert links.drops == {}
    assert [datagram for datagram, _ in hear(links, count=3)] == [b"HELLO|0", b"HELLO|1", b"HELLO|2"]
