"""Many datagrams by one call: what each reader gives for the same datagrams, on loopback."""

import ctypes
import socket
from contextlib import ExitStack
from time import monotonic, time

import pytest

from discoveryd.net.batch import BATCH, SIZE, Many, open_many, read_one
from discoveryd.net.families import IP_PKTINFO, parse_origin
from discoveryd.net.stamps import SO_TIMESTAMPNS, UNSTAMPED

IP_RECVERR = 11


@pytest.fixture
def make():
    """Open sockets at addresses of loopback."""
    with ExitStack() as stack:

        def make(address="127.0.0.1", *, is_stamped=True):
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            if is_stamped:
                made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            made.bind((address, 0))
            return made

        yield make


class One:
    """Reads one by one what `Many` reads at once."""

    def read(self, receiver, limit, offset):
        return [read_one(receiver, offset)]


@pytest.fixture(params=[Many, One])
def reader(request):
    return request.param()


def read(reader, receiver, limit=BATCH, offset=0.0):
    """Read until the socket is empty: what was sent on loopback is there at once."""
    found = []
    while True:
        try:
            arrivals = reader.read(receiver, limit, offset)
        except BlockingIOError:
            return found
        assert 0 < len(arrivals) <= limit
        found += arrivals


def test_each_reader_gives_datagram_origin_and_moment(make, reader):
    receiver, senders = make("0.0.0.0"), [make("127.0.0.2"), make("127.0.0.3")]
    port = receiver.getsockname()[1]
    before = time()
    for number in range(3):
        for sender in senders:
            sender.sendto(b"x" * number * 300, (f"127.0.1.{number}", port))
    arrivals = read(reader, receiver, offset=1000.0)
    after = time()
    assert [datagram for datagram, _, _ in arrivals] == [b"x" * number * 300 for number in (0, 0, 1, 1, 2, 2)]
    assert [parse_origin(origin) for _, origin, _ in arrivals] == [
        (*sender.getsockname(), socket.if_nametoindex("lo"), f"127.0.1.{number}", 255)
        for number in range(3)
        for sender in senders
    ]
    moments = [moment + 1000.0 for _, _, moment in arrivals]
    assert moments == sorted(moments)
    assert before - 0.001 <= moments[0] <= moments[-1] <= after + 0.001


def test_both_ways_of_reading_name_the_same_origin(make):
    receiver, sender = make(), make("127.0.0.2")
    origins = set()
    for reader in (Many(), One()):
        sender.sendto(b"HELLO|", receiver.getsockname())
        [(_, origin, _)] = read(reader, receiver)
        origins.add(origin)
    assert len(origins) == 1


def test_what_is_too_long_is_cut_after_one_byte_too_many(make, reader):
    receiver, sender = make(), make()
    for size in (SIZE - 1, SIZE, SIZE + 1, 9000, 0):
        sender.sendto(b"x" * size, receiver.getsockname())
    sizes = [len(datagram) for datagram, _, _ in read(reader, receiver)]
    assert sizes == [SIZE - 1, SIZE, SIZE, SIZE, 0]


@pytest.mark.parametrize("limit", [1, 3, BATCH, BATCH + 1])
def test_more_than_the_limit_waits_and_keeps_its_order(make, reader, limit):
    receiver, sender = make(), make()
    sent = [b"%d" % number for number in range(BATCH + 5)]
    for datagram in sent:
        sender.sendto(datagram, receiver.getsockname())
    assert [datagram for datagram, _, _ in read(reader, receiver, limit)] == sent


def test_one_reader_serves_several_sockets(make, reader):
    one, other, sender = make("127.0.0.2"), make("127.0.0.3"), make()
    for receiver in (one, other, one):
        sender.sendto(receiver.getsockname()[0].encode(), receiver.getsockname())
    for receiver, count in ((other, 1), (one, 2)):
        address = receiver.getsockname()[0]
        arrivals = read(reader, receiver)
        assert [(datagram, parse_origin(origin).destination) for datagram, origin, _ in arrivals] == [
            (address.encode(), address)
        ] * count


def test_an_error_of_what_was_sent_is_raised_and_loses_nothing(make, reader):
    receiver, sender = make(), make()
    receiver.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()
    sender.sendto(b"before", receiver.getsockname())
    receiver.sendto(b"PING|", nobody)
    sender.sendto(b"after", receiver.getsockname())
    found, errors, deadline = [], 0, monotonic() + 5
    while (len(found) < 2 or not errors) and monotonic() < deadline:
        try:
            found += [datagram for datagram, _, _ in reader.read(receiver, BATCH, 0.0)]
        except BlockingIOError:
            continue
        except ConnectionRefusedError:
            errors += 1
    assert (found, errors) == ([b"before", b"after"], 1)


def test_a_socket_without_stamps_is_read_one_by_one(make):
    stamped, unstamped, sender = make(), make(is_stamped=False), make()
    assert isinstance(open_many([stamped]), Many)
    assert open_many([stamped, unstamped]) is None
    sender.sendto(b"HELLO|", unstamped.getsockname())
    [(datagram, origin, moment)] = read(One(), unstamped)
    assert (datagram, parse_origin(origin).destination, moment) == (b"HELLO|", "127.0.0.1", UNSTAMPED)


def test_a_libc_without_recvmmsg_is_read_one_by_one(make, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert open_many([make()]) is None


def test_control_data_of_a_datagram_is_not_that_of_the_next(make):
    many, receiver, unstamped, sender = Many(), make("127.0.0.2"), make("127.0.0.3", is_stamped=False), make()
    sender.sendto(b"HELLO|", receiver.getsockname())
    [(_, origin, _)] = read(many, receiver)
    assert parse_origin(origin).destination == "127.0.0.2"
    sender.sendto(b"HELLO|", unstamped.getsockname())
    [(_, origin, _)] = read(many, unstamped)
    assert parse_origin(origin).interface == 0, "from nowhere, since the control messages are not those expected"
