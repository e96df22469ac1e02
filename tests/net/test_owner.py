"""Whose the other end of a connection is, asked of the kernel both ways."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from discoveryd.net import owner
from discoveryd.net.owner import UNKNOWN, holder, owner_of
from tests.conftest import no_descriptors

AS_NOBODY = """
import os, socket, sys
if os.getuid() == 0:
    os.setuid(12345)
with socket.socket() as connection:  # create_connection would import more, which nobody may read
    connection.connect(("127.0.0.1", int(sys.argv[1])))
    print(os.getuid(), flush=True)
    connection.recv(1)
"""


@contextmanager
def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        with near, far:
            yield near, far


@pytest.fixture(params=["netlink", "list"])
def way(request, monkeypatch):
    """Ask the kernel, or let it refuse to be asked, as in a sandbox."""
    if request.param == "list":

        def refuse(*_):
            raise OSError("no netlink here")

        monkeypatch.setattr(owner, "_query_kernel", refuse)
    return request.param


@pytest.mark.usefixtures("way")
def test_a_program_of_this_user():
    with connected() as (near, far):
        assert owner_of(far) == f"uid {os.getuid()}"
        assert owner_of(near) == f"uid {os.getuid()}"


@pytest.mark.usefixtures("way")
def test_a_program_of_another_user():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = str(listener.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", AS_NOBODY, port], stdout=subprocess.PIPE, text=True) as program:
            far, _ = listener.accept()
            with far:
                assert f"uid {program.stdout.readline().strip()}" == owner_of(far)
            program.wait(10)


@pytest.mark.usefixtures("way")
def test_one_that_was_closed_is_nobodys_and_not_roots():
    with connected() as (near, far):
        near.send(b"x")
        near.close()
        assert owner_of(far) == UNKNOWN


def test_one_that_is_gone():
    with connected() as (_, far):
        far.close()
        assert owner_of(far) == UNKNOWN


def test_the_kernel_is_asked_rather_than_the_list(monkeypatch):
    monkeypatch.setattr(owner, "LIST", "/nowhere")
    with connected() as (_, far):
        assert owner_of(far) == f"uid {os.getuid()}"


def test_where_nothing_can_be_asked(monkeypatch):
    monkeypatch.setattr(owner, "LIST", "/nowhere")
    monkeypatch.setattr(owner, "NETLINK_SOCK_DIAG", 31)
    with connected() as (_, far):
        assert owner_of(far) == UNKNOWN


class Elsewhere:
    """A connection with another machine."""

    def getsockname(self):
        return ("10.0.0.1", 3400)

    def getpeername(self):
        return ("10.0.0.7", 40000)


def test_another_machine_is_known_by_its_address():
    assert owner_of(Elsewhere()) == "10.0.0.7"


def me():
    with open("/proc/self/comm", encoding="utf-8") as name:
        return f"{name.read().strip()} (pid {os.getpid()})"


def test_holder_names_the_process():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        assert holder(tcp.getsockname()[1], kind="tcp") is None, "nobody listens"
        tcp.listen()
        assert holder(port) == me()
        assert holder(tcp.getsockname()[1], kind="tcp") == me()
        assert holder(port, address="127.0.0.1") == me()
        assert holder(port, address="127.0.0.2") is None, "that one is free"
    assert holder(port) is None


@pytest.mark.parametrize("place", ["::", "::ffff:127.0.0.1"])
def test_holder_sees_a_socket_of_ipv6_that_takes_ipv4_too(place):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        udp.bind((place, 0))
        assert holder(udp.getsockname()[1], address="127.0.0.1") == me()


def test_holder_that_cannot_be_found_is_none():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        with no_descriptors():
            assert holder(port) is None
        assert holder(port) == me()
