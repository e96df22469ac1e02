"""The link between sessions: what is sent, dropped and tried again, with sessions that a test plays."""

import asyncio
from random import Random

import pytest

from discoveryd.sites import link as module
from discoveryd.sites import pinger
from discoveryd.sites.access import Access
from discoveryd.sites.link import MOST_DENIED, MOST_OWED, NatsLink
from discoveryd.sites.nats import NatsTrouble

A, B = "nats://a:4222", "nats://b:4222"


class Played:
    """A session that does as the test says."""

    def __init__(self, stage, hear, denied, failed):
        self.stage, self.hear, self.denied, self.failed = stage, hear, denied, failed
        self.is_over = asyncio.Event()
        self.sent, self.subjects = [], set()
        self.buffered = 0
        self.is_closed = False

    def trouble(self):
        return NatsTrouble("unreachable", "gone")

    async def open(self, server, access, name):
        self.stage.tried.append(server)
        if server in self.stage.broken:
            raise self.stage.broken[server]
        self.stage.sessions.append(self)

    async def publish(self, subject, payload):
        self.sent.append((subject, payload))

    async def subscribe(self, subject):
        self.subjects.add(subject)

    async def unsubscribe(self, subject):
        self.subjects.discard(subject)

    async def ping(self, timeout):
        if self.stage.hangs:
            raise NatsTrouble("unreachable", "hangs")
        return 0.001

    async def close(self):
        self.is_closed = True


class Stage:
    """A link, and the sessions that it had."""

    def __init__(self, *servers):
        self.tried, self.sessions, self.broken, self.hangs = [], [], {}, False
        self.heard, self.changes, self.notices = [], [], []
        self.link = NatsLink(
            Access(servers=servers), name="n", hear=lambda *message: self.heard.append(message), changed=self.changes.append,
            notify=self.notices.append, random=Random(1), session=lambda *told: Played(self, *told),
        )  # fmt: skip

    @property
    def status(self):
        return self.link.status()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "PAUSES", (0.001,) * 4)
    monkeypatch.setattr(module, "BUFFERED_PAUSE", 0.001)
    monkeypatch.setattr(pinger, "PING_EVERY", 0.01)


def run(stage, body):
    async def whole():
        running = asyncio.ensure_future(stage.link.run())
        try:
            await asyncio.wait_for(body(), 10.0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert all(session.is_closed for session in stage.sessions)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


async def until(holds):
    while not holds():  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0.001)


def test_subjects_are_asked_for_again_in_each_session():
    stage = Stage(A)
    stage.link.subscribe("x")

    async def body():
        await until(lambda: stage.status["connected"])
        stage.link.subscribe("y")
        stage.link.unsubscribe("x")
        await until(lambda: stage.sessions[0].subjects == {"y"})
        stage.sessions[0].is_over.set()
        await until(lambda: len(stage.sessions) == 2 and stage.sessions[1].subjects == {"y"})
        await until(lambda: stage.changes == [True, False, True])

    run(stage, body)


def test_nothing_said_without_a_session_is_told_later():
    stage = Stage(A)
    stage.broken[A] = NatsTrouble("unreachable", "no way")

    async def body():
        await until(lambda: len(stage.tried) > 2)
        stage.link.publish("x", b"lost")
        del stage.broken[A]
        await until(lambda: stage.status["connected"])
        stage.link.publish("x", b"told")
        await until(lambda: stage.sessions[0].sent)
        assert stage.sessions[0].sent == [("x", b"told")]
        assert (stage.status["unsent"], stage.status["sent"]) == (1, 1)

    run(stage, body)


def test_what_waits_for_a_slow_server_is_bounded():
    stage = Stage(A)

    async def body():
        await until(lambda: stage.status["connected"])
        stage.sessions[0].buffered = 10**9  # the socket takes nothing
        for _ in range(20):
            stage.link.publish("x", bytes(MOST_OWED // 10))
        assert stage.status["unsent"] == 10
        stage.sessions[0].is_over.set()
        await until(lambda: len(stage.sessions) == 2 and stage.status["connected"])
        assert stage.status["unsent"] == 20
        assert stage.sessions[1].sent == []

    run(stage, body)


def test_servers_are_tried_in_turn():
    stage = Stage(A, B)
    stage.broken[A] = NatsTrouble("tls", "bad certificate")

    async def body():
        await until(lambda: stage.status["server"] == B)
        assert stage.tried == [A, B]
        stage.sessions[0].is_over.set()
        await until(lambda: len(stage.sessions) == 2)
        assert stage.tried[2:4] in ([B], [B, A], [A, B])  # what was good before, or the first
        await until(lambda: stage.status["server"] == B)

    run(stage, body)


def test_a_server_that_hangs_is_left():
    stage = Stage(A)

    async def body():
        await until(lambda: stage.status["connected"])
        stage.hangs = True
        await until(lambda: stage.changes == [True, False])
        assert stage.status["trouble"] == {"server": A, "kind": "unreachable", "error": "hangs"}
        stage.hangs = False
        await until(lambda: stage.status["connected"])
        assert stage.status["trouble"] is None

    run(stage, body)


def test_a_server_that_hangs_while_much_is_to_be_sent_is_left():
    stage = Stage(A)

    async def body():
        await until(lambda: stage.status["connected"])
        stage.sessions[0].buffered = 10**9  # the socket takes nothing
        stage.hangs = True
        stage.link.publish("x", b"stale")
        await until(lambda: stage.changes == [True, False])
        assert (stage.status["trouble"]["error"], stage.status["unsent"]) == ("hangs", 1)

    run(stage, body)


def test_whatever_a_library_raises_is_a_session_that_failed():
    stage = Stage(A, B)
    stage.broken[A] = KeyError("a fault of the library")

    async def body():
        await until(lambda: stage.status["server"] == B)
        assert stage.status["failures"] == 1

    run(stage, body)


def test_refusals_by_permissions_are_told_apart_and_bounded():
    stage = Stage(A)

    async def body():
        await until(lambda: stage.status["connected"])
        for number in range(3 * MOST_DENIED):
            stage.sessions[0].denied(f"no {number}")
        stage.sessions[0].denied("no 0")
        assert len(stage.status["denied"]) == MOST_DENIED
        assert stage.status["denied"][0] == {"what": "no 0", "count": 2}

    run(stage, body)


def test_a_fault_of_ours_is_counted_and_told_once():
    stage = Stage(A)

    async def body():
        await until(lambda: stage.status["connected"])
        stage.sessions[0].failed("KeyError: 1")
        stage.sessions[0].failed("KeyError: 1")
        assert (stage.status["faults"], stage.status["fault"]) == (2, "KeyError: 1")
        assert [notice.text for notice in stage.notices] == ["connected to NATS", "a message of another site could not be handled"]

    run(stage, body)


def test_a_server_that_goes_up_and_down_is_told_of_now_and_then():
    stage = Stage(A)

    async def body():
        for number in range(20):
            await until(lambda: len(stage.sessions) > number and stage.status["connected"])  # noqa: B023
            stage.sessions[-1].is_over.set()
            await until(lambda: not stage.status["connected"] or len(stage.sessions) > number + 1)  # noqa: B023
        assert len(stage.notices) <= 4

    run(stage, body)
