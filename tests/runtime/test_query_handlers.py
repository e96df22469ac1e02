"""A Discovery asked over its query socket."""

import socket

import pytest

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.parameters import Limits
from discoveryd.runtime.query_handlers import QueryHandlers
from tests.ear import EVERYBODY, Ear
from tests.protocol.samples import hello
from tests.runtime.waiting import wait_for


def test_the_query_socket_tells_the_same(make):
    anna, bert = make("anna", query=True), make("bert")
    told = anna.subscribe()
    anna.start()
    with QueryClient(anna.query_address) as client, QueryClient(anna.query_address) as watcher:
        assert client.greeting["node"] == {"id": "id-anna", "name": "anna", "boot": anna.status()["node"]["boot"]}
        watch = watcher.watch()
        assert [next(watch)["event"], next(watch)["event"]] == ["snapshot", "sync"]
        bert.start()
        wait_for(told, "joined", "bert")
        assert next(watch)["peer"]["name"] == "bert"
        [peer] = client.request("list")["peers"]
        assert (peer["name"], peer["state"]) == ("bert", "up")
        assert client.request("show", peer="bert")["peers"][0]["paths"][0]["address"] == "127.0.0.3"
        assert client.request("ping", peer="bert", count=2)["received"] == 2
        with pytest.raises(QueryError, match="no peer"):
            client.request("ping", peer="nobody")
        status = client.request("status")
        assert status["query"] == {
                "connections": 2, "limit": 64, "watchers": 1, "refused": 0, "denied": 0, "registrations": 0,
            "error": None, "next_try_s": None,
            }
        assert {metric["name"] for metric in client.request("metrics")["metrics"]} >= {"discoveryd_peers"}
        bert.stop()
        wait_for(told, "left")
        assert client.request("list")["peers"] == []
        kinds = [next(watch)["event"]]
        while kinds[-1] != "left":
            kinds.append(next(watch)["event"])


def test_a_query_server_that_lagged_tells_its_watchers(make, monkeypatch, port):
    anna = make("anna", query=True, limits=Limits(subscriber_events=1))
    anna.start()
    with (
        QueryClient(anna.query_address) as watcher, Ear(port) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):  # fmt: skip
        sender.bind(("127.0.0.9", port))
        watch = watcher.watch()
        assert [next(watch)["event"], next(watch)["event"]] == ["snapshot", "sync"]
        with monkeypatch.context() as asleep:
            asleep.setattr(QueryHandlers, "events", lambda _: [])

            def send_all(*_):
                for number in range(3):
                    said = hello(number, f"peer{number}", interval=3.0, ttl=30.0)
                    sender.sendto(said.encode(), ("127.0.0.2", port))

            anna.look(send_all)  # with the lock held, so that all of them are heard in one go
            ear.until(lambda: len(anna.peers()) == 3)
        anna.pulse.silent()  # wakes every thread
        with pytest.raises(SubscriptionLagged):
            next(watch)
        with QueryClient(anna.query_address) as again:
            assert len(next(again.watch())["peers"]) == 3


def test_a_watch_begun_in_the_middle_misses_nothing(make):
    anna = make("anna", query=True)
    anna.start()
    others = [make(f"peer{number}") for number in range(4)]
    with QueryClient(anna.query_address) as late:
        for other in others:
            other.start()
        watch = late.watch()
        names_seen = {peer["name"] for peer in next(watch)["peers"]}
        seq = next(watch)["seq"]
        while len(names_seen) < 4:
            event = next(watch)
            seq += 1
            assert event["seq"] == seq
            names_seen.add(event["peer"]["name"])


def test_status_counts_what_was_dropped(make, port):
    anna = make("anna", query=True)
    anna.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.77", 0))
        sender.sendto(b"nonsense", ("127.0.0.2", port))
        sender.sendto(bytes(2000), ("127.0.0.2", port))
        sender.sendto(b"HELLO|", ("127.0.0.2", port))
    with QueryClient(anna.query_address) as client, Ear(port) as ear:
        drops = {}

        def counted():
            status = client.request("status")
            drops.update({drop["reason"]: drop["count"] for drop in status["drops"]})
            return status["received"]["bare"] and "own-echo" in drops

        ear.until(counted)
    assert drops["malformed"] == 1
    assert drops["too-long"] == 1
    assert drops["own-echo"] >= 1
    assert anna.status()["links"][0]["broadcast"] == EVERYBODY
