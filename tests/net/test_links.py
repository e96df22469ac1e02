"""The UDP sockets, on loopback and between sockets of this process."""

import errno
import os
import socket
import struct
import threading
from pathlib import Path
from time import monotonic

import pytest

from discoveryd.net import senders
from discoveryd.net import udp as module
from discoveryd.net.batch import BATCH
from discoveryd.net.interfaces import Doorbell, loopback
from discoveryd.net.sockets import explain_bind, free_port
from discoveryd.net.stamps import boottime
from discoveryd.net.udp import MAX_ERRORS, TRIES, Links
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.hello import MAX_DATAGRAM
from tests.conftest import descriptors
from tests.ear import EVERYBODY, Ear


@pytest.fixture
def port():
    return free_port("127.0.0.1", "udp")


@pytest.fixture
def make(port):
    """Open links at own addresses of loopback, all on one port."""
    made = []

    def make(address="127.0.0.2", **parameters):
        links = Links(Parameters(port=port, loopback=address, **parameters))
        made.append(links)
        links.open()
        links.rescan()
        return links

    yield make
    for links in made:
        links.close()


def arrived(links, count=1, timeout=5.0):
    """Listen until so many datagrams came in."""
    deadline = monotonic() + timeout
    found = []
    while len(found) < count and (left := deadline - monotonic()) > 0:
        found += links.listen(left)[0]
    assert len(found) == count, found
    return found


def hear(links, count=1, timeout=5.0):
    """Give so many datagrams and their sources."""
    return [(datagram, source) for datagram, source, _ in arrived(links, count, timeout)]


def stranger(address="127.0.0.9", port=0):
    """Give a socket that is none of ours."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    found.bind((address, port))
    return found


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
    assert a.listen(0) == ([], False)


def test_a_source_stays_the_same_object_until_the_links_change(make):
    a, b = make("127.0.0.2"), make("127.0.0.3")

    def source():
        a.send([Send(b"HELLO|", a.rescan()[0], "127.0.0.3")])
        return hear(b)[0][1]

    first = source()
    b.rescan()
    assert source() is first
    b.set_patterns(("eth*",))
    assert source() is first  # the receiver decides when: at its next look
    b.rescan()
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
    links = Links(Parameters())
    assert (links.rescan(), links.scan_error) == ((here,), None)
    assert (links.rescan(), links.scan_error) == ((here,), f"{errno.errorcode[number]}: {os.strerror(number)}")
    assert (links.rescan(), links.scan_error) == ((), None)


def test_rescan_keeps_the_object_of_an_unchanged_link(make):
    links = make()
    [link] = links.rescan()
    assert links.rescan()[0] is link


def test_sources_are_bounded_and_the_newest_are_kept(make, monkeypatch, port):
    monkeypatch.setattr(senders, "MAX_PLACES", 4)
    links = make()
    seen = {}
    for number in range(1, 11):
        with stranger(f"127.0.1.{number}") as sender:
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
            [(_, seen[number])] = hear(links)
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
            assert hear(links)[0][1] is seen[number]
    assert list(links._sources.values()) == [seen[number] for number in (7, 8, 9, 10)]


def test_a_sender_from_another_port_is_known_as_such(make, port):
    links = make()
    with stranger(port=port) as node, stranger() as first, stranger() as second:
        found = {}
        for sender in (node, first, second):
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
            [(_, found[sender])] = hear(links)
    assert [found[sender].port_fits for sender in (node, first, second)] == [True, False, False]
    assert found[first] is found[second], "one that tries all its ports takes but one place"
    assert len(links._sources) == 2


def test_a_datagram_that_is_too_long_is_known_as_such(make, port):
    links = make()
    node = Node(Parameters(loopback="127.0.0.2"))
    with stranger(port=port) as sender:
        for size in (MAX_DATAGRAM, MAX_DATAGRAM + 1, 9000):
            sender.sendto(b"HELLO|".ljust(size, b"x"), ("127.0.0.2", port))
    batch = hear(links, 3)
    assert [len(datagram) for datagram, _ in batch] == [MAX_DATAGRAM, MAX_DATAGRAM + 1, MAX_DATAGRAM + 1]
    node.set_links(links.rescan(), 0.0)
    for datagram, source in batch:
        node.receive(datagram, source, 0.0)
    assert node.drops == {("version", "lo"): 1, ("too-long", "lo"): 2}


def test_a_datagram_arrives_when_the_kernel_gets_it_not_when_it_is_read(make, port):
    links = make()
    wait = threading.Event().wait
    with stranger() as sender:
        before = boottime()
        sender.sendto(b"HELLO|1", ("127.0.0.2", port))
        between = boottime()
        wait(0.2)
        sender.sendto(b"HELLO|2", ("127.0.0.2", port))
    [(_, _, first), (_, _, second)] = arrived(links, 2)
    assert before - 0.01 <= first <= between + 0.1, "not 0.2 s later"
    assert second >= first + 0.19
    assert second - 0.01 <= links.heard_until <= boottime()


def test_what_came_by_two_sockets_is_given_in_the_order_of_arrival(make, port):
    links = make()
    with stranger("127.0.0.9") as sender:
        for number in range(2 * BATCH):
            sender.sendto(b"%d" % (2 * number), ("127.0.0.2", port))
            if not number % 4:
                sender.sendto(b"%d" % (2 * number + 1), ("127.255.255.255", port))
    found = []
    while len(found) < 2.5 * BATCH:
        drained = links.heard_until
        batch = links.listen(5.0)[0]
        assert all(arrived >= drained for _, _, arrived in batch), "nothing is given after it was told to be complete"
        found += batch
    numbers = [int(datagram) for datagram, _, _ in found]
    assert numbers == sorted(numbers)


def test_a_batch_is_bounded(make, port):
    links = make()
    with stranger() as sender:
        for _ in range(BATCH + 1):
            sender.sendto(b"HELLO|", ("127.0.0.2", port))
    assert len(links.listen(1.0)[0]) == BATCH
    assert len(links.listen(1.0)[0]) == 1


def test_wake_ends_a_listen_from_another_thread(make):
    links = make()
    returned = []
    listener = threading.Thread(target=lambda: returned.append(links.listen(30.0)))
    listener.start()
    links.wake()
    listener.join(5.0)
    assert returned == [([], False)]


def test_any_number_of_wakes_waits_for_nobody(make):
    links = make()
    for _ in range(5000):
        links.wake()
    began = monotonic()
    links.listen(30.0)
    assert monotonic() - began < 10


def test_nothing_is_open_before_open_and_after_close(port):
    before = descriptors()
    links = Links(Parameters(port=port, loopback="127.0.0.2"))
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
def test_a_taken_port_is_named_with_its_holder_and_nothing_stays_open(port, loopback_address):
    links = Links(Parameters(port=port, loopback=loopback_address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((loopback_address or "127.0.0.1", port))
        before = descriptors()
        with pytest.raises(OSError, match=rf"UDP port {port} .*is taken by .*\(pid {os.getpid()}\)") as caught:
            links.open()
        assert caught.value.errno == errno.EADDRINUSE
        assert descriptors() == before
    links.open()
    links.close()


def test_a_port_below_1024_without_permission_is_no_mystery():
    error = explain_bind(PermissionError(errno.EACCES, "Permission denied"), "UDP", "0.0.0.0", 34)
    assert isinstance(error, PermissionError)
    assert error.strerror == "cannot listen on UDP port 34: Permission denied"


def test_send_errors_are_counted_and_told_once_per_change(make):
    links = make()
    good, bad = (Send(text, loopback("127.0.0.2"), EVERYBODY) for text in (b"HELLO|", bytes(70_000)))
    error = f"EMSGSIZE: {os.strerror(errno.EMSGSIZE)}"
    assert links.send([bad]) == [("lo", EVERYBODY, error)]
    assert links.send([bad, bad]) == []
    assert links.last_errors == {("lo", EVERYBODY): error}
    assert links.send([good, good]) == [("lo", EVERYBODY, None)]
    assert links.last_errors == {}
    assert links.send([bad, good]) == [("lo", EVERYBODY, error), ("lo", EVERYBODY, None)]
    assert links.drops == {("send-failed", "lo"): 4}


def test_what_was_said_of_a_link_that_is_gone_is_forgotten(make):
    links = make()
    links.last_errors.update({("eth7", "10.7.0.255"): "ENODEV: No such device", ("lo", EVERYBODY): "x", ("-", "a"): "y"})
    links.rescan()
    assert links.last_errors == {("lo", EVERYBODY): "x", ("-", "a"): "y"}


class Recorder:
    """Stands for the sending socket: keeps what it is given, and fails for the targets it is told."""

    def __init__(self, *failing):
        self.sent = []
        self.failing = failing

    def sendmsg(self, buffers, ancillary, flags, address):
        self.sent.append((address[0], flags, [struct.unpack("@i", data[:4])[0] for _, _, data in ancillary]))
        if address[0] in self.failing:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def getsockopt(self, *_):
        raise OSError


@pytest.fixture
def recording(monkeypatch):
    """Give links with one real link, whose datagrams are kept; `targets` of them fail."""
    here = Link("eth0", 2, "10.0.0.130", 25, "10.0.0.255")
    monkeypatch.setattr(module, "survey", lambda *_: {here: ()})

    def make(*targets, **parameters):
        links = Links(Parameters(**parameters))
        (link,) = links.rescan()
        links._sender = Recorder(*targets)
        return links, link

    return make


def test_a_limited_broadcast_goes_to_all_on_its_link(recording):
    links, here = recording()
    assert links.send([Send(b"a", here, here.broadcast, limited=True), Send(b"b", here, here.broadcast)]) == []
    assert links._sender.sent == [("255.255.255.255", 0, [2]), ("10.0.0.255", 0, [2])]


def test_in_loopback_mode_there_is_no_limited_broadcast(recording):
    links, here = recording(loopback="127.0.0.2")
    links.send([Send(b"a", here, EVERYBODY, limited=True)])
    assert [target for target, *_ in links._sender.sent] == [EVERYBODY]


def test_what_is_for_a_neighbour_outside_our_network_goes_to_no_gateway(recording):
    links, here = recording()
    links.send([Send(b"", link, to) for link, to in ((here, "10.0.0.1"), (here, "10.0.0.131"), (None, "192.0.2.1"))])
    assert [(target, flags) for target, flags, _ in links._sender.sent] == [
        ("10.0.0.1", socket.MSG_DONTROUTE), ("10.0.0.131", 0), ("192.0.2.1", 0),
    ]  # fmt: skip


def test_where_limited_broadcasts_are_forbidden_the_directed_one_goes_out(recording):
    links, here = recording("255.255.255.255")
    error = f"EPERM: {os.strerror(errno.EPERM)}"
    assert links.send([Send(b"a", here, here.broadcast, limited=True)]) == [("eth0", "255.255.255.255", error)]
    assert links.send([Send(b"b", here, here.broadcast, limited=True), Send(b"c", here, here.broadcast)]) == []
    assert [target for target, *_ in links._sender.sent].count("10.0.0.255") == 3
    assert links.last_errors == {("eth0", "255.255.255.255"): error}


def test_targets_with_an_error_are_bounded(make):
    links = make()
    targets = [f"127.0.{number >> 8}.{number & 255}" for number in range(1, MAX_ERRORS + 3)]
    for target in targets:
        links.send([Send(bytes(70_000), None, target)])
    assert [target for _, target in links.last_errors] == targets[2:]


def test_two_threads_may_find_at_once_that_sending_works_again(make):
    class Raced(dict):
        """Another thread takes the error away right after we looked at it."""

        def get(self, key):
            return self.pop(key, None)

    links = make()
    links.last_errors = Raced({("lo", EVERYBODY): "ENETDOWN: Network is down"})
    assert links.send([Send(b"HELLO|", loopback("127.0.0.2"), EVERYBODY)]) == [("lo", EVERYBODY, None)]


@pytest.fixture
def wildcard(port):
    """Open links as without `loopback`, wanting no interface, so that nothing is ever sent."""
    links = Links(Parameters(port=port, interfaces=("none0",)))
    links.open()
    links.rescan()
    yield links
    links.close()


def test_an_excluded_interface_is_counted_by_name(wildcard, port):
    with stranger() as sender:
        sender.sendto(b"HELLO|", ("127.0.0.1", port))
    assert wildcard.listen(5.0) == ([], False)
    assert wildcard.drops == {("excluded", "lo"): 1}
    assert wildcard._sources == {}


def test_an_interface_without_broadcast_may_bring_seeds_datagrams_if_it_is_wanted(wildcard, port):
    wildcard.set_patterns(("lo",))
    wildcard.rescan()
    with stranger() as sender:
        sender.sendto(b"HELLO|", ("127.0.0.1", port))
    [(_, source)] = hear(wildcard)
    assert (source.address, source.link, source.unicast) == ("127.0.0.9", None, False)


def test_what_the_kernel_lost_is_counted(make, port):
    links = make()
    for receiver in links._receivers:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert links.kernel_drops() == 0
    with stranger() as sender:
        for _ in range(100):
            sender.sendto(bytes(1000), ("127.0.0.2", port))
    assert 50 <= links.kernel_drops() < 100


def test_a_kernel_without_that_count_is_no_error(make, monkeypatch):
    links = make()
    monkeypatch.setattr(module, "SO_MEMINFO", 9999)
    assert links.kernel_drops() == 0


def test_a_sandbox_without_netlink_is_known(make, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    assert make("127.0.0.2").has_doorbell
    monkeypatch.setattr(Doorbell, "open", refuse)
    links = make("127.0.0.3")
    assert not links.has_doorbell
    assert links.listen(0) == ([], False)


def test_the_doorbell_ends_a_listen(make, monkeypatch):
    ours, kernel = socket.socketpair()

    class Bell(Doorbell):
        def open(self):
            ours.setblocking(False)
            self._socket = ours

    monkeypatch.setattr(module, "Doorbell", Bell)
    with kernel:
        links = make()
        kernel.send(b"link changed")
        assert links.listen(5.0) == ([], True)
        assert links.listen(0) == ([], False)
        links.close()


def test_what_nobody_listens_for_comes_back_and_does_not_hide_the_next(make, port):
    links = make()
    (lo,) = links.rescan()
    links.send([Send(b"PING|to nobody", lo, "127.0.0.99")])  # no socket has this port there
    with stranger() as sender:
        sender.sendto(b"HELLO|", ("127.0.0.2", port))
    assert [datagram for datagram, _ in hear(links)] == [b"HELLO|"]
    deadline = monotonic() + 5.0
    refused = links.refused()
    while not refused and monotonic() < deadline:
        links.listen(0.1)
        refused = links.refused()
    assert refused == [b"PING|to nobody"]
    assert links.refused() == []
    assert links.listen(0) == ([], False), "the error queue is empty: nothing wakes us"


def test_an_error_that_came_back_does_not_swallow_what_is_sent_next(make):
    links = make()
    (lo,) = links.rescan()
    for number in range(3):
        links.send([Send(b"PING|to nobody", lo, "127.0.0.99")])
        assert links.send([Send(b"HELLO|%d" % number, lo, lo.broadcast)]) == []
    assert links.drops == {}
    assert [datagram for datagram, _ in hear(links, count=3)] == [b"HELLO|0", b"HELLO|1", b"HELLO|2"]


class Sender:
    """A socket on which the errors of others come back first, as many as it is told to."""

    def __init__(self, errors):
        self.errors = errors
        self.sent = []

    def sendmsg(self, buffers, ancillary, flags, target):
        if self.errors:
            self.errors -= 1
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        self.sent.append(target)


@pytest.mark.parametrize(("forged", "is_sent"), [(TRIES - 1, True), (10_000, False)])
def test_forged_icmp_errors_are_not_those_of_a_link(make, forged, is_sent):
    links = make()
    (lo,) = links.rescan()
    links._sender = Sender(forged)
    assert links.send([Send(b"HELLO|", lo, EVERYBODY)]) == []
    assert links.last_errors == {}
    assert bool(links._sender.sent) is is_sent
    assert links.drops == ({} if is_sent else {("send-failed", "lo"): 1})


def test_nothing_is_sent_for_a_link_that_has_gone(make):
    links = make()
    (lo,) = links.rescan()
    gone = Link("eth9", 99, "10.9.9.9", 24, "10.9.9.255")
    sent = []
    links._sender, kept = type("Spy", (), {"sendmsg": lambda self, *what: sent.append(what), "getsockopt": lambda *_: bytes(36)})(), links._sender
    try:
        assert links.send([Send(b"HELLO|", gone, "127.0.0.98"), Send(b"HELLO|", lo, "127.0.0.98")]) == []
    finally:
        links._sender = kept
    assert len(sent) == 1, "without its link the kernel would have routed it elsewhere"


def test_the_receive_buffer_is_asked_for(make):
    links = make()
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        granted = min(module.RECEIVE_BUFFER, int(file.read()))
    size = links._receivers[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert size >= granted
    assert struct.calcsize("@i4s4s") == 12  # struct in_pktinfo


@pytest.fixture
def unprivileged(monkeypatch):
    """Be without CAP_NET_ADMIN, as the service is: SO_RCVBUFFORCE is refused."""
    monkeypatch.setattr(module, "SO_RCVBUFFORCE", 0x7FFF)
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        return int(file.read())


def test_the_buffer_that_was_got_is_told(make, monkeypatch, unprivileged):
    assert make("127.0.0.2").receive_buffer() == min(module.RECEIVE_BUFFER, unprivileged)
    monkeypatch.setattr(module, "RECEIVE_BUFFER", 2 * unprivileged)
    assert make("127.0.0.3").receive_buffer() == unprivileged


def test_the_sysctl_file_allows_what_is_wanted():
    said = (Path(__file__).parents[2] / "config/sysctl.d/10-discoveryd.conf").read_text().splitlines()
    assert [line for line in said if not line.startswith("#")] == [f"net.core.rmem_max = {module.RECEIVE_BUFFER}"]


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
