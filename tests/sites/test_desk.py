"""What a program that watches other sites is told, by a driver that is played."""

import json
from dataclasses import replace

import pytest

from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.query.request import Filter, Request
from discoveryd.runtime.discovery import Discovery
from tests.runtime.loops import running_loop
from tests.runtime.waiting import until
from tests.sites.played import PlayedSites, peer


@pytest.fixture
def loop():
    with running_loop() as made:
        yield made


@pytest.fixture
def sites(loop, monkeypatch):
    parameters = Parameters(loopback="127.0.0.2", limits=Limits(peers=2))
    made = PlayedSites(loop, Discovery(parameters, name="anna"), monkeypatch)
    yield made
    made.desk.stop()


@pytest.fixture
def lines(sites):
    """Give what a watch of all sites is told, from its second line on."""
    found = []

    def reply(text, **_):
        found.extend(json.loads(line) for line in text.splitlines())

    sites.desk.answer(Request(op="watch", site="all", filter=Filter()), reply)
    until(lambda: len(found) == 2)
    del found[:2]
    return found


def test_a_watch_is_told_of_peers_that_nobody_vouches_for(sites, lines):
    sites.tell("unknown", peer(state="unknown"))
    until(lambda: lines)
    [told] = lines
    assert (told["event"], told["seq"], told["peer"]["state"], told["peer"]["site"]) == ("unknown", 1, "unknown", "berlin")


def test_a_watch_is_told_which_boot_a_restart_replaces(sites, lines):
    sites.tell("restarted", peer(boot="b2"), former="b1")
    until(lambda: lines)
    [told] = lines
    assert (told["event"], told["peer"]["boot"], told["former"]) == ("restarted", "b2", "b1")


def test_a_watch_ends_with_a_word_where_the_site_is_another_one(sites, lines):
    sites.desk.stop()
    until(lambda: lines)
    assert lines[0]["error"]["code"] == "stopping"
    until(lambda: sites.watchers == 0)


def test_a_watch_of_boots_without_end_begins_anew(sites, lines):
    engine = sites.driver.engine
    engine.settings = replace(engine.settings, rows=1)
    for number in range(2, 8):
        sites.tell("joined", peer(boot=f"b{number}"))
    until(lambda: len(lines) == 7)
    assert [line["event"] for line in lines[:6]] == ["joined"] * 6
    assert lines[6]["error"]["code"] == "lagged"
    assert sites.watchers == 0
