"""What a program that watches other sites is told, by a driver that is played."""

import json

import pytest

from discoveryd.config.sites import SitesSection
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.query.request import Filter, Request
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.loop import Loop
from discoveryd.sites import desk as module
from discoveryd.sites.access import Access
from discoveryd.sites.desk import SiteDesk
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.values import SiteEvent
from tests.runtime.waiting import until
from tests.sites.world import text_of

SERVER = "nats://127.0.0.1:4222"


def peer(name="bert", state="up", boot="b1"):
    return render(f"{name} {boot}", text_of(name), state, Voucher("berlin", "gate", 1.0, 10.0), 5.0)


class PlayedDriver:
    """Knows the peers of berlin, and tells what a test says."""

    def __init__(self, *_, told, **__):
        self.peers = [peer()]
        self.told = told

    def rows(self, _):
        return self.peers

    def status(self):
        return {"sites": [{"name": "berlin"}]}

    async def run(self):
        """Do nothing."""


@pytest.fixture
def loop():
    deaths = []
    made = Loop(lambda _: None, lambda *death: deaths.append(death))
    made.start()
    yield made
    made.stop()
    assert deaths == []


@pytest.fixture
def watched(loop, monkeypatch):
    """Give a desk of paris, a function that tells an event of a peer of berlin, and the lines of a watch of all sites."""
    drivers, lines = [], []
    monkeypatch.setattr(module, "SiteDriver", lambda *args, **more: drivers.append(PlayedDriver(*args, **more)) or drivers[0])
    desk = SiteDesk(
        SitesSection(name="paris", servers=(SERVER,)), Access(servers=(SERVER,)), Discovery(Parameters(loopback="127.0.0.2"), name="anna"), NO_KEYS, loop,
        notify=lambda _: None, hook=lambda *_: None, changed=(), process=lambda: 1,
    )  # fmt: skip
    desk.start()

    def reply(text, **_):
        lines.extend(json.loads(line) for line in text.splitlines())

    def tell(kind, found, former=""):
        loop.call(drivers[0].told, SiteEvent(kind, "berlin", found, "because", former))

    desk.answer(Request(op="watch", site="all", filter=Filter()), reply)
    until(lambda: len(lines) == 2)
    yield desk, tell, lines
    desk.stop()


def test_a_watch_is_told_of_peers_that_nobody_vouches_for(watched):
    _, tell, lines = watched
    tell("unknown", peer(state="unknown"))
    until(lambda: len(lines) == 3)
    assert (lines[2]["event"], lines[2]["seq"], lines[2]["peer"]["state"], lines[2]["peer"]["site"]) == ("unknown", 1, "unknown", "berlin")


def test_a_watch_is_told_which_boot_a_restart_replaces(watched):
    _, tell, lines = watched
    tell("restarted", peer(boot="b2"), "b1")
    until(lambda: len(lines) == 3)
    assert (lines[2]["event"], lines[2]["peer"]["boot"], lines[2]["former"]) == ("restarted", "b2", "b1")


def test_a_watch_ends_with_a_word_where_the_site_is_another_one(watched):
    desk, _, lines = watched
    desk.stop()
    until(lambda: len(lines) == 3)
    assert lines[2]["error"]["code"] == "stopping"
    until(lambda: desk.status()["watchers"] == 0)
