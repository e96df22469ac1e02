"""A service that a program has announced: while it wants, and again after each restart of the daemon."""

import pytest

from discoveryd.errors import ConfigError, QueryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import Service
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from tests.control import TOKEN, Control
from tests.runtime.test_fork import in_child
from tests.runtime.waiting import wait_for

PATIENCE = 10.0
RENDER = Service(name="render", port=9000)


@pytest.fixture
def ports():
    return free_port("127.0.0.1", "udp"), free_port("127.0.7.1", "tcp")


@pytest.fixture
def make(ports):
    running = []

    def make(name="anna", number=1, **limits):
        parameters = Parameters(port=ports[0], loopback=f"127.0.7.{number}", interval=0.1, limits=Limits(**limits))
        made = Discovery(parameters, name=name, node_id=name, query=(f"127.0.7.{number}", ports[1]), control=Control())
        made.start()
        running.append(made)
        return made

    yield make
    for one in running:
        one.stop()


@pytest.fixture
def client(ports):
    with Client(("127.0.7.1", ports[1]), token=lambda: TOKEN) as made:
        yield made


def services(node):
    return node.look(lambda engine, _: [service.name for service in engine.record.services])


def test_a_service_is_announced_until_it_is_closed(make, client):
    make()
    with make("bert", 2).subscribe() as events:
        registration = client.register(RENDER)
        assert registration.wait(PATIENCE)
        assert (registration.is_registered, registration.last_error) == (True, "")
        while "render" not in [service.name for service in wait_for(events, "updated", "anna").peer.services]:
            pass
        registration.close()
        registration.close()
        assert not registration.is_registered
        while wait_for(events, "updated", "anna").peer.services:
            pass


def test_the_daemon_may_come_later_and_come_again(make, client):
    registration = client.register(RENDER)
    assert not registration.wait(0.05)
    first = make()
    assert registration.wait(PATIENCE)
    first.stop()
    second = make("berta")
    while not services(second):
        registration.wait(0.01)
    assert registration.wait(PATIENCE)


def test_the_end_of_the_client_ends_what_it_registered(make, ports):
    node = make()
    with Client(("127.0.7.1", ports[1]), token=lambda: TOKEN) as client:
        assert client.register(RENDER).wait(PATIENCE)
        assert client.register(Service(name="web", port=80)).wait(PATIENCE)
        assert services(node) == ["render", "web"]
    while services(node):
        pass


def test_a_refusal_is_told_and_tried_again(make, client, ports):
    node = make(registrations=1)
    first = client.register(RENDER)
    assert first.wait(PATIENCE)
    second = client.register(Service(name="web", port=80))
    with pytest.raises(QueryError, match="1 services are registered already"):
        second.wait(PATIENCE)
    first.close()
    while services(node) != ["web"]:
        pass


def test_without_the_token_it_is_denied(make, ports):
    make()
    with Client(("127.0.7.1", ports[1])) as client, pytest.raises(QueryError, match="needs a proof of the control token"):
        client.register(RENDER).wait(PATIENCE)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_a_forked_child_it_is_the_parents(make, client):
    node = make()
    registration = client.register(RENDER)
    assert registration.wait(PATIENCE)
    assert "belongs to process" in in_child(lambda: registration.is_registered)
    assert in_child(registration.close) == "None"
    assert services(node) == ["render"]
    assert registration.is_registered


def test_what_is_no_service_is_refused_at_once(client):
    with pytest.raises(ConfigError, match="service: must be a Service"):
        client.register({"name": "x", "port": 1})
