"""The stream of events: a snapshot, what comes after it, going on after an interruption, and its bounds."""

import asyncio
import json

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.query.request import Filter
from discoveryd.runtime.discovery import Discovery
from discoveryd.web import events
from discoveryd.web import stream as streams
from discoveryd.web.events import Hub
from discoveryd.web.stream import Stream
from tests.protocol.samples import ETH0
from tests.runtime.waiting import until
from tests.web.conftest import ask, ask_json, say
from tests.web.streams import Stage

LIMIT = 8
"""Events that may wait for the hub."""


@pytest.fixture
def discovery():
    made = Discovery(Parameters(loopback="127.0.0.2", limits=Limits(subscriber_events=LIMIT)), name="anna")
    made.look(lambda node, now: node.set_links((ETH0,), now))
    return made


@pytest.fixture
def stage(loop, discovery, serve):
    made = Stage(loop, discovery, serve)
    yield made
    made.close()


def test_a_snapshot_then_each_event_with_an_id(stage):
    say(stage.discovery, 1)
    with stage.open() as reader:
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert reader.event() == {"retry": "2000"}
        name, snapshot = reader.told()
        assert (name, snapshot["event"], [peer["id"] for peer in snapshot["peers"]]) == (None, "snapshot", ["p1"])
        name, sync = reader.told()
        assert (name, sync) == (f"{stage.hub.run}-1", {"event": "sync", "seq": 1})
        say(stage.discovery, 2)
        name, joined = reader.told()
        assert (name, joined["event"], joined["peer"]["id"]) == (f"{stage.hub.run}-2", "joined", "p2")


def test_an_interrupted_stream_goes_on_where_it_was(stage):
    with stage.open() as reader:
        last = reader.told()[0] or reader.told()[0]
    for number in (1, 2):
        say(stage.discovery, number)
    for headers, path in (({"Last_Event_ID": last}, "/events"), ({}, f"/events?last_event_id={last}")):
        with stage.open(path, **headers) as reader:
            assert [reader.told()[1]["peer"]["id"] for _ in range(2)] == ["p1", "p2"]
    with stage.open(Last_Event_ID=f"{stage.hub.run}-2") as reader:  # nothing was missed
        say(stage.discovery, 3)
        assert reader.told()[1]["peer"]["id"] == "p3"


@pytest.mark.parametrize("last", ["", "nonsense", "0000-1", "{run}-", "{run}-9", "{run}-x", "{run}--1", "{run}-" + "9" * 30])
def test_what_is_not_remembered_begins_anew(stage, last):
    say(stage.discovery, 1)
    with stage.open(Last_Event_ID=last.format(run=stage.hub.run)) as reader:
        assert reader.told()[1]["event"] == "snapshot"


def test_only_so_many_events_are_remembered(stage, monkeypatch):
    monkeypatch.setattr(streams, "REMEMBERED", 2)
    for number in (1, 2, 3, 4):
        say(stage.discovery, number)
    with stage.open(Last_Event_ID=f"{stage.hub.run}-2") as reader:
        assert [reader.told()[1]["seq"] for _ in range(2)] == [3, 4]
    with stage.open(Last_Event_ID=f"{stage.hub.run}-1") as reader:
        assert reader.told()[1]["event"] == "snapshot"


def test_so_many_bytes_of_events_are_remembered(stage, monkeypatch):
    monkeypatch.setattr(streams, "REMEMBERED_BYTES", 1000)
    for number in (1, 2, 3, 4):
        say(stage.discovery, number)
    with stage.open(Last_Event_ID=f"{stage.hub.run}-3") as reader:
        assert reader.told()[1]["seq"] == 4
    with stage.open(Last_Event_ID=f"{stage.hub.run}-1") as reader:
        assert reader.told()[1]["event"] == "snapshot"


def test_a_filter_chooses_the_peers(stage):
    say(stage.discovery, 1)
    with stage.open("/events?name=web1&tag=rack=b2&state=up") as reader:
        assert [peer["id"] for peer in reader.told()[1]["peers"]] == ["p1"]
        assert reader.told()[1]["event"] == "sync"
        say(stage.discovery, 2)
        assert reader.told()[1]["peer"]["id"] == "p2"
    with stage.open("/events?name=other", Last_Event_ID=f"{stage.hub.run}-1") as reader:
        assert reader.told()[1]["peers"] == []
    assert ask_json(stage.door, "/events?tag=rack")[0] == 400


def test_one_more_stream_is_refused_and_a_closed_one_makes_room(stage, monkeypatch):
    monkeypatch.setattr(events, "STREAMS", 2)
    with stage.open() as first, stage.open() as second:
        assert first.told()
        assert second.told()
        status, found = ask_json(stage.door, "/events")
        assert (status, found["error"]["code"]) == (503, "busy")
    until(lambda: not stage.hub.streams)
    with stage.open() as third:
        assert third.told()[1]["event"] == "snapshot"


def test_what_is_in_the_snapshot_is_not_told_again(stage):
    async def open_late():
        """Let a peer come after the stream began to hear, and before its snapshot."""

        async def look(at):
            await asyncio.to_thread(say, stage.discovery, 1)
            await asyncio.to_thread(until, lambda: late.remembered)
            return await stage.answers.look(at)

        late = Hub(stage.discovery, look)
        try:
            stream = await late.open(Filter(), "")
            await asyncio.to_thread(say, stage.discovery, 2)
            return [await stream.next() for _ in range(4)]
        finally:
            late.close()

    _, snapshot, sync, event = stage.loop.run(open_late())
    assert b'"p1"' in snapshot
    assert b'"seq":1' in sync
    assert b'"seq":2' in event


def test_a_slow_reader_is_told_to_begin_anew(stage, monkeypatch):
    async def open_unread():
        return await stage.hub.open(Filter(), "")

    stream = stage.loop.run(open_unread())
    monkeypatch.setattr(streams, "BACKLOG", 1000)
    for number in range(1, 9):
        say(stage.discovery, number)
    until(lambda: stream.is_over)
    assert stream.owed <= 1000

    async def read_all():
        found = []
        while (chunk := await stream.next()) is not None:
            found.append(chunk)
        return found

    *_, last = stage.loop.run(read_all())
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "lagged"


def test_events_that_come_before_the_snapshot_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(streams, "BACKLOG", 1000)

    async def open_late(count):
        """Let so many events come before the snapshot."""
        stream = Stream()
        for number in range(count):
            stream.tell(number, b"x" * 300)
        waiting = stream.owed
        stream.begin([b"snapshot"], 0)
        stream.close()
        return waiting, [chunk async for chunk in rest(stream)]

    async def rest(stream):
        while (chunk := await stream.next()) is not None:
            yield chunk

    assert stage.loop.run(open_late(3)) == (900, [streams.RETRY, b"snapshot", b"x" * 300, b"x" * 300])
    waiting, (_, last) = stage.loop.run(open_late(9))
    assert waiting == 900
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "lagged"


def test_a_silent_stream_is_kept_alive(stage, monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    with stage.open() as reader:
        assert [reader.told()[1]["event"] for _ in range(2)] == ["snapshot", "sync"]
        assert reader.event() == {":": ""}
        assert reader.event() == {":": ""}


def test_lost_events_end_the_streams(stage):
    with stage.open() as reader:
        assert [reader.told()[1]["event"] for _ in range(2)] == ["snapshot", "sync"]
        last = f"{stage.hub.run}-0"
        wakes, stage.discovery.handlers.wakes = stage.discovery.handlers.wakes, []
        for number in range(1, LIMIT + 2):
            say(stage.discovery, number)
        stage.discovery.handlers.wakes = wakes
        stage.hub.wake()
        assert [reader.told()[1]["seq"] for _ in range(LIMIT)] == [*range(1, LIMIT + 1)]  # what came before the gap
        assert reader.told()[1]["error"]["code"] == "lagged"
        assert reader.event() is None
    with stage.open(Last_Event_ID=last) as reader:
        assert len(reader.told()[1]["peers"]) == LIMIT + 1
        assert reader.told()[0] == f"{stage.hub.run}-{LIMIT + 1}"
        say(stage.discovery, LIMIT + 2)
        assert reader.told()[0] == f"{stage.hub.run}-{LIMIT + 2}"


def test_the_end_comes_with_a_word(stage):
    with stage.open() as reader:
        assert [reader.told()[1]["event"] for _ in range(2)] == ["snapshot", "sync"]
        stage.close()
        assert reader.told()[1]["error"]["code"] == "stopping"
        assert reader.event() is None


def test_head_opens_no_stream(stage):
    assert ask(stage.door, "/events", "HEAD")[0] == 200
    assert not stage.hub.streams


def test_a_hub_is_full_by_an_error_that_says_so(stage, monkeypatch):
    monkeypatch.setattr(events, "STREAMS", 0)

    async def open_one():
        return await stage.hub.open(Filter(), "")

    with pytest.raises(QueryError, match="streams of events are open already"):
        stage.loop.run(open_one())
