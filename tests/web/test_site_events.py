"""The streams that tell of other sites: as a watch of these does, and going on where they were interrupted."""

import pytest

from discoveryd.web import site_events, stream
from tests.runtime.waiting import until
from tests.sites.played import PlayedSites, peer
from tests.web.conftest import ask_json, say
from tests.web.streams import Stage


@pytest.fixture
def stage(loop, discovery, serve):
    made = Stage(loop, discovery, serve)
    yield made
    made.close()


@pytest.fixture
def sites(loop, discovery, monkeypatch):
    made = PlayedSites(loop, discovery, monkeypatch)
    yield made
    made.desk.stop()


def begun(reader):
    """Give the peers of the snapshot, and the id of what follows."""
    assert reader.status == 200
    name, snapshot = reader.told()
    assert (name, snapshot["event"]) == (None, "snapshot")
    name, sync = reader.told()
    assert sync["event"] == "sync"
    return [one["name"] for one in snapshot["peers"]], name


def told(reader):
    """Give kind, and site or peer, of the next event."""
    _, found = reader.told()
    return found["event"], found["peer"]["name"] if "peer" in found else found["site"]


def test_a_stream_of_all_sites_tells_what_their_watch_does(stage, sites):
    say(stage.discovery, 1)
    with stage.open("/events?site=all") as reader:
        names, name = begun(reader)
        assert names == ["web1", "bert"]
        sites.tell("joined", peer("carl"))
        number, joined = reader.told()
        assert (number, joined["event"], joined["peer"]["site"]) == (f"{name.partition('-')[0]}-1", "joined", "berlin")
        assert (joined["peer"]["via"], joined["reason"]) == ("gate", "because")
        sites.tell("restarted", peer("carl", boot="b2"), former="b1")
        assert reader.told()[1]["former"] == "b1"
        for kind, state in (("updated", "up"), ("unknown", "unknown"), ("down", "down"), ("left", "left")):
            sites.tell(kind, peer("bert", state))
            assert told(reader) == (kind, "bert")
        for kind in ("site-unreachable", "site-back"):
            sites.tell(kind)
            assert told(reader) == (kind, "berlin")
        sites.desk.hear(local_event(stage, 2))
        _, here = reader.told()
        assert (here["event"], here["peer"]["site"], here["peer"]["via"]) == ("joined", "paris", None)


def local_event(stage, number):
    """Let a peer of this network join."""
    events = stage.discovery.subscribe()
    say(stage.discovery, number)
    return events.get(timeout=1)


def test_a_stream_of_one_site_hears_of_no_other(stage, sites):
    say(stage.discovery, 1)
    with stage.open("/events?site=rome") as rome, stage.open("/events") as here:
        assert begun(rome)[0] == []
        assert begun(here)[0] == ["web1"]
        sites.tell("joined", peer("carl"))
        sites.tell("site-unreachable")
        sites.tell("joined", peer("dino", site="rome"))
        assert told(rome) == ("joined", "dino")
        say(stage.discovery, 2)
        name, found = here.told()
        assert (name, found["peer"]["id"], "site" in found["peer"]) == (f"{stage.hub.run}-2", "p2", False)


def test_an_interrupted_stream_of_sites_goes_on_where_it_was(stage, sites):
    with stage.open("/events?site=all") as other:
        begun(other)
        with stage.open("/events?site=berlin") as reader:
            last = begun(reader)[1]
        for name, site in (("carl", "berlin"), ("dino", "rome"), ("ernie", "berlin")):
            sites.tell("joined", peer(name, site=site))
            told(other)
        for path, headers in ((f"/events?site=berlin&last_event_id={last}", {}), ("/events?site=berlin", {"Last_Event_ID": last})):
            with stage.open(path, **headers) as reader:
                assert [told(reader) for _ in range(2)] == [("joined", "carl"), ("joined", "ernie")]
        with stage.open(f"/events?site=all&last_event_id={last}") as reader:
            assert [told(reader)[1] for _ in range(3)] == ["carl", "dino", "ernie"]
            sites.tell("left", peer("carl", "left"))
            assert told(reader) == ("left", "carl")


def test_for_a_while_a_stream_may_go_on_though_no_other_is_there(stage, sites):
    with stage.open("/events?site=all") as reader:
        last = begun(reader)[1]
    until(lambda: not stage.hub.streams)
    sites.tell("joined", peer("carl"))
    with stage.open("/events?site=all", Last_Event_ID=last) as reader:
        assert told(reader) == ("joined", "carl")
    until(lambda: sites.watchers == 1)


def test_a_stream_of_sites_that_missed_nothing_goes_on(stage, sites):
    with stage.open("/events?site=all&name=*") as alone:  # so the numbers do not begin with the watch that is shared
        begun(alone)
        sites.tell("joined", peer("carl"))
        told(alone)
        with stage.open("/events?site=all") as reader:
            last = begun(reader)[1]
        assert last.endswith("-1")
        with stage.open("/events?site=all", Last_Event_ID=last) as reader:
            sites.tell("left", peer("carl", "left"))
            assert told(reader) == ("left", "carl")


def test_later_nobody_watches_and_a_stream_begins_anew(stage, sites, monkeypatch):
    monkeypatch.setattr(site_events, "KEEP", 0.0)
    with stage.open("/events?site=all") as reader:
        last = begun(reader)[1]
        until(lambda: sites.watchers == 1)
    until(lambda: sites.watchers == 0)
    sites.tell("joined", peer("carl"))
    with stage.open("/events?site=all", Last_Event_ID=last) as reader:
        assert begun(reader)[1].partition("-")[0] != last.partition("-")[0]


@pytest.mark.parametrize("last", ["nonsense", "0000-1", "{run}-9", "{run}-0", "{here}-1"])
def test_what_is_not_remembered_of_sites_begins_anew(stage, sites, monkeypatch, last):
    monkeypatch.setattr(stream, "REMEMBERED", 1)
    with stage.open("/events?site=all") as reader:
        run = begun(reader)[1].partition("-")[0]
        for name in ("carl", "ernie"):
            sites.tell("joined", peer(name))
            told(reader)
        with stage.open("/events?site=all", Last_Event_ID=f"{run}-1") as again:
            assert told(again) == ("joined", "ernie")
        with stage.open("/events?site=all", Last_Event_ID=last.format(run=run, here=stage.hub.run)) as again:
            begun(again)


def test_a_stream_with_a_filter_has_its_own_watch(stage, sites):
    sites.driver.peers = [peer("bert", role="db"), peer("carl")]
    with stage.open("/events?site=berlin&tag=role=db") as reader:
        names, last = begun(reader)
        assert (names, sites.watchers) == (["bert"], 1)
        sites.tell("updated", peer("carl"))
        sites.tell("updated", peer("carl", role="db"))
        assert told(reader) == ("entered", "carl")
        sites.tell("updated", peer("bert"))
        assert told(reader) == ("departed", "bert")
    until(lambda: sites.watchers == 0)
    with stage.open("/events?site=berlin&tag=role=db", Last_Event_ID=last) as reader:
        begun(reader)
    with stage.open("/events?site=all&state=unknown") as reader:
        assert begun(reader)[0] == []


def test_a_wrong_site_is_told(stage, sites):
    status, found = ask_json(stage.door, "/events?site=tokyo")
    assert (status, found["error"]["code"]) == (404, "not_found")
    assert "no site 'tokyo' is known; known: paris, berlin, rome" in found["error"]["message"]
    assert ask_json(stage.door, "/events?site=tokyo&name=x")[0] == 404
    assert ask_json(stage.door, "/events?site=rome&site=paris")[0] == 400
    assert not stage.hub.streams


def test_without_a_site_there_is_no_stream_of_sites(stage):
    status, found = ask_json(stage.door, "/events?site=all")
    assert (status, found["error"]["code"]) == (404, "off")
    assert "set sites.name" in found["error"]["message"]


def test_streams_end_with_the_site_of_this_node(stage, sites):
    with stage.open("/events?site=all") as shared, stage.open("/events?site=all&name=*") as alone, stage.open() as here:
        for reader in (shared, alone, here):
            begun(reader)
        sites.desk.stop()
        for reader in (shared, alone):
            assert reader.told()[1]["error"]["code"] == "stopping"
            assert reader.event() is None
        say(stage.discovery, 1)
        assert here.told()[1]["event"] == "joined"


def test_sites_that_do_not_answer_give_no_stream(stage, monkeypatch):
    monkeypatch.setattr(site_events, "PATIENCE", 0.05)
    ended = []
    stage.discovery.handlers.sites = lambda request, reply: lambda: ended.append(request.site)
    for path, ends in (("/events?site=rome&name=x", ["rome"]), ("/events?site=rome", ["rome"])):
        status, found = ask_json(stage.door, path)
        assert (status, found["error"]["code"], ended) == (503, "failed", ends)
    stage.close()
    assert ended == ["rome", "all"]
