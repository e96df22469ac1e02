"""The watchdog's question: has every thread come round?"""

import threading

import pytest

from discoveryd.runtime.heartbeat import Pulse
from discoveryd.runtime.worker import Worker
from tests.runtime.test_discovery import make, port  # noqa: F401 - fixtures

WAIT = 5.0


@pytest.fixture
def workers():
    return [Worker(name, lambda: None, lambda *_: None) for name in ("sender", "receiver")]


def test_all_that_came_round_since_they_were_asked_are_fine(workers):
    def wake():
        for worker in workers:
            worker.turn()

    pulse = Pulse(workers, wake)
    assert [pulse.silent() for _ in range(3)] == [[], [], []]


def test_who_does_not_come_round_is_named_until_it_does(workers):
    sender, receiver = workers
    pulse = Pulse(workers, sender.turn)
    assert pulse.silent() == []  # nobody has been asked yet
    assert pulse.silent() == ["receiver"]
    assert pulse.silent() == ["receiver"]
    receiver.turn()
    assert pulse.silent() == []
    assert pulse.silent() == ["receiver"]


def until(question, wanted):
    """Ask until the answer is the one wanted."""
    pause = threading.Event()
    for _ in range(500):
        if (answer := question()) == wanted:
            return
        pause.wait(0.01)
    raise AssertionError(f"still {answer}, not {wanted}")


WORK = {
    "hello-sender": lambda discovery: (discovery._links, "send"),
    "hello-receiver": lambda discovery: (discovery._links, "refused"),
    "query-server": lambda discovery: (discovery._backend, "events"),
}
"""A call in the middle of each thread's work."""


@pytest.mark.parametrize("thread", WORK)
def test_a_hung_thread_is_named_though_all_others_go_on(make, monkeypatch, thread):  # noqa: F811
    discovery = make(query=True)
    discovery.start()
    until(discovery.pulse.silent, [])
    held = threading.Event()
    owner, name = WORK[thread](discovery)
    work = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments: (held.wait(WAIT), work(*arguments))[1])
    until(discovery.pulse.silent, [thread])
    for _ in range(20):
        assert discovery.pulse.silent() == [thread]
    held.set()
    until(discovery.pulse.silent, [])
