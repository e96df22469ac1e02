"""The server with real sockets, on the event loop: UDP and TCP, and what becomes of those who ask too much."""

import socket
import struct
from contextlib import ExitStack
from queue import SimpleQueue

import pytest
from dnslib import DNSRecord

from discoveryd.dns import rates
from discoveryd.dns import server as server_module
from discoveryd.dns.message import MAX_QUESTION
from discoveryd.dns.rates import Rates
from discoveryd.dns.server import CONNECTIONS, OF_ONE, Server
from discoveryd.dns.zone import DnsAnswer, ZoneRecord
from discoveryd.net.asked import address_in, open_asked
from discoveryd.net.sockets import free_port
from discoveryd.runtime.loop import Loop
from tests.runtime.waiting import until

NAME = (b"bert", b"peers", b"internal")
ONE = DnsAnswer("NOERROR", (ZoneRecord(NAME, "A", 0, "10.0.0.2"),))
QUESTION = bytes(DNSRecord.question("bert.peers.internal").pack())
WAIT = 10.0


class StandingRates(Rates):
    """No time passes, so that what is used up stays so."""

    def of_datagram(self, source, now):
        return super().of_datagram(source, 0.0 * now)

    def of_stream(self, source, now):
        return super().of_stream(source, 0.0 * now)


@pytest.fixture
def loop():
    notices = SimpleQueue()
    made = Loop(notices.put, lambda *what: notices.put(what))
    yield made
    made.stop()
    assert notices.empty(), notices.get_nowait()


@pytest.fixture
def serve(loop):
    """Give a function that serves at an address, and returns the server and where."""
    with ExitStack() as stack:

        def serve(address="127.0.0.1", allowed=None):
            port = free_port("127.0.0.1", "tcp")
            server = Server(*open_asked(stack, (address, port)), lambda _: ONE, allowed)
            loop.run(server.start())
            stack.callback(lambda: loop.run(server.stop()))
            return server, ("127.0.0.1" if address in ("0.0.0.0", "::") else address, port)

        yield serve


def by_udp(address, data=QUESTION, *, source=None):
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(WAIT)
        if source:
            asking.bind((source, 0))
        asking.sendto(data, address)
        answer, origin = asking.recvfrom(65535)
        assert origin[:2] == address  # a resolver takes it from no other
        return DNSRecord.parse(answer)


def connected(address):
    made = socket.create_connection(address, timeout=WAIT)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def ask(stream, data=QUESTION):
    stream.sendall(struct.pack("!H", len(data)) + data)
    with stream.makefile("rb") as file:
        head = file.read(2)
        return DNSRecord.parse(file.read(int.from_bytes(head, "big"))) if head else None


def is_closed(stream):
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_question_is_answered_by_udp_and_by_tcp(serve):
    server, address = serve()
    assert str(by_udp(address).rr[0].rdata) == "10.0.0.2"
    with connected(address) as stream:
        assert [str(ask(stream).rr[0].rdata) for _ in range(2)] == ["10.0.0.2"] * 2
    until(lambda: server.status()["connections"] == 0)
    status = server.status()
    assert (status["questions"], status["answers"]) == ({"udp": 1, "tcp": 2}, {"NOERROR": 3})


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_the_answer_comes_from_the_address_that_was_asked(serve, everywhere):
    _, (_, port) = serve(everywhere)
    for address in ("127.0.0.1", "127.5.5.5"):
        assert by_udp((address, port)).rr
    if everywhere == "::":
        assert by_udp(("::1", port)).rr


def test_a_question_to_a_broadcast_address_is_not_answered(serve):
    server, (_, port) = serve("0.0.0.0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.sendto(QUESTION, ("127.255.255.255", port))
    until(lambda: server.status()["ignored"] == 1)
    assert server.status()["answers"] == {}


def test_a_taken_port_names_its_holder(serve):
    _, address = serve()
    with ExitStack() as stack, pytest.raises(OSError, match=f"UDP port {address[1]} on 127.0.0.1 is taken by"):
        open_asked(stack, address)


def test_past_the_bound_questions_are_sent_to_tcp(serve):
    """Then they are not answered any more, and a connection that goes on is closed."""
    server, address = serve(allowed=StandingRates(local=1))
    assert by_udp(address).rr
    assert by_udp(address).header.tc
    with connected(address) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(QUESTION, address)
        assert ask(stream).rr
        assert ask(stream) is None
        assert is_closed(stream)
    status = server.status()
    assert (status["truncated"], status["limited"], status["questions"]) == (1, 3, {"udp": 3, "tcp": 2})


def test_a_connection_that_asks_too_long_a_question_is_closed(serve):
    server, address = serve()
    with connected(address) as stream:
        stream.sendall(struct.pack("!H", MAX_QUESTION + 1))
        assert is_closed(stream)
    assert server.status()["refused"] == 1


def test_a_connection_that_sends_replies_is_closed(serve):
    server, address = serve()
    with connected(address) as stream:
        stream.sendall(struct.pack("!H", 12) + b"\0\7\x80\0" + bytes(8))
        assert is_closed(stream)
    assert server.status()["ignored"] == 1


def test_silent_and_trickling_connections_are_closed(serve, monkeypatch):
    monkeypatch.setattr(server_module, "IDLE", 0.1)
    monkeypatch.setattr(server_module, "ASKING", 0.1)
    server, address = serve()
    with connected(address) as silent, connected(address) as trickling:
        trickling.sendall(struct.pack("!H", len(QUESTION)) + QUESTION[:-1])
        assert is_closed(silent)
        assert is_closed(trickling)
    assert server.status()["answers"] == {}


def test_the_longest_silent_connection_makes_room(serve):
    server, address = serve()
    with ExitStack() as stack:
        streams = [stack.enter_context(connected(address)) for _ in range(CONNECTIONS)]
        until(lambda: server.status()["connections"] == CONNECTIONS)
        assert ask(streams[0]).rr  # it has just spoken
        late = stack.enter_context(connected(address))
        assert ask(late).rr
        assert is_closed(streams[1])
        assert ask(streams[0]).rr
        assert server.status()["connections"] == CONNECTIONS


def test_a_flood_is_read_in_portions_and_others_are_answered(serve, loop, monkeypatch):
    """The loop has time for others, and for a question by TCP."""
    monkeypatch.setattr(server_module, "READ", 100)
    monkeypatch.setattr(server_module, "PAUSE", 1000.0)
    server, address = serve()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood, connected(address) as stream:
        flood.setblocking(False)
        for _ in range(20_000):
            try:
                flood.sendto(bytes(12), address)
            except BlockingIOError:
                break
        assert ask(stream).rr
        assert loop.run(_nothing()) is None
        until(lambda: server.status()["questions"]["udp"] >= 100)
        assert ask(stream).rr
    assert server.status()["questions"]["udp"] < 250


def test_questions_have_half_of_the_time_of_the_thread(serve, loop, monkeypatch):
    """By UDP and by TCP: what was answered has to be paid for first."""
    monkeypatch.setattr(rates, "WORK", 1e-7)
    monkeypatch.setattr(rates, "AT_ONCE", 1e-9)
    server, address = serve()
    assert by_udp(address).rr
    with connected(address) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(QUESTION, address)
        stream.sendall(struct.pack("!H", len(QUESTION)) + QUESTION)
        until(lambda: server.status()["questions"]["tcp"] == 1)  # it was read, and waits
        assert server.status()["questions"]["udp"] == 1
        assert server.status()["answers"] == {"NOERROR": 1}


async def _nothing():
    return None


def test_a_source_beyond_this_machine_has_fewer_connections(serve):
    server, address = serve(allowed=Rates(is_local=lambda _: False))
    with ExitStack() as stack:
        streams = [stack.enter_context(connected(address)) for _ in range(OF_ONE + 1)]
        assert is_closed(streams[0])
        assert ask(streams[1]).rr
        assert server.status()["connections"] == OF_ONE


@pytest.mark.parametrize(("name", "address"), [
    (("10.0.0.7", 53), "10.0.0.7"), (("::ffff:10.0.0.7", 53, 0, 0), "10.0.0.7"), (("::1", 53, 0, 0), "::1"),
    (("fe80::1%eth0", 53, 0, 2), "fe80::1"),
])  # fmt: skip
def test_a_sender_is_known_by_its_address(name, address):
    assert address_in(name) == address
