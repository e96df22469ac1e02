"""The watchdog's question: has every thread come round?"""

import threading

import pytest

from discoveryd.net.udp import UdpTransport
from discoveryd.runtime.heartbeat import Heartbeat
from discoveryd.runtime.query_handlers import QueryHandlers
from discoveryd.runtime.worker import Worker

WAIT = 5.0


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
    "hello-receiver": (UdpTransport, "listen"),
    "query-server": (QueryHandlers, "events"),
}
"""A call in the middle of each thread's work."""


@pytest.mark.parametrize("thread", WORK)
def test_a_hung_thread_is_named_though_all_others_go_on(make, monkeypatch, thread):
    discovery = make(query=True)
    discovery.start()
    until(discovery.pulse.silent, [])
    held = threading.Event()
    owner, name = WORK[thread]
    work = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments: (held.wait(WAIT), work(*arguments))[1])
    until(discovery.pulse.silent, [thread])
    for _ in range(20):
        assert discovery.pulse.silent() == [thread]
    held.set()
    until(discovery.pulse.silent, [])
