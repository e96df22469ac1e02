"""Who gives way when there are more connections than places: the rule alone, then the server that follows it."""

import socket
from types import SimpleNamespace

import pytest

from discoveryd.net import query_connection
from discoveryd.net.query_admission import giving_way, may_watch, pushed_out
from discoveryd.protocol.parameters import Limits
from tests.net.query_stage import Server, error_of


def one(number, owner="anna", *, silent=False, idle=False, heard_at=0.0):
    return SimpleNamespace(number=number, owner=owner, is_silent=silent, is_idle=idle, heard_at=heard_at)


def leaves(newcomer, others, **limits):
    leaving, why = giving_way(newcomer, others, Limits(**limits))
    return None if leaving is None else (leaving.number, why.rpartition("limits.")[2].rstrip(")"))


ALL, MINE = "query_connections", "query_connections_per_user"


def test_owners_are_not_looked_up_while_there_is_room():
    nameless = [SimpleNamespace(number=number) for number in range(3)]
    assert leaves(SimpleNamespace(number=9), nameless, query_connections=8) is None


def test_half_of_the_places_are_for_one_user():
    others = [one(number) for number in range(4)]
    assert leaves(one(9), others, query_connections=8) == (9, MINE)
    assert leaves(one(9, "bert"), others, query_connections=8) is None
    assert leaves(one(9), others, query_connections=8, query_connections_per_user=5) is None


def test_the_user_with_most_silent_connections_loses_the_first():
    limits = Limits(query_connections=4)
    silent = [one(0, "bert", silent=True), one(1, silent=False), one(2, silent=True), one(3, silent=True)]
    assert pushed_out(silent, limits) is None
    assert pushed_out([*silent, one(4, silent=True)], limits).number == 2  # what 1 asks is on its way
    assert pushed_out([one(number) for number in range(5)], limits) is None


def test_the_user_with_most_places_gives_one_to_another():
    others = [*(one(number) for number in range(4)), *(one(number, "bert") for number in range(4, 7)), one(7, "carl")]
    assert leaves(one(9, "dora"), others, query_connections=8) == (0, ALL)
    assert leaves(one(9, "bert"), others, query_connections=8) == (0, ALL)


def test_a_user_with_as_many_places_as_any_other_is_refused():
    others = [one(0), one(1), one(2, "bert"), one(3, "bert")]
    assert leaves(one(9, "bert"), others, query_connections=4, query_connections_per_user=3) == (9, ALL)


def test_the_longest_silent_idle_connection_goes_first():
    others = [one(0), one(1, heard_at=5.0, idle=True), one(2, heard_at=4.0, idle=True), one(3)]
    assert leaves(one(9, "bert"), others, query_connections=4) == (2, ALL)
    assert leaves(one(9), others, query_connections=8) == (2, MINE)
    assert leaves(one(9, "bert"), [one(number) for number in range(4)], query_connections=4) == (0, ALL)


def test_the_watchers_of_one_user_are_bounded():
    limits = Limits(query_connections=8, watchers=6)  # three for each user
    mine, theirs = [one(number) for number in range(3)], [one(number, "bert") for number in range(3)]
    assert may_watch(one(9), mine[:2] + theirs, limits)
    assert not may_watch(one(9), mine + theirs[:2], limits)
    assert may_watch(one(9, "carl"), mine + theirs[:2], limits)
    assert not may_watch(one(9, "carl"), mine + theirs, limits)


# --- the server ---------------------------------------------------------------------------------------


def test_a_silent_connection_is_pushed_out_and_told_why():
    with Server(query_connections=2) as server:
        silent, busy = server.connect(), server.connect_and_stay()
        server.connect()
        server.connect()
        assert silent.refused() == "busy"
        assert busy.ask(b"list\n")["ok"]
        assert server.server.counts()["refused"] == 1
        server.has(connections=3)


def test_an_idle_connection_gives_its_place_to_one_that_asks():
    with Server(query_connections=1) as server:
        idle = server.connect()
        assert idle.ask(b"list\n")["ok"]
        assert server.connect().ask(b"list\n")["ok"]
        assert idle.refused() == "busy"


def test_nonsense_keeps_no_place():
    with Server(query_connections=1) as server:
        first = server.connect()
        assert error_of(first.ask(b"nonsense\n")) == "unknown_op"
        server.connect()
        assert first.refused() == "busy"


def test_endless_connections_keep_out_no_program_of_their_user():
    with Server(query_connections=4) as server:
        for _ in range(20):
            for _ in range(3):
                server.connect()
            assert server.connect().ask(b"list\n")["ok"]
        assert len(server.server.clients) <= 3 * 4


def test_two_users_with_every_place_keep_out_no_third_user(monkeypatch):
    whose = ["anna", "anna", "bert", "bert", "carl", "bert"]
    monkeypatch.setattr(query_connection.Connection, "owner", property(lambda self: whose[self.number - 1]))
    with Server(query_connections=4, query_connections_per_user=2) as server:
        takers = [server.connect_and_stay() for _ in range(4)]
        assert server.connect().ask(b"list\n")["ok"]
        assert takers[0].refused() == "busy"
        another = server.connect()
        another.send(b"list\n")
        assert another.refused() == "busy"
        assert takers[3].ask(b"list\n")["ok"]


def test_watchers_are_bounded_and_may_still_ask():
    with Server(query_connections=4, watchers=1) as server:
        first, second = server.connect(), server.connect()
        assert first.ask(b"watch\n")["event"] == "snapshot"
        assert error_of(second.ask(b"watch\n")) == "busy"
        assert second.ask(b"list\n")["ok"]
        assert first.ask(b"watch\n")["event"] == "snapshot"  # it has its place already
        assert server.server.counts()["refused"] == 1
        first.close()
        server.has(watchers=0)
        assert second.ask(b"watch\n")["event"] == "snapshot"


# --- listening for more than this machine -------------------------------------------------------------


@pytest.fixture
def public():
    with Server("0.0.0.0") as server:
        server.server.address = ("127.0.0.1", server.server.address[1])  # where the test connects to
        yield server


def test_a_stranger_is_told_nothing(public):
    client = public.connect(greeted=False)
    assert client.read() == {"token": True}
    for line in (b"list\n", b"watch\n", b"status\n", b'{"op":"show","peer":"x"}\n', b'{"op":"register","proof":"secret","service":{"name":"a","port":1}}\n'):
        assert error_of(client.ask(line)) == "denied"
    assert public.backend.asked == []
    assert public.backend.registered == {}
    assert public.server.counts()["denied"] == 5


def test_the_token_opens_one_connection(public):
    client, other = public.connect(greeted=False), public.connect(greeted=False)
    client.read()
    other.read()
    assert error_of(client.ask(b'{"op":"hello","proof":"wrong"}\n')) == "denied"
    assert error_of(client.ask(b"list\n")) == "denied"
    assert client.ask(b'{"op":"hello","proof":"secret"}\n')["ok"]
    assert client.ask(b"list\n")["ok"]
    assert error_of(other.ask(b"list\n")) == "denied"


def test_a_stranger_keeps_no_place():
    with Server("0.0.0.0", query_connections=1) as server:
        server.server.address = ("127.0.0.1", server.server.address[1])
        first = server.connect(greeted=False)
        first.read()
        assert error_of(first.ask(b"list\n")) == "denied"
        second = server.connect(greeted=False)
        assert second.read() == {"token": True}
        assert first.refused() == "busy"


def test_within_127_no_token_is_wanted(public):
    with Server("127.0.0.77") as server, socket.create_connection(server.server.address) as connection:
        assert connection.makefile("rb").readline() == b'{"discoveryd":"test"}\n'
