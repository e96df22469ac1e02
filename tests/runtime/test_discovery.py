"""Discovery with its threads and real sockets, on loopback."""

import errno
import os
import socket
import struct
import threading
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from random import Random
from time import monotonic

import pytest

from discoveryd.errors import ConfigError, QueryError
from discoveryd.net import udp as links_module
from discoveryd.net.interfaces import loopback
from discoveryd.net.query_client import QueryClient
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.record import Service
from discoveryd.runtime import discovery, receiver
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.pings import MOST_REQUESTS
from tests.conftest import BUSY, descriptors
from tests.ear import Ear, fields, is_goodbye
from tests.runtime.waiting import WAIT, wait_for

# --- two nodes ----------------------------------------------------------------------------------------


def test_two_nodes_find_each_other_at_once(make):
    anna, bert = make("anna", interval=4.0, ttl=20.0), make("bert", interval=4.0, ttl=20.0)
    told = [one.subscribe() for one in (anna, bert)]
    began = monotonic()
    anna.start()
    bert.start()
    assert wait_for(told[0], "joined").peer.name == "bert"
    assert wait_for(told[1], "joined").peer.name == "anna"
    assert monotonic() - began < 3.5  # a newcomer does not wait for the next beat
    [peer] = anna.peers()
    assert (peer.id, peer.name, peer.state, peer.address, peer.link) == ("id-bert", "bert", "up", "127.0.0.3", "lo")


def test_a_goodbye_is_seen_at_once_and_stays_on_record(make):
    anna, bert = make("anna"), make("bert")
    told = anna.subscribe()
    anna.start()
    bert.start()
    wait_for(told, "joined", "bert")
    began = monotonic()
    stopper = threading.Thread(target=bert.stop, args=("reboot",))
    stopper.start()
    event = wait_for(told, "left")
    assert (event.reason, event.peer.goodbye_reason) == ("said goodbye: reboot", "reboot")
    assert monotonic() - began < 1.0 * BUSY
    assert anna.peers() == ()
    assert [peer.state for peer in anna.peers(gone=True)] == ["left"]
    stopper.join(WAIT)


def test_after_the_goodbye_nothing_is_sent(make, port):
    """A HELLO behind it would bring a peer back that has gone."""
    with Ear(port) as ear:
        anna = make("anna", interval=0.05, ttl=1.0)
        anna.start()
        for _ in range(5):
            assert ear.hear()
        anna.stop()
        said = [datagram for datagram, _ in ear.rest()]
    farewell = said[-3:]
    assert all(map(is_goodbye, farewell))
    assert not any(map(is_goodbye, said[:-3]))


def test_a_peer_that_falls_silent_goes_down_by_itself(make, port):
    anna = make("anna")
    told = anna.subscribe()
    anna.start()
    boot = "0123456789abcdef"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.77", port))
        sender.sendto(f"HELLO|2|default|mute|{boot}|100|200||{boot}|1".encode(), ("127.0.0.2", port))
        began = monotonic()
        assert wait_for(told, "joined").peer.id == "mute"
        assert wait_for(told, "down").peer.id == "mute"
    assert 0.15 < monotonic() - began < 2.0
    assert anna.peers() == ()


def test_one_of_two_nodes_under_one_boot_draws_another(make, monkeypatch):
    monkeypatch.setattr(discovery, "BufferedRandom", lambda: Random(1))
    notes = SimpleQueue()
    twins = [make("twin", notify=notes.put), make("twin", notify=notes.put)]
    boots = [one.status()["node"]["boot"] for one in twins]
    told = [one.subscribe() for one in twins]
    for one in twins:
        one.start()
    for one in told:
        assert wait_for(one, "joined").peer.clone  # its name may come later
    assert boots[0] == boots[1]
    assert twins[0].status()["node"]["boot"] != twins[1].status()["node"]["boot"]
    notice = next(note for note in iter(lambda: notes.get(timeout=WAIT), None) if "boot" in note.text)
    assert notice.level == "warning"
    assert notice.fields["address"] in {one.status()["new_boots"]["address"] for one in twins}


def test_a_changed_record_is_seen_by_the_other(make):
    anna, bert = make("anna"), make("bert")
    told = anna.subscribe()
    anna.start()
    bert.start()
    wait_for(told, "joined", "bert")
    bert.set_record(name="berta", tags={"role": "gpu"}, services=[Service(name="http", port=80)])
    peer = wait_for(told, "updated", "berta").peer
    assert (dict(peer.tags), [service.name for service in peer.services]) == ({"role": "gpu"}, ["http"])
    with pytest.raises(ConfigError):
        bert.set_record(name="b" * 65, tags={}, services=())
    assert bert.status()["node"]["name"] == "berta"


def test_a_node_is_called_as_its_machine_is_now(make, monkeypatch):
    called, notes = ["bert"], []
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": called[0]}))
    anna, bert = make("anna"), make(None, notify=notes.append)
    told = anna.subscribe()
    anna.start()
    bert.start()
    wait_for(told, "joined")
    called[0] = "ber\udcff"
    wait_for(told, "updated", "ber-")
    bert.set_record(name="kai", tags={}, services=())
    wait_for(told, "updated", "kai")
    called[0] = "dora"
    bert.set_record(name=None, tags={"role": "gpu"}, services=())
    peer = wait_for(told, "updated", "dora").peer
    assert dict(peer.tags) == {"role": "gpu"}
    fields = {"name": "ber-", "former": "bert", "why": notes[-1].fields["why"]}
    assert [(note.level, note.fields) for note in notes if "name" in note.text] == [("warning", fields)]


def test_a_machine_name_that_does_not_fit_leaves_the_former_one(make, monkeypatch):
    called, notes = ["b"], SimpleQueue()
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": called[0]}))
    tags = {f"tag{number}": "x" * 200 for number in range(3)}
    bert = make(None, notify=notes.put)
    bert.set_record(name=None, tags=tags, services=())
    bert.start()
    called[0] = "b" * 64
    notice = next(one for one in iter(lambda: notes.get(timeout=WAIT), None) if "name" in one.text)
    assert (notice.level, bert.status()["node"]["name"]) == ("warning", "b")
    assert "more than the 700 that fit into a HELLO" in notice.fields["why"]


def test_changed_parameters_are_seen_by_the_other(make, port):
    anna, bert = make("anna"), make("bert")
    told = anna.subscribe()
    with Ear(port) as ear:
        anna.start()
        bert.start()
        wait_for(told, "joined", "bert")
        bert.set_parameters(replace(bert.parameters, interval=0.1, ttl=0.7))
        ear.until(lambda: [peer.ttl_s for peer in anna.peers()] == [0.7])
        assert [peer.interval_s for peer in anna.peers()] == [0.1]


def test_another_interval_takes_effect_at_once(make, port):
    """Not after the long one that was in force."""
    with Ear(port) as ear:
        anna = make("anna", interval=60.0, ttl=300.0)
        anna.start()
        anna.set_parameters(replace(anna.parameters, interval=0.05, ttl=4.0))
        ear.until(lambda: int(fields(ear.hear()[0])[9]) > 3)


def test_a_ping_measures_the_round_trip(make):
    anna, bert = make("anna"), make("bert")
    told = anna.subscribe()
    anna.start()
    bert.start()
    wait_for(told, "joined", "bert")
    heard = bert.subscribe()
    if not heard.peers:
        wait_for(heard, "joined", "anna")
    result = anna.ping("bert", count=3)
    assert (result.sent, len(result.rtt_ms), result.peer.two_way) == (3, 3, True)
    assert all(0 < rtt < 1000 for rtt in result.rtt_ms)
    assert result.hears_us_s < 4.0
    assert 0 < anna.peers()[0].rtt_ms <= max(result.rtt_ms) * 2  # smoothed, and pinged in turn besides


def test_a_ping_of_an_unknown_or_bare_peer_is_refused(make, port):
    anna = make("anna")
    told = anna.subscribe()
    anna.start()
    with pytest.raises(QueryError, match="no peer has the name") as caught:
        anna.ping("nobody")
    assert caught.value.code == "not_found"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as simple:
        simple.bind(("127.0.0.77", 0))
        simple.sendto(b"HELLO|", ("127.0.0.2", port))
        wait_for(told, "joined")
        with pytest.raises(QueryError, match="bare peer"):
            anna.ping("127.0.0.77")


def test_a_ping_without_an_answer_ends(make, port):
    anna = make("anna")
    told = anna.subscribe()
    anna.start()
    boot = "0123456789abcdef"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.77", port))
        mute.sendto(f"HELLO|2|default|mute|{boot}|800|4000||{boot}|1".encode(), ("127.0.0.2", port))
        wait_for(told, "joined")
        result = anna.ping("mute", count=2, timeout=0.05)
    assert (result.sent, result.rtt_ms, result.hears_us_s) == (2, (), None)


def has_room_for_pings(discovery, peer):
    """Return whether no request is under way: as many as are allowed may be begun."""
    with ExitStack() as begun:
        try:
            for _ in range(MOST_REQUESTS):
                begun.callback(discovery.begin_ping(peer, count=100, timeout=60.0, done=lambda _: None))
        except QueryError:
            return False
    return True


def test_pings_begun_and_abandoned_end_with_their_connections(make, port):
    anna = make("anna", query=("127.0.0.1", 0))
    told = anna.subscribe()
    anna.start()
    boot = "0123456789abcdef"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.77", port))
        mute.sendto(f"HELLO|2|default|mute|{boot}|60000|600000||{boot}|1".encode(), ("127.0.0.2", port))
        wait_for(told, "joined")
        before = anna.status()["sent"]["ping"]
        for _ in range(200):
            with socket.create_connection(anna.query_address, timeout=10) as asking:
                asking.recv(4096)
                asking.sendall(b'{"op":"ping","peer":"mute","count":100,"timeout_s":60}\n')
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        deadline = monotonic() + 10.0
        while not has_room_for_pings(anna, "mute"):
            assert monotonic() < deadline, "requests outlive their connections"
        sent = anna.status()["sent"]["ping"] - before
        assert sent <= 200, "one for each at most"


# --- links --------------------------------------------------------------------------------------------


def counted_scans(monkeypatch):
    """Give a queue that gets the time of each scan."""
    scans, rescan_real = SimpleQueue(), UdpTransport.rescan
    monkeypatch.setattr(UdpTransport, "rescan", lambda *given: (scans.put(monotonic()), rescan_real(*given))[1])
    return scans


def test_a_scan_after_other_parameters_is_by_these(make, monkeypatch):
    given = SimpleQueue()
    monkeypatch.setattr(UdpTransport, "rescan", lambda _, *wanted: (given.put(wanted), ())[1])
    anna = make("anna")
    anna.start()
    assert given.get(timeout=WAIT) == (("*",), ("ipv4",))  # loopback has no more
    anna.set_parameters(replace(anna.parameters, interfaces=("eth1",)))
    assert given.get(timeout=WAIT) == (("eth1",), ("ipv4",))


def test_without_netlink_it_scans_by_time_and_says_so(make, monkeypatch):
    def refuse():
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(links_module, "doorbell", refuse)
    monkeypatch.setattr(receiver, "PERIOD_UNTOLD", 0.02)
    scans = counted_scans(monkeypatch)
    notices = SimpleQueue()
    anna = make("anna", notify=notices.put)
    anna.start()
    for _ in range(4):
        scans.get(timeout=WAIT)
    texts = []
    while "no netlink: interfaces are looked at by time alone" not in texts:
        texts.append(notices.get(timeout=WAIT).text)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EIO])
def test_unreadable_interfaces_are_told_once_and_read_again(make, monkeypatch, number):
    fails = True

    def read(address):
        if fails:
            raise OSError(number, os.strerror(number))
        return loopback(address)

    monkeypatch.setattr(receiver, "SCAN_RETRY", 0.01)
    monkeypatch.setattr(links_module, "loopback", read)
    notices, scans = SimpleQueue(), counted_scans(monkeypatch)
    anna = make("anna", notify=notices.put)
    anna.start()
    notice = notices.get(timeout=WAIT)
    assert (notice.level, notice.text) == ("warning", "interfaces cannot be read: the links stay as they are")
    assert notice.fields["error"] == f"{errno.errorcode[number]}: {os.strerror(number)}"
    assert (anna.status()["links"], anna.status()["scan_error"]) == ([], notice.fields["error"])
    for _ in range(5):
        scans.get(timeout=WAIT)
    fails = False
    assert [notices.get(timeout=WAIT).text for _ in range(2)] == ["link up", "interfaces can be read again"]
    assert anna.status()["scan_error"] is None


def test_without_a_thread_the_start_fails_and_nothing_is_open(make, monkeypatch):
    started, real = [], threading.Thread.start

    def refuse(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    anna, before = make("anna", query=True), descriptors()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="cannot start the thread"):
        anna.start()
    assert not any(thread.is_alive() for thread in started)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("make_wrong", "told"),
    [
        (lambda: Discovery(services="http"), "services: must be several Service"),
        (lambda: Discovery(services=["http"]), "services: must be several Service"),
        (lambda: Discovery(services=7), "services: must be several Service"),
        (lambda: Discovery(name=7), "name: must be a text or None, not 7"),
        (lambda: Discovery(tags=["a"]), "tags: must be a mapping of text to text"),
        (lambda: Discovery(keyring="secret.key"), "keyring: must be a Keyring"),
        (lambda: Discovery(query="127.0.0.1:3400"), "query: must be a host and a port of 0 to 65535"),
        (lambda: Discovery(metrics=("127.0.0.1", 65536)), "metrics: must be a host and a port of 0 to 65535"),
        (lambda: Discovery({"port": 1}), "parameters: must be a Parameters or None"),
        (lambda: Client("127.0.0.1:3400"), "address: must be a host and a port of 1 to 65535"),
        (lambda: Client(("127.0.0.1", True)), "address: must be a host and a port of 1 to 65535"),
        (lambda: QueryClient(3400), "address: must be a host and a port of 1 to 65535"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_at_once(make_wrong, told):
    with pytest.raises(ConfigError, match=told):
        make_wrong()


def test_parameters_tell_what_is_in_force(make, port):
    anna = make("anna")
    wanted = Parameters(port=port + 1, realm="other", loopback="127.0.0.99", interval=0.1, ttl=5.0)
    anna.set_parameters(wanted)
    in_force = anna.parameters
    assert (in_force.port, in_force.realm, in_force.loopback) == (port, "default", "127.0.0.2")
    assert (in_force.interval, in_force.ttl) == (0.1, 5.0)
    status = anna.status()
    assert (status["hello"]["port"], status["node"]["realm"]) == (port, "default")
