"""Watches, and other readers that may be slow."""

import json

from discoveryd.errors import SubscriptionLagged
from discoveryd.net import query_connection
from tests.net.query_stage import Server, event

# --- slow readers -------------------------------------------------------------------------------------


def test_a_slow_reader_of_lists_holds_up_only_itself(server):
    server.backend.list_answer = {"ok": True, "peers": ["x" * 300_000]}
    slow, quick = server.connect(buffer=4096), server.connect()
    slow.send(b"list\n" * 100)
    server.until(lambda: server.owed > query_connection.REPLIES_AHEAD)
    server.settle()
    assert 0 < len(server.backend.asked) < 30
    assert server.owed <= query_connection.REPLIES_AHEAD + 300_100
    assert quick.ask(b"list\n")["ok"]
    slow.end()
    assert len(slow.rest()) == 100


def test_an_unread_watch_ends_with_a_reason_in_bounded_memory():
    with Server(query_backlog=65536) as server:
        slow, quick = server.connect(buffer=4096), server.connect()
        slow.ask(b"watch\n")
        quick.ask(b"watch\n")
        for seq in range(1, 10_000):
            server.happen(event(seq, name="n" * 60))
            assert quick.read()["seq"] == seq
            if server.server.refused:
                break
            assert server.owed <= 65536 + 1000
        lines = slow.rest()
        assert lines[-1]["error"]["code"] == "lagged"
        told = [line["seq"] for line in lines[:-1]]
        assert told == list(range(1, len(told) + 1))  # in order, and none torn
        assert quick.ask(b"list\n")["ok"]
        assert server.server.counts()["watchers"] == 1


def test_a_snapshot_longer_than_the_backlog_is_no_lag():
    with Server(query_backlog=65536) as server:
        server.backend.snapshot = ["x" * 10_000_000]
        client = server.connect(buffer=4096)
        client.send(b"watch\n")
        server.has(watchers=1)
        server.happen(event(1))
        server.settle()
        assert client.read()["event"] == "snapshot"
        assert client.read()["seq"] == 1


def test_every_watcher_is_told_when_the_server_lost_events(server):
    watcher, other = server.connect(), server.connect()
    watcher.ask(b"watch\n")
    server.backend.failure = SubscriptionLagged()
    server.settle()
    assert watcher.refused() == "lagged"
    assert other.ask(b"list\n")["ok"]


def test_a_watch_told_of_peers_without_end_begins_anew():
    with Server(peers=10) as server:
        watcher = server.connect()
        watcher.ask(b"watch\n")
        for seq in range(1, 21):
            server.happen(event(seq, name=f"n{seq}", boot=f"b{seq}"))
            assert watcher.read()["seq"] == seq
        server.happen(event(21, name="n21", boot="b21"))
        assert watcher.refused() == "lagged"


# --- watching -----------------------------------------------------------------------------------------


def watching(server, request, shown=(), seq=0):
    server.backend.shown = {("id-anna", boot) for boot in shown}
    server.backend.seq = seq
    client = server.connect()
    assert client.ask(json.dumps({"op": "watch", **request}).encode() + b"\n")["event"] == "snapshot"
    return client


def seqs(server, client, *events):
    """Give the numbers of those events that a watcher is told of."""
    server.happen(*events)
    server.settle()
    client.end()
    return [line["seq"] for line in client.rest()]


def test_a_watch_continues_where_its_snapshot_ends(server):
    client = watching(server, {}, seq=5)
    assert seqs(server, client, event(4), event(5), event(6), event(7)) == [6, 7]


def test_a_watch_is_told_of_what_it_asked_for(server):
    client = watching(server, {"name": "a*", "tags": {"role": "gpu"}})
    gpu = {"tags": {"role": "gpu"}}
    assert seqs(
        server,
        client,
        event(1, "joined", name="anna", **gpu),
        event(2, "joined", name="alma", boot="b2"),
        event(3, "joined", name="bert", boot="b3", **gpu),
        event(4, "left", name="anna", state="left", **gpu),
        event(5, "left", name="bert", boot="b3", state="left", **gpu),
    ) == [1, 4]


def test_a_peer_that_no_longer_matches_is_told_once(server):
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1"})
    gone = event(1, tags={"role": "cpu"})
    assert seqs(server, client, gone, event(2, tags={"role": "cpu"}), event(3, tags={"role": "gpu"})) == [1, 3]


def test_a_watch_of_live_peers_is_told_of_their_end(server):
    client = watching(server, {"state": ["up"]}, shown={"b1"})
    assert seqs(server, client, event(1, "down", state="down"), event(2, "recovered")) == [1, 2]


def test_a_restart_into_something_else_is_told(server):
    """The new boot was never shown, but it takes the place of one that was."""
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1"})
    assert seqs(server, client, event(1, "restarted", former="b1", boot="b2"), event(2, boot="b2")) == [1]


def test_a_clone_that_restarts_leaves_the_other_clone_shown(server):
    gpu = {"tags": {"role": "gpu"}, "clone": True}
    client = watching(server, {"tags": {"role": "gpu"}}, shown={"b1", "b2"})
    assert seqs(
        server,
        client,
        event(1, "restarted", former="b2", boot="b3", clone=True),
        event(2, boot="b3"),
        event(3, boot="b1", **gpu),
        event(4, boot="b1"),  # no longer a match, which is told as it was shown
        event(5, boot="b1"),
    ) == [1, 3, 4]


def test_a_returned_boot_takes_the_place_of_the_boot_that_left(server):
    client = watching(server, {"tags": {"role": "gpu"}, "all": True}, shown={"b1"})
    assert seqs(server, client, event(1, "joined", former="b1", boot="b2"), event(2, boot="b2")) == [1]


def test_restarts_do_not_add_up(server):
    client = watching(server, {}, shown={"b0"})
    server.happen(*(event(seq, "restarted", former=f"b{seq - 1}", boot=f"b{seq}") for seq in range(1, 100)))
    server.settle()
    [of_server] = server.server.clients.values()
    assert of_server.watch.shown == {("id-anna", "b99")}
    client.end()
