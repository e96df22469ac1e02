"""Lines that come one after the other: messages sent, asked and watched over the query socket."""

import json

from discoveryd.net.query_connection import LONGEST_LINE
from discoveryd.query.reply import encode
from tests.net.query_stage import Server, error_of

ECHO = b'{"op":"ask","message":"echo","everyone":true}\n'


def proved(op, **fields):
    return json.dumps({"op": op, "proof": "secret", **fields}).encode() + b"\n"


SEND = proved("send", message="deploy", everyone=True)


def begun(server, number=0):
    """Give the backend's side of a message, once it has begun."""
    server.until(lambda: len(server.backend.talks) > number)
    return server.backend.talks[number]


def test_what_is_asked_after_a_message_is_answered_after_it(server):
    client, other = server.connect(), server.connect()
    client.send(ECHO + b"list\n" + ECHO)
    reply = begun(server)
    for number in range(3):
        reply(encode({"delivery": number}), is_last=False)
        assert client.read() == {"delivery": number}
    assert len(server.backend.talks) == 1
    assert server.backend.asked == []
    assert other.ask(b"list\n")["ok"]
    server.advance(1000)  # a program that waits for the end is not idle
    reply(encode({"summary": 3}))
    assert [client.read(), client.read()] == [{"summary": 3}, server.backend.list_answer]
    begun(server, 1)(encode({"summary": 4}))
    assert client.read() == {"summary": 4}


def test_a_message_needs_a_proof_unless_its_name_is_built_in(server):
    client = server.connect()
    for line in (SEND.replace(b"secret", b"guess"), b'{"op":"send","message":"deploy","everyone":true}\n', b"messages\n"):
        assert error_of(client.ask(line)) == "denied"
    assert server.backend.talks == server.backend.listeners == []
    client.send(ECHO)
    begun(server)(encode({"summary": 1}))
    assert client.read() == {"summary": 1}
    client.send(SEND)
    begun(server, 1)


def test_messages_come_without_end_and_other_requests_go_on(server):
    client = server.connect()
    client.send(proved("messages", names=["deploy"]))
    server.until(lambda: server.backend.listeners)
    [tell] = server.backend.listeners
    tell(encode({"message": 1}), is_last=False)
    assert client.read() == {"message": 1}
    server.has(watchers=1)
    assert client.ask(b"list\n")["ok"]
    client.send(SEND)
    begun(server)
    tell(encode({"message": 2}), is_last=False)
    assert client.read() == {"message": 2}
    begun(server)(encode({"summary": 1}))
    assert client.read() == {"summary": 1}
    server.advance(100_000)  # a listener may be silent
    tell(encode({"message": 3}), is_last=False)
    assert client.read() == {"message": 3}
    client.end()
    assert client.rest() == []
    assert server.backend.released


def test_listeners_count_as_watchers():
    with Server(watchers=1, query_connections=64) as server:
        client, other = server.connect(), server.connect()
        client.send(proved("messages"))
        server.has(watchers=1)
        assert error_of(other.ask(proved("messages"))) == "busy"
        assert error_of(other.ask(b"watch\n")) == "busy"
        assert other.ask(b"list\n")["ok"]


def test_an_unread_stream_of_messages_ends_with_a_reason():
    with Server(query_backlog=65536) as server:
        client = server.connect(buffer=4096)
        client.send(proved("messages"))
        server.until(lambda: server.backend.listeners)
        line = encode({"message": "x" * 60_000})
        for _ in range(200):
            server.backend.listeners[0](line, is_last=False)
        server.until(lambda: server.server.refused == 1)
        assert server.owed < 4 * len(line)
        assert client.rest()[-1]["error"]["code"] == "lagged"


def test_only_a_proved_connection_may_send_a_long_line(server):
    text = "x" * 65_536
    stranger = server.connect()
    stranger.send(proved("send", message="deploy", everyone=True, text=text))
    assert stranger.read()["error"]["message"] == (
        f"a request is at most 4096 bytes (limits.query_line); with a proof of the control token {LONGEST_LINE}"
    )
    client = server.connect()
    assert client.ask(b'{"op":"hello","proof":"secret"}\n')["ok"]
    client.send(proved("send", message="deploy", everyone=True, text=text))
    begun(server)(encode({"summary": 1}))
    assert client.read() == {"summary": 1}
    assert server.backend.requests[-1].draft.content == text.encode()
    client.send(b"x" * (LONGEST_LINE + 70_000))
    assert client.refused() == "too_long"
