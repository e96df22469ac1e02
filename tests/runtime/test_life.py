"""Discovery from start to stop: what is opened, who ends, and what is told when a thread dies."""

import os
import socket
import threading
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.net.query_server import QueryServer
from discoveryd.net.udp import UdpTransport
from discoveryd.protocol.node import Node
from tests.conftest import BUSY, descriptors
from tests.runtime.waiting import WAIT, wait_for


def test_stop_is_legal_before_start_and_twice_and_closes_all(make):
    before = descriptors()
    never = make("anna")
    never.stop()
    never.stop()
    with pytest.raises(RuntimeError, match="starts once"):
        never.start()
    bert = make("bert", query=True)
    assert descriptors() == before  # no constructor opens anything
    bert.start()
    with pytest.raises(RuntimeError, match="starts once"):
        bert.start()
    bert.stop()
    bert.stop()
    with pytest.raises(RuntimeError, match="starts once"):
        bert.start()
    assert descriptors() == before


def test_threads_have_names_and_end(make):
    before = set(threading.enumerate())
    anna = make("anna", query=True)
    anna.start()
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert {thread.name for thread in started} == {"hello-sender", "hello-receiver", "query-server"}
    anna.stop()
    assert not any(thread.is_alive() for thread in started)


def test_stop_takes_a_fraction_of_a_second(make):
    anna = make("anna", query=True)
    anna.start()
    with QueryClient(anna.query_address):
        began = monotonic()
        anna.stop()
    assert monotonic() - began < 1.0 * BUSY


@pytest.mark.parametrize("taken", ["udp", "tcp"])
def test_a_start_that_fails_leaves_nothing_and_can_be_repeated(make, port, taken):
    anna = make("anna", query=("127.0.0.2", port))
    kind = socket.SOCK_DGRAM if taken == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.2", port))
        if taken == "tcp":
            other.listen()
        before, threads = descriptors(), threading.enumerate()
        with pytest.raises(OSError, match=rf"{taken.upper()} port {port} on 127.0.0.2 is taken by .*{os.getpid()}"):
            anna.start()
        assert (descriptors(), threading.enumerate()) == (before, threads)
    anna.start()
    assert anna.status()["links"][0]["address"] == "127.0.0.2"


def test_a_thread_that_dies_is_told_to_all_callers(make, monkeypatch):
    printed = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    notices = SimpleQueue()
    anna = make("anna", query=True, notify=notices.put)
    told = anna.subscribe()
    anna.start()
    reader = QueryClient(anna.query_address)
    reader.connect()

    def break_down(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Node, "poll", break_down)
    while (notice := notices.get(timeout=WAIT)).level != "critical":
        pass
    assert (notice.text, dict(notice.fields)) == (
        "thread died", {"thread": "hello-sender", "error": "ZeroDivisionError('a bug')"},
    )  # fmt: skip
    assert list(told) == []  # who waits for events does not wait for ever
    for call in (anna.peers, anna.status, anna.subscribe, lambda: anna.ping("bert")):
        with pytest.raises(RuntimeError, match="a thread of this Discovery has died") as caught:
            call()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    began = monotonic()
    anna.stop()
    assert monotonic() - began < 2.0 * BUSY
    assert printed[0].exc_type is ZeroDivisionError
    with pytest.raises(QueryError):
        reader.request("list")
    reader.close()


def test_a_program_may_stop_it_within_its_notify(make, monkeypatch):
    """A callback that stops the node runs in one of the threads that stop waits for."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    stopped = threading.Event()
    found = []

    def notify(notice):
        if notice.level == "critical":
            try:
                anna.stop()
            except Exception as error:
                found.append(error)
            stopped.set()

    anna = make("anna", notify=notify)
    anna.start()
    monkeypatch.setattr(Node, "poll", lambda *_: 1 // 0)
    assert stopped.wait(WAIT)
    assert found == []


def test_the_lock_is_never_held_while_something_is_sent_or_told(make, monkeypatch):
    class Lock:
        """A lock that knows who holds it."""

        def __init__(self):
            self._lock = threading.Lock()
            self.owner = None

        def acquire(self, *arguments):
            got = self._lock.acquire(*arguments)
            if got:
                self.owner = threading.get_ident()
            return got

        def release(self):
            self.owner = None
            self._lock.release()

        def locked(self):  # Condition asks for it from Python 3.14 on
            return self._lock.locked()

        def __enter__(self):
            self.acquire()

        def __exit__(self, *_):
            self.release()

    lock, calls, violations = Lock(), [], []
    condition = threading.Condition(lock)

    def guard(name, call):
        def guarded(*arguments, **keywords):
            calls.append(name)
            if lock.owner == threading.get_ident():
                violations.append(name)
            return call(*arguments, **keywords)

        return guarded

    calls_of = [(UdpTransport, each) for each in ("send", "wait", "read", "rescan", "wake", "kernel_drops")]
    for owner, name in [*calls_of, (QueryServer, "wake"), (QueryServer, "counts")]:
        monkeypatch.setattr(owner, name, guard(name, getattr(owner, name)))
    with monkeypatch.context() as making:
        making.setattr(threading, "Condition", lambda _: condition)
        anna = make("anna", query=True, notify=guard("notify", lambda _: None))
    bert = make("bert")
    told = anna.subscribe()
    anna.start()
    bert.start()
    wait_for(told, "joined", "bert")
    results = SimpleQueue()
    anna.begin_ping("bert", count=1, timeout=1.0, done=guard("done", results.put))
    results.get(timeout=WAIT)
    with QueryClient(anna.query_address) as client:
        for op in ("list", "status", "metrics"):
            client.request(op)
    anna.set_parameters(replace(anna.parameters, interval=0.06))
    anna.set_record(name="anne", tags={}, services=())
    bert.stop()
    wait_for(told, "left")
    anna.stop()
    assert violations == []
    assert {"send", "wait", "read", "rescan", "wake", "kernel_drops", "counts", "notify", "done"} <= set(calls)
