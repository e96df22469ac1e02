"""Nodes with real sockets on loopback."""

from contextlib import ExitStack

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.net.stamps import boottime
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery


@pytest.fixture
def port():
    return free_port("127.0.0.1", "udp")


@pytest.fixture
def make(port):
    """Make nodes that share a port of loopback; they are stopped at the end."""
    made = []

    def make(name="anna", *, number=None, query=False, notify=None, clock=boottime, **parameters):
        address = f"127.0.0.{number or 2 + len(made)}"
        parameters.setdefault("interval", 0.05)
        parameters.setdefault("ttl", 4.0)
        discovery = Discovery(
            Parameters(port=port, loopback=address, **parameters),
            name=name, node_id=f"id-{name}", query=(address, 0) if query is True else query or None,
            notify=notify, clock=clock,
        )  # fmt: skip
        made.append(discovery)
        return discovery

    with ExitStack() as stack:
        yield make
        for discovery in made:
            stack.callback(discovery.stop)
