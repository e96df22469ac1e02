"""Who is answered next: the rule alone, then the server that follows it."""

import threading
from types import SimpleNamespace

from discoveryd.net.query_admission import FairQueue
from tests.net.query_stage import Server


class Client(SimpleNamespace):
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def served(turns, times, seconds=0.01):
    """Answer so many requests of connections that always have one more; return whose they were."""
    order = []
    for _ in range(times):
        client = turns.take()
        order.append(client.name)
        turns.add(client)
        turns.charge(client, seconds)
    return order


def queue(*clients):
    turns = FairQueue()
    for client in clients:
        turns.add(client)
    return turns


def test_connections_of_one_user_are_answered_in_turn():
    assert served(queue(*(Client(name=name, owner="anna") for name in "abc")), 6) == list("abcabc")


def test_many_connections_get_a_user_no_more_time_than_one():
    crowd = [Client(name="anna", owner="uid 1") for _ in range(400)]
    turns = queue(*crowd, Client(name="bert", owner="uid 2"))
    assert served(turns, 4) == ["anna", "bert", "anna", "bert"]
    assert served(turns, 100).count("bert") == 50


def test_what_an_answer_costs_counts_and_not_that_it_is_one():
    turns = queue(Client(name="anna", owner="uid 1"), Client(name="bert", owner="uid 2"))
    order = []
    for _ in range(22):
        client = turns.take()
        order.append(client.name)
        turns.add(client)
        turns.charge(client, 0.1 if client.name == "anna" else 0.01)
    assert order.count("bert") == 20


def test_owners_are_not_looked_up_while_one_connection_waits():
    turns = queue(nameless := Client(name="anna"))
    client = turns.take()
    assert client is nameless
    turns.charge(client, 1.0)
    assert len(turns) == 0


def test_a_closed_connection_waits_no_more():
    anna = Client(name="anna", owner="uid 1")
    turns = queue(anna)
    turns.discard(anna)
    turns.discard(anna)
    assert len(turns) == 0


def test_a_connection_with_many_requests_holds_up_no_other():
    with Server() as server:
        pipeline, other = server.connect(), server.connect()
        is_asked, begun = threading.Event(), threading.Event()
        answer = server.backend.answer

        def slow(request):
            begun.set()
            assert is_asked.wait(10.0)
            server.now += 0.06  # longer than a turn: the loop reads before the next answer
            return answer(request)

        server.backend.answer = slow
        pipeline.send(b"status\n" * 300)
        assert begun.wait(10.0)
        other.send(b"list\n")
        is_asked.set()
        other.read()
        assert server.backend.asked.index("list") <= 2
        for _ in range(300):
            pipeline.read()
