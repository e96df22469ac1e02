"""The event loop of the asyncio parts: what runs on it, what fails on it, and how it ends."""

import asyncio
import threading
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial

import pytest

from discoveryd.daemon.loop import HANGS, LoopPart
from discoveryd.net.turns import TimedSelector
from discoveryd.runtime.loop import Loop
from tests.runtime.waiting import until


@contextmanager
def running():
    notices, deaths = [], []
    loop = Loop(notices.append, lambda *death: deaths.append(death))
    try:
        yield loop, notices
    finally:
        loop.stop()
        assert deaths == []


async def thread_name():
    return threading.current_thread().name


def test_the_first_coroutine_starts_the_thread():
    with running() as (loop, _):
        assert not loop.is_running
        assert loop.run(thread_name()) == loop.run(thread_name()) == "event-loop"
        assert [thread.name for thread in threading.enumerate()].count("event-loop") == 1
    assert not loop.is_running
    assert "event-loop" not in [thread.name for thread in threading.enumerate()]


def test_run_raises_what_the_coroutine_raised():
    async def fail():
        raise OSError(98, "taken")

    with running() as (loop, notices), pytest.raises(OSError, match="taken"):
        loop.run(fail())
    assert notices == []


def test_run_cancels_what_takes_too_long():
    ended = []

    async def hang():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    with running() as (loop, _):
        with pytest.raises(TimeoutError):
            loop.run(hang(), timeout=0.01)
        until(lambda: ended == ["cancelled"])


def test_a_failed_task_is_told_and_harms_no_other():
    async def fail():
        raise ValueError("broken")

    with running() as (loop, notices):
        loop.start()
        loop.spawn(fail, name="sites").result(5)
        assert [(notice.level, notice.fields) for notice in notices] == [
            ("warning", {"task": "sites", "error": "ValueError: broken"})
        ]
        assert loop.run(thread_name()) == "event-loop"
        assert loop.status()["failures"] == 1


def test_callbacks_that_fail_are_counted_and_told_once_a_minute():
    with running() as (loop, notices):
        loop.start()
        for _ in range(100):
            loop.call(int, "no number")
        until(lambda: loop.status()["failures"] == 100)
    assert [notice.text for notice in notices] == ["a callback of the event loop failed"]
    assert "no number" in notices[0].fields["error"]


def test_stop_cancels_tasks_and_waits_for_their_end():
    steps = []

    async def serve():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            steps.append("closed")

    with running() as (loop, _):
        loop.start()
        loop.spawn(serve, name="web")
        loop.run(asyncio.sleep(0))
    assert steps == ["closed"]


async def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_what_is_cancelled_before_its_first_step_is_not_made():
    made, cancelled = [], []

    async def serve():
        made.append("a step")

    def make():
        made.append("a coroutine")
        return serve()

    with running() as (loop, notices):
        before, release = loop.run(others()), threading.Event()
        try:
            loop.call(release.wait, 30)
            future = loop.spawn(make, name="sites")
            # so does `future.cancel()` of newer releases of Python 3.13
            loop.call(lambda: [cancelled.append(task.cancel()) for task in asyncio.all_tasks() - before if not task.done()])
        finally:
            release.set()
        with pytest.raises(CancelledError):
            future.result(5)
        loop.spawn(serve, name="sites").result(5)
    assert (made, cancelled, notices) == (["a step"], [True], [])


def test_what_is_handed_over_as_the_loop_stops_is_cancelled(monkeypatch):
    hand_over = asyncio.run_coroutine_threadsafe
    with running() as (loop, _):
        loop.start()
        stops = threading.Thread(target=loop.stop)

        def late(work, asyncio_loop):
            stops.start()
            stops.join(0.2)  # it waits for this; else the loop would be closed now
            return hand_over(work, asyncio_loop)

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
        future = loop.spawn(partial(asyncio.sleep, 60), name="sites")
        stops.join(5)
        assert future.cancelled()


def test_a_stopped_loop_takes_nothing():
    with running() as (loop, notices):
        loop.start()
    with pytest.raises(RuntimeError, match="stopped"):
        loop.run(thread_name())
    with pytest.raises(RuntimeError, match="does not run"):
        loop.spawn(thread_name, name="late")
    loop.call(notices.append, "late")
    loop.stop()
    assert notices == []


def test_a_loop_that_hangs_is_told_once_and_counted(monkeypatch):
    notices, clock = [], [100.0]
    monkeypatch.setattr("discoveryd.runtime.loop.monotonic", lambda: clock[0])
    part = LoopPart(notices.append)
    part.look()
    assert part.status() is None
    release, hangs = threading.Event(), threading.Event()

    def hang():
        hangs.set()
        release.wait(30)

    try:
        loop = part.loop()
        loop.call(hang)
        assert hangs.wait(5)
        part.look()
        clock[0] += HANGS + 1
        part.look()
        part.look()
        assert [notice.text for notice in notices] == ["the event loop hangs: web, dns and sites answer nothing"]
        assert part.status()["behind_ms"] >= 1000 * HANGS
        release.set()
        until(lambda: loop.behind == 0.0)
        assert part.status()["behind_ms"] >= 1000 * HANGS, "told for a while"
    finally:
        release.set()
        part.stop()


def test_an_idle_loop_is_woken_by_nothing(monkeypatch):
    waits = []
    select = TimedSelector.select
    monkeypatch.setattr(TimedSelector, "select", lambda self, timeout=None: waits.append(timeout) or select(self, timeout))
    with running() as (loop, _):
        loop.run(thread_name())
        until(lambda: waits[-1] is None)
        assert loop.behind == 0.0
