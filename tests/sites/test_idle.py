"""How often a node is woken where nothing happens, on virtual clocks: by the words of others, and by little else."""

import asyncio
from random import Random

from discoveryd.sites.access import Access
from discoveryd.sites.driver import SiteDriver
from discoveryd.sites.engine import SiteEngine
from discoveryd.sites.link import NatsLink
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.values import Survey
from tests.sites.test_link import A, Played
from tests.sites.virtual import run
from tests.sites.world import World

SECONDS = 120


def test_nothing_is_due_on_a_standby_of_quiet_sites():
    made = World(3)
    places = [made.place(name, 3) for name in ("berlin", "paris")]
    made.run(30)
    nodes = [node for place in places for node in place.nodes]
    before = [node.polls for node in nodes]
    made.run(SECONDS)
    polls = {node: (node.polls - former) / SECONDS for node, former in zip(nodes, before, strict=True)}
    roles = {node: node.status()["role"] for node in nodes}
    assert sorted(roles.values()) == ["gateway"] * 4 + ["standby"] * 2
    assert max(polls[node] for node in nodes if roles[node] == "standby") <= 0.2
    assert max(polls[node] for node in nodes if roles[node] == "gateway") <= 0.5 + 0.2, "its own beats, each 2 s"


class Standby:
    """A node that stands by, with a session that a test plays, on a virtual loop."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.tried, self.sessions, self.broken, self.hangs = [], [], {}, False
        self.surveys = 0
        engine = SiteEngine(
            SiteSettings(site="berlin", can_speak=False), node="n", name="n", boot="0" * 16, random_bytes=Random(1).randbytes
        )  # fmt: skip
        self.driver = SiteDriver(
            engine,
            lambda hear, changed: NatsLink(
                Access(servers=(A,)), name="n", hear=hear, changed=changed, notify=print, random=Random(1),
                session=lambda *told: Played(self, *told),
            ),
            survey=self.survey, clock=self.loop.time, told=print, talk=print, notify=print,
        )  # fmt: skip
        self.running = self.loop.create_task(self.driver.run())

    def survey(self):
        self.surveys += 1
        return Survey(() if self.surveys == 1 else None)


def test_a_standby_that_hears_others_is_woken_by_them_alone():
    async def body():
        node = Standby()
        await asyncio.sleep(10.0)
        before, surveys = len(node.loop.wakes), node.surveys
        for _ in range(2 * SECONDS):
            await asyncio.sleep(0.5)
            node.sessions[0].hear("discoveryd.default.paris.beat", b"")
        assert len(node.loop.wakes) - before <= (2 + 0.15) * SECONDS
        assert node.surveys - surveys <= 0.15 * SECONDS
        assert node.driver.status()["role"] == "standby"
        node.running.cancel()

    run(body())


def test_a_standby_that_hears_nobody_asks_the_server_alone():
    async def body():
        node = Standby()
        await asyncio.sleep(10.0)
        before = len(node.loop.wakes)
        await asyncio.sleep(SECONDS)
        assert len(node.loop.wakes) - before <= (0.5 + 0.15) * SECONDS
        node.running.cancel()

    run(body())


def test_a_survey_comes_just_before_a_beat_of_a_colleague():
    async def body():
        node = Standby()
        await asyncio.sleep(10.0)
        for _ in range(10):
            await asyncio.sleep(0.7)
            surveys = node.surveys
            node.sessions[0].hear("discoveryd.default.berlin.beat", b"")
            assert node.surveys == surveys + 1
        node.running.cancel()

    run(body())
