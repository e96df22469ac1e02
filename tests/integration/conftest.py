"""Daemons of a test, and a node of this process that watches them come and go."""

from time import monotonic

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from tests.integration.process import Daemon


@pytest.fixture
def port():
    return free_port("127.0.0.1", "udp")


@pytest.fixture
def make(tmp_path, port):
    """Describe daemons, each at an address of its own; they are killed at the end."""
    made = []

    def make(**options):
        number = options.pop("number", 2 + len(made))
        daemon = Daemon(tmp_path, number, options.pop("port", port), **options)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.close()


class Observer:
    """A node of this process: what it sees is how a test knows what a daemon did."""

    def __init__(self, port):
        self.discovery = Discovery(Parameters(port=port, loopback="127.0.0.200"), name="observer", node_id="observer")
        self._events = self.discovery.subscribe()

    def until(self, kind, condition=lambda _: True, timeout=10.0):
        """Wait for an event of a kind, and give its peer."""
        deadline = monotonic() + timeout
        while (left := deadline - monotonic()) > 0:
            event = self._events.get(timeout=left)
            if event is not None and event.kind == kind and condition(event.peer):
                return event.peer
        raise AssertionError(f"no {kind} within {timeout:g} s")


@pytest.fixture
def observer(port):
    found = Observer(port)
    with found.discovery:
        yield found
