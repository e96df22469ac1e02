"""Names of seeds are resolved again and again, and one that hangs delays nobody."""

import socket
import subprocess
import sys
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from discoveryd.net import resolve as resolver
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.seed_names import AGAIN, AT_ONCE, CONCURRENT, PATIENCE, RETRY, SILENT, SOON, SeedNames

ROOT = Path(__file__).parents[2]
WAIT = 15.0


class Resolver:
    """A resolver that answers as told: with addresses, an error, or not before `release` is set."""

    def __init__(self):
        self.told = {}
        self.asked = []
        self.release = Event()
        self.ended = Event()
        self.taken = []
        self.notices = []
        self.links = 1
        self.is_heard = True
        self.names = SeedNames(
            lambda name, addresses: self.taken.append((name, addresses)), self.notices.append, wake=self.ended.set,
            failed=lambda *_: None, links=lambda: self.links, find=self.find, is_usable=lambda one: one != "127.0.1.1",
            hears=lambda _: self.is_heard,
        )  # fmt: skip

    def find(self, name):
        self.asked.append(name)
        answer = self.told.get(name, "hangs")
        if answer == "hangs":
            self.release.wait(WAIT)
            return ("192.0.2.99",)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def poll(self, now):
        """Poll, and again once each lookup that was started has ended."""
        self.ended.clear()
        before = len(self.asked)
        wait = self.names.poll(now)
        if wait != SOON and (self.started(now) or len(self.asked) > before):
            assert self.ended.wait(WAIT)
            wait = self.names.poll(now)
        return wait

    def started(self, now):
        return any(state.due > now + 1000 and self.told.get(name, "hangs") != "hangs" for name, state in self.names.states.items())

    def lines(self):
        lines = [(notice.level, notice.text, notice.fields.get("seed")) for notice in self.notices]
        self.notices.clear()
        return lines


@pytest.fixture
def resolver_():
    made = Resolver()
    yield made
    made.release.set()


FAILS = OSError(5, "no answer")


def test_a_name_is_resolved_and_asked_for_again(resolver_):
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.names.set(["hub"])
    wait = resolver_.poll(0.0)
    assert resolver_.taken == [("hub", ("192.0.2.1",))]
    assert resolver_.lines() == [("info", "seed resolved", "hub")]
    assert AGAIN * 0.9 <= wait <= AGAIN * 1.1
    resolver_.poll(10.0)
    assert resolver_.asked == ["hub"]
    resolver_.told["hub"] = ("192.0.2.2", "192.0.2.1")
    resolver_.poll(wait)
    assert resolver_.taken[1:] == [("hub", ("192.0.2.2", "192.0.2.1"))]
    assert resolver_.lines() == [("info", "seed resolved", "hub")]
    resolver_.told["hub"] = ("192.0.2.1", "192.0.2.2")  # in turns
    resolver_.poll(100.0)
    assert (len(resolver_.asked), len(resolver_.taken), resolver_.lines()) == (3, 2, [])


def test_a_failure_is_told_once_and_keeps_the_addresses(resolver_):
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.names.set(["hub"])
    resolver_.poll(0.0)
    resolver_.lines()
    resolver_.told["hub"] = FAILS
    now, waits = 100.0, []
    for _ in range(7):
        waits.append(resolver_.poll(now))
        now += waits[-1]
    assert waits == [RETRY, 2.0, 4.0, 8.0, 16.0, AGAIN, AGAIN]
    assert resolver_.lines() == [("warning", "seed does not resolve", "hub")]
    state = resolver_.names.states["hub"]
    assert (state.addresses, state.error) == (("192.0.2.1",), "no answer")
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.poll(now)
    assert resolver_.taken == [("hub", ("192.0.2.1",))]  # nothing has changed
    assert resolver_.names.states["hub"].error == ""


def test_names_are_asked_for_when_links_change(resolver_):
    resolver_.told["hub"] = FAILS
    resolver_.names.set(["hub"])
    now = 0.0
    for _ in range(6):
        now += resolver_.poll(now)
    for links in (2, 3):
        resolver_.links = links
        resolver_.told["hub"] = (f"192.0.2.{links}",)
        resolver_.poll(now - 20.0)
    assert resolver_.taken == [("hub", ("192.0.2.2",)), ("hub", ("192.0.2.3",))]


def test_where_nobody_is_heard_a_name_is_asked_for_sooner(resolver_):
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.is_heard = False
    resolver_.names.set(["hub"])
    assert resolver_.poll(0.0) <= SILENT * 1.1


def test_a_name_without_an_answer_counts_as_failed(resolver_):
    resolver_.names.set(["hub"])
    assert resolver_.names.poll(0.0) == PATIENCE
    assert resolver_.lines() == []
    resolver_.names.poll(PATIENCE)
    resolver_.names.poll(PATIENCE + 100.0)
    assert resolver_.lines() == [("warning", "seed does not resolve", "hub")]
    assert resolver_.names.states["hub"].error == f"no answer of the resolver in {PATIENCE:g} s"
    assert resolver_.asked == ["hub"]  # its thread goes on
    resolver_.release.set()
    assert resolver_.ended.wait(WAIT)
    resolver_.names.poll(200.0)
    assert resolver_.taken == [("hub", ("192.0.2.99",))]


def test_names_that_hang_delay_no_other_and_are_bounded(resolver_):
    dead = [f"dead{number}" for number in range(500)]
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.names.set(["hub", *dead])
    assert resolver_.names.poll(0.0) == SOON
    assert len(resolver_.asked) <= AT_ONCE
    deadline = monotonic() + WAIT
    while not resolver_.taken and monotonic() < deadline:
        resolver_.names.poll(0.1)
    assert resolver_.taken == [("hub", ("192.0.2.1",))]
    for number in range(500):
        resolver_.names.poll(0.2 + number)
    assert len(resolver_.asked) == CONCURRENT + 1
    assert len(resolver_.lines()) == CONCURRENT + 1


def test_an_address_of_this_machine_alone_is_none(resolver_):
    resolver_.told["hub"] = ("127.0.1.1",)
    resolver_.names.set(["hub"])
    resolver_.poll(0.0)
    assert resolver_.taken == []
    assert resolver_.names.states["hub"].error == "only 127.0.1.1, which is no address of another node"


def test_names_that_are_no_seeds_any_more_are_forgotten(resolver_):
    resolver_.told["hub"] = ("192.0.2.1",)
    resolver_.names.set(["hub"])
    resolver_.poll(0.0)
    resolver_.names.set([])
    resolver_.names.poll(1.0)
    assert resolver_.names.states == {}
    assert resolver_.names.poll(2.0) == float("inf")


def test_the_resolver_of_the_machine_is_asked():
    assert resolver.resolve("localhost") == ("127.0.0.1",)
    with pytest.raises(socket.gaierror) as error:
        resolver.resolve("nobody.invalid")
    assert resolver.failure(error.value).startswith("EAI_")
    assert resolver.failure(OSError(24, "Too many open files")) == "Too many open files"


def test_a_discovery_takes_other_seeds_at_a_reload(monkeypatch, port):
    found = {"hub": "127.0.0.3", "other": "127.0.0.4"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_: [(0, 0, 0, "", (found[name], 0))])

    def states():
        seeds = node.status()["seeds"]
        return {one["seed"]: (one["state"], [at["address"] for at in one["addresses"]]) for one in seeds}

    def until(wanted):
        deadline = monotonic() + WAIT
        while states() != wanted:
            assert monotonic() < deadline, states()
            Event().wait(0.01)

    with Discovery(Parameters(loopback="127.0.0.2", port=port, seeds=("hub", "127.0.0.2"))) as node:
        until({"hub": ("silent", ["127.0.0.3"]), "127.0.0.2": ("here", ["127.0.0.2"])})
        with Discovery(Parameters(loopback="127.0.0.3", port=port)):
            until({"hub": ("answers", ["127.0.0.3"]), "127.0.0.2": ("here", ["127.0.0.2"])})
        node.set_parameters(Parameters(loopback="127.0.0.2", port=port, seeds=("other",)))
        until({"other": ("silent", ["127.0.0.4"])})
        node.set_parameters(Parameters(loopback="127.0.0.2", port=port))
        until({})


def test_the_resolver_is_imported_only_for_names():
    code = (
        "import sys; from discoveryd import Discovery, Parameters; d = Discovery(Parameters(seeds=('10.1.0.5',)));"
        "assert 'discoveryd.runtime.seed_names' not in sys.modules; d.set_parameters(Parameters(seeds=('hub',)));"
        "assert 'discoveryd.runtime.seed_names' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=ROOT)
