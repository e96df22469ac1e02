"""A query server in a thread, with a backend that replies as a test tells it to, and its clients."""

import errno
import json
import socket
import struct
import threading
from dataclasses import replace
from time import monotonic

from discoveryd.errors import QueryError
from discoveryd.net.query_server import QueryServer
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.query.proof import is_nonce
from discoveryd.query.reply import encode
from discoveryd.query.watch import Watch

GREETING = {"discoveryd": "test"}


class Backend:
    """Answers as it is told; counts its rounds, so that a test can wait for one."""

    def __init__(self):
        self.list_answer = {"ok": True, "peers": []}
        self.snapshot = []
        self.seq = 0
        self.shown = set()
        self.asked = []
        self.pings, self.reloads, self.talks, self.listeners = [], [], [], []  # what takes the lines
        self.begun = {"ping": self.pings, "doctor": self.pings, "reload": self.reloads, "send": self.talks, "ask": self.talks,
                      "messages": self.listeners}  # fmt: skip
        self.requests = []
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

    def begin(self, request, reply, connection):
        if request.peer == "nobody":
            raise QueryError("not_found", "nobody")
        if request.op in self.begun:
            self.begun[request.op].append(reply)
            self.requests.append(request)

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
        self.thread = threading.Thread(target=self._run, name="query-server")

    def _run(self):
        try:
            self.server.run(lambda: self.now)
        except BaseException as error:
            self.failures.append(error)

    def __enter__(self):
        self.server.open()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end()
        for connection in self._connections:
            connection.close()
        self.server.close()
        assert self.failures == []

    def end(self):
        self.server.stop()
        self.thread.join(5.0)
        assert not self.thread.is_alive()

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
        return max((client.owed_bytes for client in self.server.clients.values()), default=0)


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
