"""Three sites with real NATS servers, a hub between them, and real daemons: what each node knows of all others."""

import asyncio
import json
import signal
from random import Random

import pytest

from discoveryd.sites.access import Access
from discoveryd.sites.link import NatsLink
from tests.netns.sites import GONE, SITES, Fleet, lag, until

ALL = [f"{site}{number}" for site in SITES for number in (1, 2)]


@pytest.fixture
def fleet(lab, tool):
    made = Fleet(lab, tool("nats-server", "nats-server"), hosts=2, loss=25)
    yield made
    made.close()


def sites(fleet, name):
    return {one["name"]: one["state"] for one in fleet.client(name).request("sites")["sites"]}


def dropped(fleet, name):
    return {one["reason"]: one["count"] for one in fleet.client(name).request("status")["sites"]["dropped"]}


def test_three_sites_know_each_other(fleet):
    fleet.start(*(name for name in ALL if name != "paris2"))
    present = [name for name in ALL if name != "paris2"]
    until(lambda: all(fleet.lists(name, *present) for name in present), 30.0, "all list all")
    far = ["berlin1", "tokyo1", "tokyo2"]

    fleet.start("paris2")
    print("joined", lag(fleet, ["paris1"], far, "paris2", "up"))
    until(lambda: fleet.lists("berlin2", *ALL), 5.0, "the other gateway knows it too")
    fleet.nodes["paris2"].send(signal.SIGTERM)
    print("left", lag(fleet, ["paris1"], far, "paris2", GONE))
    fleet.start("paris2")
    # the word of paris2 itself would do for the others, and what ends with it is unknown: paris1 shall know it too
    until(lambda: all(fleet.lists(name, "paris2") for name in ("paris1", *far)), 30.0, "paris2 is back")
    fleet.nodes["paris2"].kill()
    print("killed", lag(fleet, ["paris1"], far, "paris2", GONE))

    watch = fleet.client("berlin2").watch(site="all")
    for line in watch:
        if line["event"] == "sync":
            break
    fleet.cut("paris")
    print("silent", until(lambda: sites(fleet, "berlin1")["paris"] == "unreachable", 20.0, "paris is silent"))
    assert fleet.states("berlin1")["paris1"] == "unknown"
    assert fleet.lists("berlin1", "berlin2", "tokyo1", "tokyo2")
    status = fleet.client("berlin1").request("status")
    assert "site-unreachable" in {finding["code"] for finding in status["findings"]}
    until(lambda: sites(fleet, "paris1") == {"berlin": "unreachable", "tokyo": "unreachable"}, 20.0, "all are silent for paris")
    fleet.cut("paris", up=True)
    print("healed", until(lambda: fleet.lists("berlin1", "paris1") and fleet.lists("paris1", "tokyo1"), 20.0, "paris is back"))
    told = []
    for line in watch:
        told.append((line["event"], line.get("site")))
        if told[-1] == ("site-back", "paris"):
            break
    assert [one for one in told if one[0] in ("down", "left")] == []
    assert told.count(("site-unreachable", "paris")) == 1

    heard = asyncio.run(recorded(fleet, "berlin"))
    assert heard
    found = dropped(fleet, "tokyo1")
    assert found["replayed"] >= 1
    assert fleet.lists("tokyo1", "berlin1", "berlin2", "paris1", "tokyo2")
    table = fleet.nodes["tokyo2"].host.discoveryctl("list", "--site", "berlin").stdout
    assert "berlin1" in table
    assert table.splitlines()[0].split()[:3] == ["NAME", "SITE", "STATE"]
    found = json.loads(fleet.nodes["tokyo2"].host.discoveryctl("sites", "--json").stdout)
    assert (found["site"], sorted(one["name"] for one in found["sites"])) == ("tokyo", ["berlin", "paris"])


async def recorded(fleet, site):
    """Record beats of a site with its own seed, and play each again half a second later, as a thief of the seed could."""
    heard = []
    host = fleet.servers[site].host
    with host.namespace():
        link = NatsLink(
            Access(servers=("nats://127.0.0.1:4222",), seed=fleet.seeds[site]), name="thief",
            hear=lambda *message: heard.append(message), changed=lambda _: None, notify=lambda _: None, random=Random(1),
        )  # fmt: skip
        link.subscribe("discoveryd.*.*.beat")
        running = asyncio.ensure_future(link.run())
        await asyncio.sleep(3.0)
        played = [message for message in heard if message[0] == f"discoveryd.default.{site}.beat"]
        for message in played:
            link.publish(*message)
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return played
