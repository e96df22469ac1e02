"""The mirror of a daemon, against a real query socket."""

import re
import threading
from time import monotonic

import pytest

from discoveryd.errors import ConfigError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.peer import Change
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from tests.conftest import no_descriptors
from tests.ctl.played import Daemon, event, snapshot
from tests.query.samples import peer
from tests.runtime.waiting import wait_for

PATIENCE = 10.0


@pytest.fixture
def port():
    return free_port("127.0.0.1", "udp")


@pytest.fixture
def make(port):
    """Make started nodes on loopback; those still running are stopped."""
    running = []

    def make(name, last, query=None, **options):
        address = f"127.0.9.{last}"
        parameters = Parameters(loopback=address, port=port, interval=0.1, ttl=0.5)
        where = None if query is None else (address, query)
        discovery = Discovery(parameters, name=name, node_id=name, query=where, **options)
        discovery.start()
        running.append(discovery)
        return discovery

    yield make
    for discovery in running:
        discovery.stop()


def named(*names):
    return lambda peers: {peer.name for peer in peers} == set(names)


def test_it_mirrors_peers_and_publishes_events(make):
    a = make("a", 1, query=0)
    with Client(a.query_address) as client:
        events = client.subscribe()
        b = make("b", 2, tags={"role": "gpu"})
        (peer,) = client.wait_for(named("b"), PATIENCE)
        assert client.is_connected
        assert (peer.address, dict(peer.tags), peer.state) == ("127.0.9.2", {"role": "gpu"}, "up")
        b.set_record(name="b", tags={"role": "cpu"}, services=())
        assert client.wait_for(lambda peers: peers and peers[0].tags["role"] == "cpu", PATIENCE)
        b.stop()
        assert client.wait_for(named(), PATIENCE) == ()
        kinds = [events.get(PATIENCE).kind for _ in range(3)]
        assert kinds == ["joined", "updated", "left"]
    assert events.get(PATIENCE) is None
    assert events.is_over


def test_without_a_free_descriptor_it_connects_later(make):
    a = make("a", 1, query=0)
    make("b", 2)
    client = Client(a.query_address)
    with no_descriptors():
        client.start()
        deadline = monotonic() + PATIENCE
        while not client.last_error:
            assert monotonic() < deadline
        assert not client.is_connected
    try:
        assert client.wait_for(named("b"), PATIENCE)
    finally:
        client.stop()


def test_what_is_there_already_comes_with_the_connection(make):
    a = make("a", 1, query=0)
    make("b", 2)
    with Client(a.query_address) as first:
        assert first.wait_for(named("b"), PATIENCE)
    with Client(a.query_address) as client:
        events = client.subscribe()
        assert client.wait_for(named("b"), PATIENCE)
        if not events.peers:  # connected after the subscription
            event = events.get(PATIENCE)
            assert (event.kind, event.peer.name) == ("joined", "b")


def test_it_waits_for_a_late_daemon_and_finds_it_again(make):
    port = free_port("127.0.9.1", "tcp")
    with Client(("127.0.9.1", port)) as client:
        assert client.wait_for(lambda _: bool(client.last_error), PATIENCE) == ()
        assert "no daemon answers" in client.last_error
        assert not client.is_connected
        a = make("a", 1, query=port)
        make("b", 2)
        assert client.wait_for(named("b"), PATIENCE)
        assert client.last_error == ""
        a.stop()
        assert client.wait_for(lambda _: not client.is_connected, PATIENCE) is not None
        # nobody refreshes b for us now: it is given for its ttl, and then no more
        make("a", 1, query=port)
        assert client.wait_for(lambda peers: client.is_connected and named("b")(peers), PATIENCE)


def test_without_the_daemon_peers_stay_for_their_ttl_only(make):
    now = [100.0]
    a = make("a", 1, query=0)
    make("b", 2)
    with Client(a.query_address, clock=lambda: now[0]) as client:
        assert client.wait_for(named("b"), PATIENCE)
        a.stop()
        assert client.wait_for(lambda _: not client.is_connected, PATIENCE) is not None
        now[0] += 0.49
        assert named("b")(client.peers())
        now[0] += 0.02
        assert client.peers() == ()


def test_ages_go_on():
    """The daemon vouches for a peer that is up: while it is connected such a peer is never overdue."""
    now = [100.0]
    suspect = peer(id="s", boot="s", state="suspect", last_heard_s=1.9, expires_s=2.1)
    with Daemon([snapshot(peer(), suspect)]) as daemon:
        client = Client(("127.0.0.1", int(daemon.address.rpartition(":")[2])), clock=lambda: now[0])
        with client:
            assert client.wait_connected(PATIENCE)
            for elapsed, heard, expires in ((0.5, 0.9, 3.1), (30.0, 1.6, 2.4)):
                now[0] = 100.0 + elapsed
                up, overdue = client.peers()
                assert up.first_seen_s == pytest.approx(720.0 + elapsed)
                assert (up.last_heard_s, up.expires_s) == pytest.approx((heard, expires))
                assert overdue.last_heard_s == pytest.approx(1.9 + elapsed)
            daemon.end()
            assert client.wait_for(lambda _: not client.is_connected, PATIENCE) is not None
            now[0] += 1.5
            up = client.peers()[0]
            assert (up.last_heard_s, up.expires_s) == pytest.approx((3.1, 0.9))


def test_waiting_for_the_daemon(make):
    client = Client(("127.0.9.1", port := free_port("127.0.9.1", "tcp")))
    with client:
        assert not client.wait_connected(0.05)
        make("a", 1, query=port)
        assert client.wait_connected(PATIENCE)
        assert client.is_connected
    assert not client.wait_connected(0)


def test_a_change_is_told(make):
    told = threading.Event()
    a = make("a", 1, query=0)
    with Client(a.query_address, changed=told.set) as client:
        assert told.wait(PATIENCE)
        assert client.wait_connected(PATIENCE)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: Client(("a", "b")), "address: must be a host and a port"),
        (lambda: Client(token="secret"), "token: must be a function, not 'secret'"),
        (lambda: Client(clock=5), "clock: must be a function, not 5"),
        (lambda: Client(changed=5), "changed: must be a function, not 5"),
        (lambda: Client().wait_for(5), "holds: must be a function, not 5"),
        (lambda: Client().register("http"), "service: must be a Service, such as Service"),
        (lambda: Discovery(notify=5), "notify: must be a function, not 5"),
        (lambda: Discovery(clock=5), "clock: must be a function, not 5"),
        (lambda: Discovery().ping("x", count=0), "count: must be 1 to 100, not 0"),
        (lambda: Discovery().ping("x", timeout=-1), "timeout: must be more than 0 s, and 60 s at most, not -1"),
        (lambda: Discovery().ping(5), "peer: must be a name, id or address, not 5"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_given(call, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        call()


def test_a_wait_that_is_in_vain(make):
    a = make("a", 1, query=0)
    with Client(a.query_address) as client:
        assert client.wait_for(named("nobody"), 0.05) is None


def test_stop_is_idempotent_legal_before_start_and_ends_a_wait():
    client = Client(("127.0.9.1", 9))
    client.stop()
    client.stop()
    client = Client(("127.0.9.1", 9))
    client.start()
    found = []
    waiting = threading.Thread(target=lambda: found.append(client.wait_for(named("nobody"))))
    waiting.start()
    client.stop()
    waiting.join(PATIENCE)
    assert found == [None]
    client.stop()


def test_a_mirror_without_its_thread_raises(make, monkeypatch):
    a = make("a", 1, query=0)
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    monkeypatch.setattr(Client, "_take", lambda self, line: 1 / 0)
    client = Client(a.query_address)
    client.start()
    with pytest.raises(RuntimeError, match="died"):
        client.wait_for(named("nobody"), PATIENCE)
    with pytest.raises(RuntimeError, match="died"):
        client.peers()
    client.stop()
    assert told[0].exc_type is ZeroDivisionError


def test_a_restart_removes_the_replaced_boot_and_no_clone():
    told = (("joined", "1", ""), ("clone", "2", ""), ("restarted", "3", "2"))
    lines = [{**event(kind, seq, boot=boot, clone=True), "former": former} for seq, (kind, boot, former) in enumerate(told, 8)]
    with Daemon([[*snapshot(), *lines]]) as daemon, Client(("127.0.0.1", int(daemon.address.rpartition(":")[2]))) as client:
        client.wait_for(lambda peers: {peer.boot for peer in peers} == {"1", "3"}, PATIENCE)


def test_what_changed_comes_with_the_event_whatever_more_it_has():
    change = {"what": "tag", "name": "role", "was": "db", "now": "cache"}
    lines = [event("joined", 8), {**event("updated", 9), "changes": [{**change, "since": 7}]}]
    with Daemon([[*snapshot(), *lines]]) as daemon:
        client = Client(("127.0.0.1", int(daemon.address.rpartition(":")[2])))
        events = client.subscribe()
        with client:
            found = wait_for(events, "updated", timeout=PATIENCE)
    assert found.changes == (Change("tag", "role", "db", "cache"),)


def test_a_restart_replaces_the_row(make, monkeypatch):
    a = make("a", 1, query=0)
    b = make("b", 2)
    with Client(a.query_address) as client:
        (before,) = client.wait_for(named("b"), PATIENCE)
        with monkeypatch.context() as crash:
            crash.setattr(Node, "goodbye", lambda *_: NOTHING)
            b.stop()
        make("b", 2)
        (after,) = client.wait_for(lambda peers: len(peers) == 1 and peers[0].boot != before.boot, PATIENCE)
        assert after.restarts == 1
