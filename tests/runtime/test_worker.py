"""A thread that cannot die unnoticed, and the watch over several."""

import errno
import threading

import pytest

from discoveryd.net.udp import UdpTransport
from discoveryd.runtime.query_handlers import QueryHandlers
from discoveryd.runtime.worker import Heartbeat, Worker

WAIT = 5.0


def test_it_runs_in_a_thread_of_its_name_and_can_be_joined():
    names = []
    worker = Worker("hello-sender", lambda: names.append(threading.current_thread().name), lambda *_: None)
    worker.start()
    assert worker.join(5.0)
    assert names == ["hello-sender"]


def test_whatever_it_raises_is_reported_with_its_name(monkeypatch):
    class Unexpected(BaseException):
        pass

    def run():
        raise Unexpected

    failures, printed = [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: printed.append(args.exc_type))
    worker = Worker("hello-sender", run, lambda name, error: failures.append((name, type(error))))
    worker.start()
    assert worker.join(5.0)
    assert failures == [("hello-sender", Unexpected)]
    assert printed == [Unexpected]


def test_join_before_start_and_in_vain():
    go = threading.Event()
    worker = Worker("stuck", go.wait, lambda *_: None)
    assert worker.join(5.0)
    worker.start()
    assert not worker.join(0.01)
    go.set()
    assert worker.join(5.0)


def test_a_thread_that_joins_itself_does_not_wait_for_ever():
    joined = []
    worker = Worker("self", lambda: joined.append(worker.join(5.0)), lambda *_: None)
    worker.start()
    assert worker.join(5.0)
    assert joined == [True]


def test_a_thread_that_cannot_be_had_is_an_error_of_the_system(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    worker = Worker("hook-1", lambda: None, lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="cannot start the thread hook-1") as failure:
            worker.start()
    assert failure.value.errno == errno.EAGAIN
    assert worker.join(5.0)
    worker.start()
    assert worker.join(5.0)


# --- the heartbeat -----------------------------------------------------------------------------------


@pytest.fixture
def workers():
    return [Worker(name, lambda: None, lambda *_: None) for name in ("sender", "receiver")]


def test_all_that_came_round_since_they_were_asked_are_fine(workers):
    def wake():
        for worker in workers:
            worker.beat()

    heartbeat = Heartbeat(workers, wake)
    assert [heartbeat.silent() for _ in range(3)] == [[], [], []]


def test_who_does_not_come_round_is_named_until_it_does(workers):
    sender, receiver = workers
    heartbeat = Heartbeat(workers, sender.beat)
    assert heartbeat.silent() == []  # nobody has been asked yet
    assert heartbeat.silent() == ["receiver"]
    assert heartbeat.silent() == ["receiver"]
    receiver.beat()
    assert heartbeat.silent() == []
    assert heartbeat.silent() == ["receiver"]


def until(question, wanted):
    """Ask until the answer is the one wanted."""
    pause = threading.Event()
    for _ in range(500):
        if (answer := question()) == wanted:
            return
        pause.wait(0.01)
    raise AssertionError(f"still {answer}, not {wanted}")


WORK = {
    "hello-sender": (UdpTransport, "send"),
    "hello-receiver": (UdpTransport, "wait"),
    "query-server": (QueryHandlers, "events"),
}
"""A call in the middle of each thread's work."""


@pytest.mark.parametrize("thread", WORK)
def test_a_hung_thread_is_named_though_all_others_go_on(make, monkeypatch, thread):
    discovery = make(query=True)
    discovery.start()
    until(discovery.pulse.silent, [])
    hangs, held = threading.Event(), threading.Event()
    owner, name = WORK[thread]
    work = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *given, **more: (hangs.set(), held.wait(WAIT), work(*given, **more))[2])
    until(lambda: (discovery.pulse.silent(), hangs.is_set())[1], True)  # before that it may only be late
    until(discovery.pulse.silent, [thread])
    for _ in range(20):
        assert discovery.pulse.silent() == [thread]
    held.set()
    until(discovery.pulse.silent, [])
