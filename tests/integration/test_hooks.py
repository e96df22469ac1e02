"""A node with hooks and a watcher, while peers come and go faster than any hook could follow."""

import gc
import os
import socket
import threading
from contextlib import ExitStack
from time import monotonic

import pytest

from discoveryd.net.query_client import QueryClient
from discoveryd.protocol import rate_limits
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.hooks import Hooks
from tests.conftest import descendants, memory_of
from tests.runtime.hooking import Notices, write_hook

EVENTS = 1000
BATCH = 100
"""HELLOs sent before their events are awaited: so many fit into any socket's buffer."""
LIMITS = Limits(
    peers=EVENTS, newcomers=100_000, source_datagrams=100_000, datagrams=100_000, hooks=3, hook_timeout=60.0, hook_queue=200
)  # fmt: skip
ROUNDS = 6
SLACK = 4 * 1024 * 1024
"""Bytes by which the memory may grow over the last 4,000 events, which would take 6 MB if they were kept."""


class Crowd:
    """Many peers that speak through one socket; others in each round, for one that flaps would be told of less often."""

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.77", port))  # a closed port would be the kernel's word that they are gone
        self._there = ("127.0.0.2", port)
        self._seq = 0

    def close(self):
        self._socket.close()

    def say(self, numbers, round, flags=""):
        self._seq += 1
        for number in numbers:
            boot = f"{round:08x}{number:08x}"
            hello = f"HELLO|2|default|peer-{round}-{number}|{boot}|60000|600000||{boot}|{self._seq}"
            hello += flags and f"|{flags}|"
            self._socket.sendto(hello.encode(), self._there)


@pytest.fixture
def notices():
    return Notices()


@pytest.fixture
def scene(tmp_path, port, notices, monkeypatch):
    """Give the hooks of a node, a crowd that it hears, and a watch of it that has begun."""
    monkeypatch.setattr(rate_limits, "UNASKED_PER_SECOND", 10_000)  # the crowd answers no PING
    tmp_path.chmod(0o755)
    with ExitStack() as stack:
        parameters = Parameters(port=port, loopback="127.0.0.2", limits=LIMITS)
        discovery = Discovery(parameters, name="anna", query=("127.0.0.2", 0), notify=notices.put)
        hooks = Hooks(str(tmp_path / "hooks.d"), notices.put, LIMITS)
        stack.callback(hooks.stop)
        hooks.start()
        events = discovery.subscribe()
        main_thread = threading.Thread(target=lambda: [hooks.hear(event) for event in events])
        stack.callback(main_thread.join)  # it ends with the subscription
        main_thread.start()
        stack.enter_context(discovery)
        crowd = Crowd(port)
        stack.callback(crowd.close)
        client = stack.enter_context(QueryClient(discovery.query_address))
        watch = client.watch(deadline=monotonic() + 60.0)
        stack.callback(watch.close)
        assert [next(watch)["event"], next(watch)["event"]] == ["snapshot", "sync"]
        yield hooks, crowd, watch


def storm(crowd, watch, round, flags, kind, seen):
    """Let all peers do something; read from `watch` that each was seen, in order, without a gap."""
    began = monotonic()
    for first in range(0, EVENTS, BATCH):
        crowd.say(range(first, first + BATCH), round, flags)
        lines = [next(watch) for _ in range(BATCH)]
        assert {line["event"] for line in lines} == {kind}
        assert [line["seq"] for line in lines] == [*range(seen + 1, seen + BATCH + 1)]
        assert len({line["peer"]["id"] for line in lines}) == BATCH
        seen += BATCH
    return seen, monotonic() - began


def test_a_thousand_events_a_second_and_a_hook_that_sleeps(scene, tmp_path):
    """Bounded processes, nothing lost from watch, memory flat."""
    hooks, crowd, watch = scene
    log = tmp_path / "log"
    write_hook(tmp_path / "hooks.d", "slow", f"echo begin >> {log}; sleep 0.2; echo end >> {log}")
    hooks.reload()
    seen, most = 0, 0
    memory, durations = [], []
    for round in range(1, ROUNDS + 1):
        for flags, kind in (("", "joined"), ("g", "left")):
            seen, seconds = storm(crowd, watch, round, flags, kind, seen)
            durations.append(seconds)
            counts = hooks.counts()
            assert counts["waiting"] <= LIMITS.hook_queue
            assert counts["running"] <= LIMITS.hooks
            most = max(most, descendants(os.getpid()))
        gc.collect()  # what the table let go of is in cycles
        memory.append(memory_of(os.getpid()))
    assert min(durations) < 1.0  # the figure of the promise: 1,000 events in a second; other work may slow one storm
    assert 0 < most <= 2 * LIMITS.hooks  # the shell and its sleep
    assert memory[-1] - memory[ROUNDS // 2] < SLACK
    assert all_accounted_for(hooks, crowd, watch, seen)
    hooks.stop()
    assert descendants(os.getpid()) == 0
    at_once = [0]
    for line in log.read_text().splitlines():
        at_once.append(at_once[-1] + (1 if line == "begin" else -1))
    assert 1 <= max(at_once) <= LIMITS.hooks


def all_accounted_for(hooks, crowd, watch, seen):
    """Whether every event has been run, waits, or was counted away; more events are the clock to wait by."""
    for number in range(EVENTS):
        counts = hooks.counts()
        known = sum(counts[name] for name in ("run", "running", "waiting", "coalesced", "dropped"))
        if counts["run"] and abs(known - seen) <= 2 * LIMITS.hooks:  # one that just ends is counted twice
            return counts["lost"] == 0
        crowd.say([number], 0)
        seen = next(watch)["seq"]
    return False


def test_a_hanging_hook_and_a_failing_one_harm_nothing(scene, tmp_path, notices):
    hooks, crowd, watch = scene
    write_hook(tmp_path / "hooks.d", "fails", r"printf '\033[31mbroken\n'; exit 1")
    write_hook(tmp_path / "hooks.d", "hangs", "trap '' TERM; while :; do sleep 1000; done")
    hooks.reload()
    seen, _ = storm(crowd, watch, 1, "", "joined", 0)
    assert notices.until("hook says", hook="fails").fields["line"] == r"\x1b[31mbroken"
    assert notices.until("hook ended", hook="fails").fields["exit"] == "1"
    storm(crowd, watch, 1, "g", "left", seen)
    assert hooks.counts()["failed"] > 0
    hooks.stop()
    assert descendants(os.getpid()) == 0
