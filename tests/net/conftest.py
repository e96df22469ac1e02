"""Transports on loopback, with plain sockets beside them; and a query server."""

import socket

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.parameters import Parameters
from tests.net.query_stage import Server

PATTERNS = ("*",)


def stranger(address="127.0.0.9", port=0):
    """Give a socket that belongs to no transport."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    found.bind((address, port))
    return found


@pytest.fixture
def port():
    return free_port("127.0.0.1", "udp")


@pytest.fixture
def make(port):
    """Open transports at own addresses of loopback, all on one port."""
    made = []

    def make(address="127.0.0.2", **parameters):
        transport = UdpTransport(Parameters(port=port, loopback=address, **parameters))
        made.append(transport)
        transport.open()
        transport.rescan(PATTERNS)
        return transport

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def unprivileged(monkeypatch):
    """Be without CAP_NET_ADMIN, as the service is; give the largest receive buffer that the kernel allows then."""
    monkeypatch.setattr("discoveryd.net.udp_socket.SO_RCVBUFFORCE", 0x7FFF)
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        return int(file.read())


@pytest.fixture
def server():
    """Return a query server that runs, with the default limits."""
    with Server() as server:
        yield server
