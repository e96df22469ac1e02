"""The quiet socket on a real network: which datagrams wake, what is counted, and that nothing is told later than it came."""

import json
import select
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest

from discoveryd.net import quiet, udp_socket
from discoveryd.net.packet_filter import set_filter
from discoveryd.net.stamps import boottime
from discoveryd.net.transport import QUIET_PAUSE
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from tests.conftest import BUSY
from tests.net.listening import listen

BROADCAST, ADDRESS, PORT = "10.77.0.255", "10.77.0.1", 3400
STEADY = b"HELLO|2|default|b|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|%d"
PROMPT = b"PING|2|default|b|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|0000000000000000|"


@contextmanager
def opened(host, **parameters):
    """Give a transport in a host that has read its links."""
    with host.namespace():
        transport = UdpTransport(Parameters(last_will=False, **parameters))
        transport.open()
    with closing(transport):
        with host.namespace():
            transport.rescan(("*",))
        yield transport


@pytest.fixture
def pair(lab):
    """Give a transport, and a socket on another machine that sends to it."""
    a, b = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in ((1, "a"), (2, "b")))
    with opened(a) as transport:
        with b.namespace():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(sender):
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind(("", PORT))
            until_stamped(transport, sender)
            yield transport, sender


def until_stamped(transport, sender):
    """Wait until the switch forwards."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        sender.sendto(b"HELLO|", (BROADCAST, PORT))
        if listen(transport, 0.1, is_calm=True).datagrams:
            break
    while listen(transport, 0.1, is_calm=True).datagrams:
        pass


def hear(transport, count, within=5.0):
    """Listen until so many datagrams came."""
    deadline, found = time.monotonic() + within, []
    while len(found) < count and time.monotonic() < deadline:
        found += listen(transport, deadline - time.monotonic(), is_calm=True).datagrams
    return found


def slept(transport, seconds=0.3):
    """Listen for that time, to its end, and give the datagrams that nobody was woken by."""
    began = time.monotonic()
    found = [datagram for datagram, _, _ in listen(transport, seconds, is_calm=True, pause=30.0).datagrams]
    assert time.monotonic() > began + seconds - 0.05
    return found


def test_a_steady_hello_wakes_nobody_and_comes_first(pair):
    transport, sender = pair
    sender.sendto(STEADY % 1, (BROADCAST, PORT))
    timer = threading.Timer(0.3, sender.sendto, (PROMPT, (BROADCAST, PORT)))
    timer.start()
    began = time.monotonic()
    [(first, _, first_at), (second, _, second_at)] = listen(transport, 10.0, is_calm=True, pause=30.0).datagrams
    timer.join()
    assert time.monotonic() > began + 0.2
    assert (first, second) == (STEADY % 1, PROMPT)
    assert second_at > first_at + 0.2, "the kernel's stamps count"


def test_it_waits_no_longer_than_the_pause(pair):
    transport, sender = pair
    sender.sendto(STEADY % 1, (BROADCAST, PORT))
    began = time.monotonic()
    assert [datagram for datagram, _, _ in hear(transport, 1)] == [STEADY % 1]
    assert time.monotonic() < began + QUIET_PAUSE * BUSY


def test_after_an_event_it_wakes_as_all_others(pair):
    transport, sender = pair
    for number in range(3):
        sender.sendto(STEADY % number, (BROADCAST, PORT))
        assert [one for one, _, _ in listen(transport, 20.0).datagrams] == [STEADY % number]
    assert not any(transport.read(is_calm=True))
    sender.sendto(STEADY % 3, (BROADCAST, PORT))
    assert slept(transport) == [STEADY % 3]


@pytest.mark.parametrize("datagram", [PROMPT, b"HELLO|", STEADY % 1 + b"|", b"SEALED|2|x|b", b"\x00"])
def test_all_else_that_is_broadcast_wakes(pair, monkeypatch, datagram):
    transport, sender = pair
    sender.sendto(datagram, (BROADCAST, PORT))
    assert [one for one, _, _ in listen(transport, 5.0, is_calm=True, pause=30.0).datagrams] == [datagram]


def test_all_unicast_wakes(pair):
    transport, sender = pair
    for number in range(50):
        sender.sendto(STEADY % number, (ADDRESS, PORT))
        assert [one for one, _, _ in listen(transport, 5.0, is_calm=True, pause=30.0).datagrams] == [STEADY % number]


def test_what_we_broadcast_comes_back_and_wakes_nobody(pair):
    transport, _ = pair
    [link] = transport.others
    assert transport.send([Send(STEADY % 7, link, BROADCAST)]) == []
    assert slept(transport) == [STEADY % 7]


@pytest.mark.flood
def test_what_the_filters_part_is_no_loss(pair):
    transport, sender = pair
    sent = came = 0
    for number in range(10_000):
        sender.sendto(STEADY % number, (BROADCAST, PORT))
        sent += 1
        if number % 10 == 0:
            sender.sendto(PROMPT, (BROADCAST, PORT))
            sent += 1
        if number % 50 == 0:
            came += len(listen(transport, 0, is_calm=True).datagrams)
    came += len(hear(transport, sent - came))
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        listen(transport, 0.1, is_calm=True)
    assert (came, transport.kernel_drops()) == (sent, 0)


@pytest.mark.flood
@pytest.mark.parametrize("datagram", [STEADY % 1, PROMPT])
def test_what_finds_no_room_is_counted(lab, monkeypatch, datagram):
    monkeypatch.setattr(udp_socket, "RECEIVE_BUFFER", 100_000)
    a, b = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in ((1, "a"), (2, "b")))
    with opened(a) as transport, b.namespace(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.bind(("", PORT))
        until_stamped(transport, sender)
        for _ in range(1000):
            sender.sendto(datagram, (BROADCAST, PORT))
        came = 0
        deadline = time.monotonic() + 3.0
        while time.monotonic() < deadline:
            came += len(listen(transport, 0.1, is_calm=True).datagrams)
        assert 20 < came < 900
        assert transport.kernel_drops() == pytest.approx(1000 - came, rel=0.05)


def test_much_wakes_as_before_and_calm_comes_back(pair):
    transport, sender = pair
    listen(transport, 0, is_calm=True, pause=30.0)
    many = 4 * quiet.CROWD  # in so little time that it is a crowd also on two busy cores
    for number in range(many):
        sender.sendto(STEADY % number, (BROADCAST, PORT))
    assert len(hear(transport, many)) == many
    sender.sendto(STEADY % 1, (BROADCAST, PORT))
    began = time.monotonic()
    assert [one for one, _, _ in listen(transport, 20.0, is_calm=True, pause=30.0).datagrams] == [STEADY % 1]
    assert time.monotonic() < began + 10, "it was read when nothing else came, not as it came"
    for _ in range(3):
        time.sleep(QUIET_PAUSE)
        assert listen(transport, 0, is_calm=True, pause=30.0).datagrams == []
    sender.sendto(STEADY % 2, (BROADCAST, PORT))
    assert slept(transport) == [STEADY % 2]


@pytest.mark.flood
def test_what_comes_faster_than_one_reading_waits_no_longer(pair):
    """One reading takes 128: at 600 a second a pause brings four times as many."""
    transport, sender = pair
    many = 2400

    def speak():
        for number in range(many):
            sender.sendto(STEADY % number, (BROADCAST, PORT))
            select.select([], [], [], 1 / 600)

    speaking = threading.Thread(target=speak)
    speaking.start()
    came, delays, deadline = 0, [], time.monotonic() + 20
    while came < many and time.monotonic() < deadline:
        found, asked = listen(transport, 5.0, is_calm=True).datagrams, boottime()
        while transport.heard_until < asked:  # as the driver does
            found += transport.read(is_calm=True).datagrams
        came += len(found)
        delays += [boottime() - arrived for _, _, arrived in found]
    speaking.join()
    assert came == many
    assert sorted(delays)[many // 2] < QUIET_PAUSE, "most wait no longer than in calm times"


def test_a_flood_keeps_the_parts_and_its_end_restores_them(pair):
    transport, sender = pair
    for known, share, passes in ((["10.77.0.2"], 0.0, True), (["10.77.0.9"], 0.0, False), ([], 1.0, True)):
        assert transport.sample(known, share) is None
        sender.sendto(STEADY % 1, (BROADCAST, PORT))
        assert slept(transport) == [STEADY % 1] * passes
        sender.sendto(PROMPT, (BROADCAST, PORT))
        assert [one for one, _, _ in listen(transport, 5.0 if passes else 0.3, is_calm=True, pause=30.0).datagrams] == [PROMPT] * passes


def test_without_a_filter_one_socket_gets_all(lab, monkeypatch):
    def refuse(receiver, known=(), share=1.0, portion="every"):
        if portion != "every":
            raise PermissionError(1, "Operation not permitted")
        set_filter(receiver, known, share)

    monkeypatch.setattr(quiet, "set_filter", refuse)
    a, b = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in ((1, "a"), (2, "b")))
    with opened(a) as transport, b.namespace(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.bind(("", PORT))
        until_stamped(transport, sender)
        for datagram in (STEADY % 1, PROMPT):
            sender.sendto(datagram, (BROADCAST, PORT))
            assert [one for one, _, _ in listen(transport, 5.0, is_calm=True).datagrams] == [datagram]
        with a.namespace(), pytest.raises(OSError, match="3400 is taken by"):
            UdpTransport(Parameters(last_will=False)).open()


def test_where_one_family_has_no_quiet_socket_all_wakes(lab, monkeypatch):
    """The driver reads by itself only what each family lets wait."""

    def refuse(receiver, known=(), share=1.0, portion="every"):
        if portion != "every" and receiver.family == socket.AF_INET6:
            raise PermissionError(1, "Operation not permitted")
        set_filter(receiver, known, share, portion)

    monkeypatch.setattr(quiet, "set_filter", refuse)
    a, b = (lab.host(name, address=f"10.77.0.{last}/24", ipv6=True) for last, name in ((1, "a"), (2, "b")))
    with opened(a) as transport, b.namespace(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.bind(("", PORT))
        assert not transport.has_quiet_socket
        until_stamped(transport, sender)
        for number in range(3):
            sender.sendto(STEADY % number, (BROADCAST, PORT))
            assert [one for one, _, _ in listen(transport, 20.0, is_calm=True, pause=20.0).datagrams] == [STEADY % number]


def test_both_sockets_tell_the_moments_that_one_would(lab, monkeypatch):
    hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/24") for last in (1, 2, 3)]
    with opened(hosts[0]) as parted:
        monkeypatch.setattr(quiet, "SO_TIMESTAMPNS", socket.SO_BROADCAST + 1000)  # no such option: one socket
        with opened(hosts[1]) as whole, hosts[2].namespace(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind(("", PORT))
            for transport in (parted, whole):
                until_stamped(transport, sender)
            while listen(parted, 0.1, is_calm=True).datagrams:
                pass
            told = {parted: [], whole: []}
            for number in range(100):
                sender.sendto(STEADY % number if number % 5 else PROMPT, (BROADCAST, PORT))
                time.sleep(0.01)
                told[whole] += listen(whole, 0, is_calm=True).datagrams
            for transport, found in told.items():
                found += hear(transport, 100 - len(found))
    assert [one for one, _, _ in told[parted]] == [one for one, _, _ in told[whole]]
    for (_, _, late), (_, _, soon) in zip(told[parted], told[whole], strict=True):
        assert abs(late - soon) < 0.005 * BUSY


BINDS = """
import json, os, socket, sys, time
os.setuid(65534)
os.set_blocking(0, False)
tried, won = [], []
print("ready", flush=True)
while True:
    try:
        if not os.read(0, 1): break
    except BlockingIOError: pass
    for options in ((), ("SO_REUSEPORT",), ("SO_REUSEADDR",), ("SO_REUSEPORT", "SO_REUSEADDR")):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for option in options: other.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
            try: other.bind(("0.0.0.0", 3400))
            except OSError: tried.append(time.monotonic())
            else: won.append(time.monotonic())
print(json.dumps([tried, won]))
"""


def test_another_user_never_shares_the_port(lab, monkeypatch):
    host, held, bind = lab.host("a", address=f"{ADDRESS}/24"), [], udp_socket.bind

    def noting(*given, **options):
        bound = bind(*given, **options)
        held.append([time.monotonic()])
        return bound

    monkeypatch.setattr(udp_socket, "bind", noting)
    other = host.popen(sys.executable, "-c", BINDS, stdin=-1, stdout=-1)
    assert other.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while len(held) < 100 and time.monotonic() < deadline:
        with suppress(OSError), opened(host, families=("ipv4",)):  # the other may have the port at that moment
            select.select([other.stdout], [], [], 0.005)  # it says something only when it ends
            held[-1].append(time.monotonic())
    tried, won = json.loads(other.communicate(timeout=20)[0])
    assert len(held) == 100
    for begin, end in held:
        assert not [moment for moment in won if begin < moment < end]
    assert sum(begin < moment < end for begin, end in held for moment in tried) > 100
