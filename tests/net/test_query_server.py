"""Requests to the query server: replies, refusals, time and control."""

import json
import threading
from contextlib import suppress

import pytest

from discoveryd.net import query_server as module
from discoveryd.protocol.parameters import Limits
from discoveryd.query.reply import encode
from tests.net.query_stage import Server, error_of, event

# --- asking -------------------------------------------------------------------------------------------


def test_it_greets_and_answers(server):
    client = server.connect()
    assert client.ask(b'{"op":"list"}\n') == server.backend.list_answer


@pytest.mark.parametrize("text", [b"list\n", b"list\r\n", b"  list  \n", b"\n\r\n \nlist\n"])
def test_bare_words_and_empty_lines_as_people_type_them(server, text):
    assert server.connect().ask(text) == server.backend.list_answer


def test_a_request_may_come_in_pieces(server):
    client = server.connect()
    for byte in b'{"op":"list"}':
        client.send(bytes([byte]))
        server.settle()
    assert client.ask(b"\n") == server.backend.list_answer


def test_a_thousand_requests_in_one_write_are_answered_in_order(server):
    client = server.connect()
    client.send(b"".join(b"list\nshow x\n" for _ in range(500)))
    for _ in range(500):
        assert client.read() == server.backend.list_answer
        assert error_of(client.read()) == "not_found"


def test_what_the_backend_refuses_is_a_reply(server):
    client = server.connect()
    assert error_of(client.ask(b"show nobody\n")) == "not_found"
    assert error_of(client.ask(b"ping nobody\n")) == "not_found"
    assert client.ask(b"list\n")["ok"]


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"{", "bad_request"), (b"{}", "bad_request"), (b"[]", "bad_request"), (b"\xff\xfe", "bad_request"),
     (b"reboot", "unknown_op"), (b'{"op":"list","color":1}', "bad_argument"), (b"\x00", "bad_request")],
)  # fmt: skip
def test_nonsense_is_refused_and_the_connection_goes_on(server, line, code):
    client = server.connect()
    assert error_of(client.ask(line + b"\n")) == code
    assert client.ask(b"list\n")["ok"]


def test_half_closing_clients_get_their_answers(server):
    """`printf list | nc -N 127.0.0.1 3400`, also without the newline."""
    for text, count in ((b"list", 1), (b"list\n", 1), (b"list\nlist", 2)):
        client = server.connect()
        client.send(text)
        client.end()
        assert client.rest() == [server.backend.list_answer] * count


def test_a_half_closed_watch_gets_its_snapshot_and_ends(server):
    client = server.connect()
    client.send(b"watch\n")
    client.end()
    assert client.rest() == [{"event": "snapshot", "peers": []}]
    assert server.server.counts()["connections"] == 0


# --- refusing -----------------------------------------------------------------------------------------


def test_http_is_refused_counted_and_closed(server):
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(100_000))
    assert client.refused() == "http"
    assert server.server.counts()["refused"] == 1
    assert server.backend.asked == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\nlist\n"])
@pytest.mark.parametrize("size", [65, 60_000, 1_000_000])
def test_a_too_long_line_is_refused_and_the_reason_arrives(end, size):
    """Also when more of it is under way than was read: closed at once, it would be lost in a reset."""
    with Server(query_line=64) as server:
        client = server.connect()
        client.send(b"x" * size + end)
        assert client.refused() == "too_long"
        assert server.server.counts()["refused"] == 1
        assert server.backend.asked == []


def test_refused_clients_that_left_are_forgotten_at_once():
    with Server(query_connections=2) as server:
        for _ in range(20):
            client = server.connect()
            client.send(b"GET / \n")
            client.end()
            assert client.refused() == "http"
            client.close()
            server.until(lambda: not server.server.clients)


def test_the_longest_line_is_served():
    with Server(query_line=64) as server:
        assert server.connect().ask(b"list".ljust(64) + b"\n")["ok"]


def test_a_client_without_a_place_is_told_so_and_dismissed():
    with Server(query_connections=2) as server:
        first, second = server.connect_and_stay(), server.connect_and_stay()
        third = server.connect()
        third.send(b"list\nlist\n")
        assert third.refused() == "busy"
        assert server.server.counts() == {"connections": 2, "limit": 2, "watchers": 2, "refused": 1, "denied": 0}
        first.close()
        server.has(connections=1)
        assert server.connect().ask(b"list\n")["ok"]
        assert second.ask(b"list\n")["ok"]


def test_dismissed_clients_are_bounded_too():
    with Server(query_connections=1) as server:
        first = server.connect_and_stay()
        told = [server.connect() for _ in range(20)]
        for client in told:
            with suppress(OSError):  # it was pushed out
                client.send(b"list\n")
        server.has(refused=20)  # they linger: none has closed its side
        assert len(server.server.clients) == 2
        assert {one.refused() for one in told} == {"busy"}
        assert first.ask(b"list\n")["ok"]


def test_a_dismissed_client_that_stays_is_closed(server):
    client = server.connect()
    client.send(b"GET / \n")
    assert client.refused() == "http"
    assert len(server.server.clients) == 1  # it may still read
    server.advance(module.LINGER + 0.1)
    assert len(server.server.clients) == 0


def test_a_limit_may_change_while_it_runs(server):
    server.connect_and_stay()
    server.server.limits = Limits(query_connections=1)
    client = server.connect()
    client.send(b"list\n")
    assert client.refused() == "busy"


# --- time ---------------------------------------------------------------------------------------------


def test_silence_ends_a_connection_but_not_a_watch(server):
    idle, busy, watcher = server.connect(), server.connect(), server.connect()
    assert watcher.ask(b"watch\n")["event"] == "snapshot"
    server.advance(299)
    assert busy.ask(b"list\n")["ok"]
    server.advance(2)
    assert idle.refused() == "idle"
    assert busy.ask(b"list\n")["ok"]
    server.happen(event(1))
    assert watcher.read()["seq"] == 1


def test_waiting_for_a_ping_is_not_idle_and_costs_nothing(server):
    client = server.connect()
    client.send(b"ping anna\n")
    server.ping(0)
    server.advance(1000)
    assert server.server.patience(server.now) is None  # not zero: that would be a busy loop
    server.ping(0)(encode({"pong": 1}))
    assert client.read() == {"pong": 1}
    assert client.ask(b"list\n")["ok"]
    server.advance(301)
    assert client.refused() == "idle"


# --- pings --------------------------------------------------------------------------------------------


def test_what_is_asked_after_a_ping_is_answered_after_it(server):
    client, other = server.connect(), server.connect()
    client.send(b"ping anna\nlist\nping anna\nlist\n")
    server.ping(0)
    server.settle()
    assert len(server.backend.pings) == 1  # a thousand in one write are under way one by one
    assert other.ask(b"list\n")["ok"]
    server.ping(0)(encode({"pong": 1}))
    assert [client.read(), client.read()] == [{"pong": 1}, server.backend.list_answer]
    server.ping(1)(encode({"pong": 2}))
    assert [client.read(), client.read()] == [{"pong": 2}, server.backend.list_answer]


def test_a_late_reply_may_be_made_in_the_thread_of_the_server(server):
    client, made = server.connect(), []
    client.send(b"ping anna\n")
    server.ping(0)(lambda: made.append(threading.get_ident()) or encode({"pong": 1}))
    assert client.read() == {"pong": 1}
    assert made != [threading.get_ident()]


def test_a_doctor_is_waited_for_where_it_is_about_a_peer(server):
    client = server.connect()
    assert client.ask(b"doctor\n") == server.backend.list_answer
    client.send(b"doctor anna\n")
    server.ping(0)(encode({"verdict": "healthy"}))
    assert client.read() == {"verdict": "healthy"}


def test_a_half_closed_client_still_gets_a_late_reply(server):
    client = server.connect()
    client.send(b"ping anna")
    client.end()
    server.ping(0)(encode({"pong": 1}))
    assert client.rest() == [{"pong": 1}]


def test_a_late_reply_to_a_closed_client_is_dropped(server):
    gone = server.connect()
    gone.send(b"ping anna\n")
    server.ping(0)
    gone.reset()
    server.has(connections=0)
    fresh = server.connect()
    server.ping(0)(encode({"pong": 1}))
    assert fresh.ask(b"list\n") == server.backend.list_answer


def test_a_ping_ends_with_its_connection(server):
    gone = server.connect()
    gone.send(b"ping anna\n")
    server.ping(0)
    gone.reset()
    server.until(lambda: server.backend.released)


def test_nothing_follows_a_refusal(server):
    client = server.connect()
    client.send(b"ping anna\n" + b"x" * 5000)
    server.ping(0)(encode({"pong": 1}))
    assert client.refused() == "too_long"


# --- control ------------------------------------------------------------------------------------------


def registration(name, proof="secret"):
    return json.dumps({"op": "register", "proof": proof, "service": {"name": name, "port": 1}}).encode() + b"\n"


def test_what_is_asked_after_a_reload_is_answered_after_it(server):
    client = server.connect()
    client.send(b'{"op":"reload","proof":"secret"}\nlist\n')
    server.until(lambda: server.backend.reloads)
    server.advance(1000)  # however long it takes, who waits for it is not idle
    assert server.backend.asked == []
    server.backend.reloads[0](encode({"reloaded": True}))
    assert [client.read(), client.read()] == [{"reloaded": True}, server.backend.list_answer]


def test_a_denied_request_is_counted_and_the_client_goes_on(server):
    client = server.connect()
    for line in (b"reload\n", registration("web", proof="guess"), b'{"op":"register","service":{"name":"a","port":1}}\n'):
        assert error_of(client.ask(line)) == "denied"
    assert client.ask(b"list\n")["ok"]
    assert server.server.counts()["denied"] == 3
    assert server.backend.registered == {}
    server.advance(301)
    assert client.refused() == "idle"  # it registered nothing


def test_every_problem_of_a_refusal_is_told(server):
    refused = server.connect().ask(registration("long"))["error"]
    assert refused == {"code": "refused", "message": "one\ntwo", "problems": ["one", "two"]}


def test_registrations_live_as_long_as_their_connection(server):
    one, other = server.connect(), server.connect()
    for client, name in ((one, "a"), (one, "b"), (other, "c")):
        assert client.ask(registration(name))["ok"]
    assert list(server.backend.registered.values()) == [["a", "b"], ["c"]]
    server.advance(100_000)  # neither has to say anything
    assert server.server.patience(server.now) is None
    one.reset()
    server.until(lambda: list(server.backend.registered.values()) == [["c"]])
    assert other.ask(b"list\n")["ok"]
    other.end()
    assert other.rest() == []
    assert server.backend.registered == {}


@pytest.mark.parametrize("fault", [b"GET / HTTP/1.0\n", b"x" * 100_000])
def test_a_registration_ends_when_its_connection_is_refused(server, fault):
    client = server.connect()
    client.ask(registration("a"))
    client.send(fault)
    client.read()
    assert server.backend.registered == {}  # though the client has not closed its side yet


def test_a_registration_ends_with_the_server():
    with Server() as server:
        client = server.connect()
        client.ask(registration("a"))
        server.end()
        assert client.refused() == "stopping"
        assert server.backend.registered == {}


def test_registered_connections_take_no_place_of_others():
    with Server(query_connections=2) as server:
        holders = [server.connect() for _ in range(2)]
        for client in holders:
            assert client.ask(registration("a"))["ok"]
        askers = [server.connect_and_stay() for _ in range(2)]
        third = server.connect()
        third.send(b"list\n")
        assert third.refused() == "busy"
        assert server.server.counts()["connections"] == 2
        assert askers[1].ask(b"list\n")["ok"]
