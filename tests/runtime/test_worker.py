"""A thread that cannot die unnoticed."""

import errno
import threading

import pytest

from discoveryd.runtime.worker import Worker


def test_it_runs_in_a_thread_of_its_name_and_can_be_joined():
    names = []
    worker = Worker("hello-sender", lambda: names.append(threading.current_thread().name), lambda *_: None)
    worker.start()
    assert worker.join(5.0)
    assert names == ["hello-sender"]


def test_whatever_it_raises_is_reported_with_its_name():
    class Unexpected(BaseException):
        pass

    def run():
        raise Unexpected

    failures = []
    worker = Worker("hello-sender", run, lambda name, error: failures.append((name, type(error))))
    worker.start()
    assert worker.join(5.0)
    assert failures == [("hello-sender", Unexpected)]


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
