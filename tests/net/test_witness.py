"""The witness: it sends the will when the process that left it is gone, and nothing after an orderly end."""

import errno
import os
import select
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

from discoveryd.net.quiet import bind_both
from discoveryd.net.sockets import free_port
from discoveryd.net.udp import UdpTransport
from discoveryd.net.udp_socket import bind
from discoveryd.net.witness import IGNORED, Parcel, Witness
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from tests.stopping import stop

PATIENCE = 5.0


@pytest.fixture
def ear():
    """Give a socket that hears wills."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(PATIENCE)
        yield ear


def parcel(ear, datagram=b"WILL"):
    address, port = ear.getsockname()
    return Parcel(datagram, address, address, port, 0, b"")


def daemon(act, bound=()):
    """Fork a process that has a witness and does `act`, and waits; give its pid, its port, and the pid of the witness."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        if not bound:
            bound = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
            bound[0].bind(("127.0.0.2", 0))
        witness = Witness()
        witness.fork(bound)
        act(witness)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        os.write(write, f"{bound[-1].getsockname()[1]} {children}".encode())
        select.select([], [], [], PATIENCE)
        os._exit(1)
    os.close(write)
    port, witness = map(int, os.read(read, 100).split())
    os.close(read)
    return pid, port, witness


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def ended(pid):
    """Wait until a process that is no child of ours is gone."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], PATIENCE)[0])
    finally:
        os.close(watched)


def test_a_kill_sends_the_newest_will_three_times(ear):
    wills = [parcel(ear, b"%d" % number * 400) for number in range(200)]  # more than the pipe takes at once

    def act(witness):
        for one in wills[:-1]:
            witness.leave([one])
        witness.leave([parcel(ear, b"a"), parcel(ear, b"b"), parcel(ear, b"c")])

    pid, port, witness = daemon(act)
    end(pid)
    heard = [ear.recvfrom(2048) for _ in range(3)]
    assert heard == [(name, ("127.0.0.2", port)) for name in (b"a", b"b", b"c")]
    assert ended(witness)


def test_pings_are_refused_from_the_first_will_on(ear):
    pid, port, witness = daemon(lambda witness: witness.leave([parcel(ear)] * 3))
    end(pid)
    ear.recv(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.2", port))
        asking.settimeout(PATIENCE)
        asking.send(b"PING")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(100)
    assert ended(witness)


def test_pings_are_refused_though_the_sockets_are_closed_late(ear):
    with ExitStack() as stack:  # in place of a daemon whose kernel closes the pipe first
        bound = bind_both(stack, free_port("0.0.0.0", "udp"), patience=0.0)
        assert len(bound) == 2
        pid, port, witness = daemon(lambda witness: witness.leave([parcel(ear)] * 3), bound)
        end(pid)
        ear.recv(100)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.1", port))
            asking.settimeout(PATIENCE)
            asking.send(b"PING")
            with pytest.raises(ConnectionRefusedError):
                asking.recv(100)
    assert ended(witness)


def test_sockets_that_came_later_speak_too(ear):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as late, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        for one in (late, other):
            one.bind(("::1", 0))
        other.settimeout(PATIENCE)
        will = Parcel(b"LATE", "::1", "::1", other.getsockname()[1], 0, b"")

        def act(witness):
            witness.leave([parcel(ear)])
            witness.hand([late])
            witness.leave([parcel(ear), will, will])

        pid, _, witness = daemon(act)
        end(pid)
        assert ear.recv(100) == b"WILL"
        assert [other.recvfrom(100)[:2] for _ in range(2)] == [(b"LATE", late.getsockname())] * 2
        assert ended(witness)


def test_signals_to_all_do_not_end_the_witness(ear):
    pid, _, witness = daemon(lambda witness: witness.leave([parcel(ear)] * 3))
    for number in IGNORED:
        os.kill(witness, number)
    end(pid)
    assert ear.recv(100) == b"WILL"


def test_an_orderly_end_sends_nothing(ear):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        witness = Witness()
        assert witness.state == "off"
        witness.fork([bound])
        witness.leave([parcel(ear)])
        assert witness.state == "watching"
        witness.close()
        witness.close()
        assert witness.state == "off"
    ear.setblocking(False)
    with pytest.raises(BlockingIOError):
        ear.recv(100)


def test_a_witness_that_was_stopped_is_killed_at_the_end(ear):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        witness = Witness()
        witness.fork([bound])
        [child] = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        stop(child)
        for _ in range(3):
            witness.leave([parcel(ear, b"x" * 1000)] * 400)  # the pipe is full, and nobody waits for it
        witness.close()
        assert ended(child)


def test_a_witness_that_was_killed_is_dead(ear):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        witness = Witness()
        witness.fork([bound])
        [child] = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        os.kill(child, signal.SIGKILL)
        assert ended(child)
        assert witness.state == "dead"
        witness.leave([parcel(ear)])
        witness.close()


def test_a_transport_has_a_witness_where_it_is_wanted():
    parameters = Parameters(loopback="127.0.0.2", port=free_port("127.0.0.2", "udp"), last_will=True)
    transport = UdpTransport(parameters)
    transport.open()
    try:
        [link] = transport.rescan(("*",))
        sends = [Send(b"WILL", link, link.broadcast, limited=True)]
        assert (transport.witness, transport.leave_will([sends, sends])) == ("watching", 2)
    finally:
        transport.close()
    assert (transport.witness, transport.leave_will([])) == ("off", 0)


def test_a_family_that_is_added_has_wills_at_once():
    parameters = Parameters(port=free_port("0.0.0.0", "udp"), families=("ipv4",), last_will=True)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ear:
        ear.bind(("::1", 0))
        ear.settimeout(PATIENCE)
        will = [Send(b"WILL", None, "::1", port=ear.getsockname()[1])]
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            transport = UdpTransport(parameters)
            transport.open()
            transport.rescan(("none*",), ("ipv4", "ipv6"))
            os.write(write, b"%d" % transport.leave_will([will, will]))
            select.select([], [], [], PATIENCE)
            os._exit(1)
        os.close(write)
        assert os.read(read, 9) == b"2"
        os.close(read)
        end(pid)
        assert [ear.recvfrom(100)[1][:2] for _ in range(2)] == [("::1", parameters.port)] * 2


def test_a_taken_port_is_tried_again_for_a_while():
    with ExitStack() as stack, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.2", 0))
        port = holder.getsockname()[1]
        with pytest.raises(OSError, match="taken by") as caught:
            bind(stack, "127.0.0.2", port, patience=0.05)
        assert caught.value.errno == errno.EADDRINUSE
        release = Timer(0.05, holder.close)
        release.start()
        assert bind(stack, "127.0.0.2", port, patience=PATIENCE).getsockname()[1] == port
        release.join()
