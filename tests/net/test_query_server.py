"""The query server with a backend that says what the test tells it to."""

import errno
import json
import os
import re
import resource
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.net import query_connection, sockets
from discoveryd.net import query_server as module
from discoveryd.net.query_server import QueryServer
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.peer import Peer
from discoveryd.query.proof import is_nonce
from discoveryd.query.reply import encode
from discoveryd.query.watch import Watch
from tests.conftest import descriptors

GREETING = {"discoveryd": "test"}


class Backend:
    """Answers as it is told; counts its rounds, so that a test can wait for one."""

    def __init__(self):
        self.list_answer = {"ok": True, "peers": []}
        self.snapshot = []
        self.seq = 0
        self.shown = set()
        self.asked = []
        self.pings = []
        self.reloads = []
        self.registered = {}
        self.released = []
        self.failure = None
        self._events = []
        self._rounds = 0
        self._round = threading.Condition()

    def greeting(self, nonce, *, is_stranger):
        return encode({"token": True} if is_stranger else GREETING)

    def allow(self, request, nonce):
        assert is_nonce(nonce)
        if request.proof != "secret":
            raise QueryError("denied", "no")

    def hello(self, request, nonce):
        return encode({"ok": True})

    def answer(self, request):
        self.asked.append(request.op)
        if request.op == "show":
            raise QueryError("not_found", "nobody")
        if request.op == "metrics":
            raise OSError(errno.EMFILE, "Too many open files")
        return encode(self.list_answer)

    def watch(self, chosen):
        return encode({"event": "snapshot", "peers": self.snapshot}), Watch(chosen, self.seq, set(self.shown))

    def ping(self, request, reply, connection):
        if request.peer == "nobody":
            raise QueryError("not_found", "nobody")
        self.pings.append(reply)

    def reload(self, reply):
        self.reloads.append(reply)

    def register(self, request, connection):
        if request.service.name == "long":
            raise QueryError("refused", "one\ntwo", ("one", "two"))
        self.registered.setdefault(connection, []).append(request.service.name)
        return encode({"ok": True})

    def release(self, connection):
        self.released.append(connection)
        self.registered.pop(connection, None)

    def events(self):
        with self._round:
            self._rounds += 1
            self._round.notify_all()
            events, self._events = self._events, []
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return events

    def happen(self, *events):
        with self._round:
            self._events += events

    def wait_round(self, wake):
        """Wait until the server has been through its loop at least once from here."""
        with self._round:
            goal = self._rounds + 2
            while self._rounds < goal:
                wake()
                assert self._round.wait(5.0), "the server is stuck"


class Server:
    """A query server in a thread, with a clock that goes only as it is told."""

    def __init__(self, listen="127.0.0.1", **limits):
        self.backend = Backend()
        self.now = 1000.0
        if "query_connections" in limits:  # what is of one user alone, see below
            limits.setdefault("query_connections_per_user", limits["query_connections"])
        self.server = QueryServer((listen, 0), self.backend, Limits(**limits))
        self.failures = []
        self._connections = []
        self._thread = threading.Thread(target=self._run, name="query-server")

    def _run(self):
        try:
            self.server.run(lambda: self.now)
        except BaseException as error:
            self.failures.append(error)

    def __enter__(self):
        self.server.open()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.end()
        for connection in self._connections:
            connection.close()
        self.server.close()
        assert self.failures == []

    def end(self):
        self.server.stop()
        self._thread.join(5.0)
        assert not self._thread.is_alive()

    def settle(self):
        self.backend.wait_round(self.server.wake)

    def until(self, condition):
        """Wait until the server has come to something."""
        deadline = monotonic() + 5.0
        while not condition():
            assert monotonic() < deadline, "the server did not come to it"
            self.settle()

    def ping(self, number):
        """Give the backend's side of a ping, once it has begun."""
        self.until(lambda: len(self.backend.pings) > number)
        return self.backend.pings[number]

    def has(self, **counts):
        """Wait until it counts so many."""
        self.until(lambda: counts.items() <= self.server.counts().items())

    def advance(self, seconds):
        self.now += seconds
        self.settle()

    def happen(self, *events):
        self.backend.happen(*events)
        self.server.wake()

    def connect(self, *, greeted=True, buffer=None):
        connection = Connection(self.server.address, buffer)
        self._connections.append(connection)
        if greeted:
            assert connection.read() == GREETING
        return connection

    def connect_and_stay(self):
        """Connect, and have a place that is not given to the next."""
        connection = self.connect()
        assert connection.ask(b"watch\n")["event"] == "snapshot"
        return connection

    @property
    def owed(self):
        return max((client.owed_bytes for client in self.server._clients.values()), default=0)


class Connection:
    def __init__(self, address, buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(10)
        self.socket.connect(address)
        self._lines = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, data):
        self.send(data)
        return self.read()

    def line(self):
        return self._lines.readline()

    def read(self):
        line = self.line()
        assert line.endswith(b"\n"), f"closed after {line!r}"
        return json.loads(line)

    def end(self):
        """End our half, as `printf list | nc -N` does."""
        self.socket.shutdown(socket.SHUT_WR)

    def refused(self):
        """Give the code of the refusal that ends the connection."""
        code = self.read()["error"]["code"]
        assert self.line() == b"", "not closed"
        return code

    def rest(self):
        """Give all lines up to the end."""
        return [json.loads(line) for line in iter(self.line, b"")]

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self._lines.close()
        self.socket.close()


@pytest.fixture
def server():
    with Server() as server:
        yield server


def peer(name="anna", boot="b1", **changes):
    found = Peer(
        id=f"id-{name}", name=name, state="up", kind="node", address="10.0.0.7", addresses=("10.0.0.7",),
        link="eth0", boot=boot, services=(), tags={}, first_seen_s=1.0, last_heard_s=0.1, expires_s=3.9,
        interval_s=0.8, ttl_s=4.0, rtt_ms=None, loss=None, two_way=None, restarts=0, clone=False, key=None,
    )  # fmt: skip
    return replace(found, **changes)


def event(seq, kind="updated", former="", **changes):
    return Event(kind=kind, seq=seq, peer=peer(**changes), reason="because", former=former)


def error_of(reply):
    assert reply["ok"] is False
    return reply["error"]["code"]


# --- asking -------------------------------------------------------------------------------------------


def test_it_greets_and_answers(server):
    client = server.connect()
    assert client.ask(b'{"op":"list"}\n') == server.backend.list_answer


@pytest.mark.parametrize("text", [b"list\n", b"list\r\n", b"  list  \n", b"\n\r\n \nlist\n"])
def test_bare_words_and_empty_lines_as_people_type_them(server, text):
    assert server.connect().ask(text) == server.backend.list_answer


def test_a_request_may_come_in_pieces(server):
    client = server.connect()
    for byte in b'{"op":"list"}':
        client.send(bytes([byte]))
        server.settle()
    assert client.ask(b"\n") == server.backend.list_answer


def test_a_thousand_requests_in_one_write_are_answered_in_order(server):
    client = server.connect()
    client.send(b"".join(b"list\nshow x\n" for _ in range(500)))
    for _ in range(500):
        assert client.read() == server.backend.list_answer
        assert error_of(client.read()) == "not_found"


def test_what_the_backend_refuses_is_a_reply(server):
    client = server.connect()
    assert error_of(client.ask(b"show nobody\n")) == "not_found"
    assert error_of(client.ask(b"ping nobody\n")) == "not_found"
    assert client.ask(b"list\n")["ok"]


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"{", "bad_request"), (b"{}", "bad_request"), (b"[]", "bad_request"), (b"\xff\xfe", "bad_request"),
     (b"reboot", "unknown_op"), (b'{"op":"list","color":1}', "bad_argument"), (b"\x00", "bad_request")],
)  # fmt: skip
def test_nonsense_is_refused_and_the_connection_goes_on(server, line, code):
    client = server.connect()
    assert error_of(client.ask(line + b"\n")) == code
    assert client.ask(b"list\n")["ok"]


def test_half_closing_clients_get_their_answers(server):
    """`printf list | nc -N 127.0.0.1 3400`, also without the newline."""
    for text, count in ((b"list", 1), (b"list\n", 1), (b"list\nlist", 2)):
        client = server.connect()
        client.send(text)
        client.end()
        assert client.rest() == [server.backend.list_answer] * count


def test_a_half_closed_watch_gets_its_snapshot_and_ends(server):
    client = server.connect()
    client.send(b"watch\n")
    client.end()
    assert client.rest() == [{"event": "snapshot", "peers": []}]
    assert server.server.counts()["connections"] == 0


# --- refusing -----------------------------------------------------------------------------------------


def test_http_is_refused_counted_and_closed(server):
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(100_000))
    assert client.refused() == "http"
    assert server.server.counts()["refused"] == 1
    assert server.backend.asked == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\nlist\n"])
@pytest.mark.parametrize("size", [65, 60_000, 1_000_000])
def test_a_line_that_is_too_long_is_refused_and_the_reason_arrives(end, size):
    """Also when more of it is under way than was read: closed at once, it would be lost in a reset."""
    with Server(query_line=64) as server:
        client = server.connect()
        client.send(b"x" * size + end)
        assert client.refused() == "too_long"
        assert server.server.counts()["refused"] == 1
        assert server.backend.asked == []


def test_those_who_were_sent_away_and_left_are_forgotten_at_once():
    with Server(query_connections=2) as server:
        for _ in range(20):
            client = server.connect()
            client.send(b"GET / \n")
            client.end()
            assert client.refused() == "http"
            client.close()
            server.until(lambda: not server.server._clients)


def test_the_longest_line_is_served():
    with Server(query_line=64) as server:
        assert server.connect().ask(b"list".ljust(64) + b"\n")["ok"]


def test_who_comes_too_many_is_told_so_and_does_not_stay():
    with Server(query_connections=2) as server:
        first, second = server.connect_and_stay(), server.connect_and_stay()
        third = server.connect()
        third.send(b"list\nlist\n")
        assert third.refused() == "busy"
        assert server.server.counts() == {"connections": 2, "limit": 2, "watchers": 2, "refused": 1, "denied": 0}
        first.close()
        server.has(connections=1)
        assert server.connect().ask(b"list\n")["ok"]
        assert second.ask(b"list\n")["ok"]


def test_those_who_are_sent_away_are_bounded_too():
    with Server(query_connections=1) as server:
        first = server.connect_and_stay()
        told = [server.connect() for _ in range(20)]
        for client in told:
            with suppress(OSError):  # it was pushed out
                client.send(b"list\n")
        server.has(refused=20)  # they linger: none has closed its side
        assert len(server.server._clients) == 2
        assert {one.refused() for one in told} == {"busy"}
        assert first.ask(b"list\n")["ok"]


def test_who_does_not_leave_when_told_is_left(server):
    client = server.connect()
    client.send(b"GET / \n")
    assert client.refused() == "http"
    assert len(server.server._clients) == 1  # it may still read
    server.advance(module.LINGER + 0.1)
    assert len(server.server._clients) == 0


def test_a_limit_may_change_while_it_runs(server):
    server.connect_and_stay()
    server.server.limits = Limits(query_connections=1)
    client = server.connect()
    client.send(b"list\n")
    assert client.refused() == "busy"


# --- time ---------------------------------------------------------------------------------------------


def test_silence_ends_a_connection_but_not_a_watch(server):
    idle, busy, watcher = server.connect(), server.connect(), server.connect()
    assert watcher.ask(b"watch\n")["event"] == "snapshot"
    server.advance(299)
    assert busy.ask(b"list\n")["ok"]
    server.advance(2)
    assert idle.refused() == "idle"
    assert busy.ask(b"list\n")["ok"]
    server.happen(event(1))
    assert watcher.read()["seq"] == 1


def test_who_waits_for_a_ping_is_not_idle_and_costs_nothing(server):
    client = server.connect()
    client.send(b"ping anna\n")
    server.ping(0)
    server.advance(1000)
    assert server.server._patience(server.now) is None  # not zero: that would be a busy loop
    server.ping(0)(encode({"pong": 1}))
    assert client.read() == {"pong": 1}
    assert client.ask(b"list\n")["ok"]
    server.advance(301)
    assert client.refused() == "idle"


# --- pings --------------------------------------------------------------------------------------------


def test_what_is_asked_after_a_ping_is_answered_after_it(server):
    client, other = server.connect(), server.connect()
    client.send(b"ping anna\nlist\nping anna\nlist\n")
    server.ping(0)
    server.settle()
    assert len(server.backend.pings) == 1  # a thousand in one write are under way one by one
    assert other.ask(b"list\n")["ok"]
    server.ping(0)(encode({"pong": 1}))
    assert [client.read(), client.read()] == [{"pong": 1}, server.backend.list_answer]
    server.ping(1)(encode({"pong": 2}))
    assert [client.read(), client.read()] == [{"pong": 2}, server.backend.list_answer]


def test_a_late_reply_is_awaited_by_who_only_ended_its_half(server):
    client = server.connect()
    client.send(b"ping anna")
    client.end()
    server.ping(0)(encode({"pong": 1}))
    assert client.rest() == [{"pong": 1}]


def test_a_late_reply_to_one_who_has_gone_is_dropped(server):
    gone = server.connect()
    gone.send(b"ping anna\n")
    server.ping(0)
    gone.reset()
    server.has(connections=0)
    fresh = server.connect()
    server.ping(0)(encode({"pong": 1}))
    assert fresh.ask(b"list\n") == server.backend.list_answer


def test_a_ping_ends_with_its_connection(server):
    gone = server.connect()
    gone.send(b"ping anna\n")
    server.ping(0)
    gone.reset()
    server.until(lambda: server.backend.released)


def test_nothing_follows_a_refusal(server):
    client = server.connect()
    client.send(b"ping anna\n" + b"x" * 5000)
    server.ping(0)(encode({"pong": 1}))
    assert client.refused() == "too_long"


# --- control ------------------------------------------------------------------------------------------


def registration(name, proof="secret"):
    return json.dumps({"op": "register", "proof": proof, "service": {"name": name, "port": 1}}).encode() + b"\n"


def test_what_is_asked_after_a_reload_is_answered_after_it(server):
    client = server.connect()
    client.send(b'{"op":"reload","proof":"secret"}\nlist\n')
    server.until(lambda: server.backend.reloads)
    server.advance(1000)  # however long it takes, who waits for it is not idle
    assert server.backend.asked == []
    server.backend.reloads[0](encode({"reloaded": True}))
    assert [client.read(), client.read()] == [{"reloaded": True}, server.backend.list_answer]


def test_who_is_denied_is_counted_and_may_go_on(server):
    client = server.connect()
    for line in (b"reload\n", registration("web", proof="guess"), b'{"op":"register","service":{"name":"a","port":1}}\n'):
        assert error_of(client.ask(line)) == "denied"
    assert client.ask(b"list\n")["ok"]
    assert server.server.counts()["denied"] == 3
    assert server.backend.registered == {}
    server.advance(301)
    assert client.refused() == "idle"  # it registered nothing


def test_every_problem_of_a_refusal_is_told(server):
    refused = server.connect().ask(registration("long"))["error"]
    assert refused == {"code": "refused", "message": "one\ntwo", "problems": ["one", "two"]}


def test_registrations_live_as_long_as_their_connection(server):
    one, other = server.connect(), server.connect()
    for client, name in ((one, "a"), (one, "b"), (other, "c")):
        assert client.ask(registration(name))["ok"]
    assert list(server.backend.registered.values()) == [["a", "b"], ["c"]]
    server.advance(100_000)  # neither has to say anything
    assert server.server._patience(server.now) is None
    one.reset()
    server.until(lambda: list(server.backend.registered.values()) == [["c"]])
    assert other.ask(b"list\n")["ok"]
    other.end()
    assert other.rest() == []
    assert server.backend.registered == {}


@pytest.mark.parametrize("fault", [b"GET / HTTP/1.0\n", b"x" * 5000])
def test_a_registration_ends_when_its_connection_is_refused(server, fault):
    client = server.connect()
    client.ask(registration("a"))
    client.send(fault)
    client.read()
    assert server.backend.registered == {}  # though the client has not closed its side yet


def test_a_registration_ends_with_the_server():
    with Server() as server:
        client = server.connect()
        client.ask(registration("a"))
        server.end()
        assert client.refused() == "stopping"
        assert server.backend.registered == {}


def test_connections_that_register_take_no_place_of_those_that_ask():
    with Server(query_connections=2) as server:
        holders = [server.connect() for _ in range(2)]
        for client in holders:
            assert client.ask(registration("a"))["ok"]
        askers = [server.connect_and_stay() for _ in range(2)]
        third = server.connect()
        third.send(b"list\n")
        assert third.refused() == "busy"
        assert server.server.counts()["connections"] == 2
        assert askers[1].ask(b"list\n")["ok"]


# --- slow readers -------------------------------------------------------------------------------------


def test_a_slow_reader_of_lists_holds_up_only_itself(server):
    server.backend.list_answer = {"ok": True, "peers": ["x" * 300_000]}
    slow, quick = server.connect(buffer=4096), server.connect()
    slow.send(b"list\n" * 100)
    server.until(lambda: server.owed > query_connection.REPLIES_AHEAD)
    server.settle()
    assert 0 < len(server.backend.asked) < 30
    assert server.owed <= query_connection.REPLIES_AHEAD + 300_100
    assert quick.ask(b"list\n")["ok"]
    slow.end()
    assert len(slow.rest()) == 100


def test_a_watch_that_is_not_read_is_ended_with_a_reason_and_bounded_memory():
    with Server(query_backlog=65536) as server:
        slow, quick = server.connect(buffer=4096), server.connect()
        slow.ask(b"watch\n")
        quick.ask(b"watch\n")
        for seq in range(1, 10_000):
            server.happen(event(seq, name="n" * 60))
            assert quick.read()["seq"] == seq
            if server.server.refused:
                break
            assert server.owed <= 65536 + 1000
        lines = slow.rest()
        assert lines[-1]["error"]["code"] == "lagged"
        told = [line["seq"] for line in lines[:-1]]
        assert told == list(range(1, len(told) + 1))  # in order, and none torn
        assert quick.ask(b"list\n")["ok"]
        assert server.server.counts()["watchers"] == 1


def test_a_snapshot_longer_than_the_backlog_is_no_lag():
    with Server(query_backlog=65536) as server:
        server.backend.snapshot = ["x" * 10_000_000]
        client = server.connect(buffer=4096)
        client.send(b"watch\n")
        server.has(watchers=1)
        server.happen(event(1))
        server.settle()
        assert client.read()["event"] == "snapshot"
        assert client.read()["seq"] == 1


def test_when_the_server_itself_lost_events_every_watcher_is_told(server):
    watcher, other = server.connect(), server.connect()
    watcher.ask(b"watch\n")
    server.backend.failure = SubscriptionLagged()
    server.settle()
    assert watcher.refused() == "lagged"
    assert other.ask(b"list\n")["ok"]


def test_a_watch_told_of_peers_without_end_begins_anew():
    with Server(peers=10) as server:
        watcher = server.connect()
        watcher.ask(b"watch\n")
        for seq in range(1, 21):
            server.happen(event(seq, name=f"n{seq}", boot=f"b{seq}"))
            assert watcher.read()["seq"] == seq
        server.happen(event(21, name="n21", boot="b21"))
        assert watcher.refused() == "lagged"


# --- watching -----------------------------------------------------------------------------------------


def watching(server, request, shown=(), seq=0):
    server.backend.shown = {("id-anna", boot) for boot in shown}
    server.backend.seq = seq
    client = server.connect()
    assert client.ask(json.dumps({"op": "watch", **request}).encode() + b"\n")["event"] == "snapshot"
    return client


def seqs(server, client, *events):
    """Give the numbers of those events that a watcher is told of."""
    server.happen(*events)
    server.settle()
    client.end()
    return [line["seq"] for line in client.rest()]


def test_a_watch_continues_where_its_snapshot_ends(server):
    client = watching(server, {}, seq=5)
    assert seqs(server, client, event(4), event(5), event(6), event(7)) == [6, 7]


def test_a_watch_is_told_of_what_it_asked_for(server):
    client = watching(server, {"name": "a*", "tags": {"role": "gpu"}})
    gpu = {"tags": {"role": "gpu"}}
    assert seqs(
        server,
        client,
        event(1, "joined", name="anna", **gpu),
        event(2, "joined", name="alma", boot="b2"),
        event(3, "joined", name="bert", boot="b3", **gpu),
        event(4, "left", name="anna", state="left", **gpu),
        event(5, "left", name="bert", boot="b3", state="left", **gpu),
    ) == [1, 4]


def test_a_peer_that_no_longer_matches_is_told_once(server):
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1"})
    gone = event(1, tags={"role": "cpu"})
    assert seqs(server, client, gone, event(2, tags={"role": "cpu"}), event(3, tags={"role": "gpu"})) == [1, 3]


def test_the_end_of_a_peer_is_told_to_who_watches_live_ones(server):
    client = watching(server, {"state": ["up"]}, shown={"b1"})
    assert seqs(server, client, event(1, "down", state="down"), event(2, "recovered")) == [1, 2]


def test_a_restart_into_something_else_is_told(server):
    """The new boot was never shown, but it takes the place of one that was."""
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1"})
    assert seqs(server, client, event(1, "restarted", former="b1", boot="b2"), event(2, boot="b2")) == [1]


def test_a_clone_that_restarts_into_something_else_leaves_the_other_shown(server):
    gpu = {"tags": {"role": "gpu"}, "clone": True}
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1", "b2"})
    assert seqs(
        server,
        client,
        event(1, "restarted", former="b2", boot="b3", clone=True),
        event(2, boot="b3"),
        event(3, boot="b1", **gpu),
        event(4, boot="b1"),  # no longer a match, which is told as it was shown
        event(5, boot="b1"),
    ) == [1, 3, 4]


def test_one_that_came_back_as_something_else_takes_the_place_of_the_one_gone(server):
    client = watching(server, {"tags": {"role": "gpu"}, "all": True}, shown={"b1"})
    assert seqs(server, client, event(1, "joined", former="b1", boot="b2"), event(2, boot="b2")) == [1]


def test_restarts_do_not_add_up(server):
    client = watching(server, {}, shown={"b0"})
    server.happen(*(event(seq, "restarted", former=f"b{seq - 1}", boot=f"b{seq}") for seq in range(1, 100)))
    server.settle()
    [of_server] = server.server._clients.values()
    assert of_server.watch.shown == {("id-anna", "b99")}
    client.end()


# --- ends ---------------------------------------------------------------------------------------------


def test_a_reset_in_the_middle_of_a_reply_harms_nobody(server):
    server.backend.list_answer = {"ok": True, "peers": ["x" * 5_000_000]}
    other = server.connect()
    for _ in range(5):
        client = server.connect(buffer=4096)
        client.send(b"list\nlist\n")
        server.until(lambda: server.owed > 0)
        client.reset()
        server.has(connections=1)
    server.backend.list_answer = {"ok": True}
    assert other.ask(b"list\n") == {"ok": True}


def test_an_answer_that_needs_a_descriptor_is_refused_and_others_are_not(server):
    connection = server.connect()
    refused = connection.ask(b"metrics\n")
    assert refused["error"] == {"code": "failed", "message": "cannot be answered now: Too many open files"}
    assert connection.ask(b"list\n")["ok"]


def test_without_descriptors_it_pauses_and_recovers(server):
    """The connection stays in the queue; without a pause the loop would spin on it."""
    old = server.connect()
    late = socket.socket()
    late.settimeout(10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    lowest_free = probe.fileno()
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        late.connect(server.server.address)
        deadline = monotonic() + 5
        while server.server.refused == 0 and monotonic() < deadline:
            server.settle()
        assert old.ask(b"list\n")["ok"]
        server.settle()
        assert server.server.refused == 1  # not once a round
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.advance(sockets.ACCEPT_PAUSE + 0.1)
    with late, late.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING


def test_stop_tells_everyone_and_closes_everything():
    before = descriptors()
    with Server() as server:
        asking, watcher = server.connect(), server.connect()
        watcher.ask(b"watch\n")
        server.end()
        assert asking.refused() == "stopping"
        assert watcher.refused() == "stopping"
        for client in (asking, watcher):
            client.close()
        server.server.close()
        server.server.close()
        assert descriptors() == before


def test_any_number_of_wakes_waits_for_nobody(server):
    for _ in range(5000):
        server.server.wake()
    assert server.connect().ask(b"list\n")["ok"]


def test_stop_wake_and_close_are_legal_before_open():
    before = descriptors()
    server = QueryServer(("127.0.0.1", 0), Backend(), Limits())
    server.wake()
    server.stop()
    server.close()
    assert descriptors() == before


def test_a_taken_port_is_named_and_nothing_stays_open():
    port = free_port("127.0.0.1", "tcp")
    with socket.create_server(("127.0.0.1", port)):
        before = descriptors()
        server = QueryServer(("127.0.0.1", port), Backend(), Limits())
        with pytest.raises(OSError, match=rf"TCP port {port} on 127.0.0.1 is taken by .*\(pid \d+\)"):
            server.open()
        assert descriptors() == before


def test_a_taken_port_is_had_once_it_is_free_where_that_is_no_error(monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.05)
    before, told = descriptors(), SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = other.getsockname()
        server = QueryServer(address, Backend(), Limits(), told=told.put)
        server.open()
        thread = threading.Thread(target=server.run, args=(monotonic,))
        thread.start()
        assert re.match(rf"TCP port {address[1]} on 127.0.0.1 is taken by .*pid {os.getpid()}", server.error)
        assert server.trouble(monotonic())["error"] == server.error
    # the port may still be taken for a moment, by a socket that nobody has any more
    assert next(text for text in iter(lambda: told.get(timeout=5.0), None) if not text) == ""
    assert (server.error, server.trouble(monotonic())) == ("", {"error": None, "next_try_s": None})
    with socket.create_connection(address) as client, client.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING
        server.stop()
        thread.join(5.0)
    server.close()
    assert descriptors() == before


def test_a_port_that_was_just_left_can_be_had_at_once():
    with Server() as server:
        client = server.connect()
        address = server.server.address
        server.end()
        assert client.refused() == "stopping"
    again = QueryServer(address, Backend(), Limits())
    again.open()
    again.close()


def test_a_socket_that_listens_already_is_taken_as_it_is():
    """As systemd hands it over; the port could not be bound a second time."""
    before = descriptors()
    inherited = socket.create_server(("127.0.0.1", 0))
    address = inherited.getsockname()
    early = socket.create_connection(address)  # waits in its queue
    server = QueryServer(("127.0.0.1", 1), Backend(), Limits(), inherited)
    server.open()
    assert server.address == address
    thread = threading.Thread(target=server.run, args=(lambda: 0.0,))
    thread.start()
    with early, early.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING
        server.stop()
        thread.join(5.0)
    server.close()
    assert descriptors() == before


def test_an_error_nobody_expected_ends_the_thread_loudly():
    with Server() as server:
        server.backend.answer = lambda request: 1 // 0
        client = server.connect()
        client.send(b"list\n")
        server._thread.join(5.0)
        assert [type(error) for error in server.failures] == [ZeroDivisionError]
        server.failures.clear()
