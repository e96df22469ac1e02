"""The query client against a socket that says what the test tells it to."""
# ruff: noqa: SIM117  what must raise stands apart from what it runs in

import json
import socket
import threading
from contextlib import contextmanager
from time import monotonic

import pytest

from discoveryd.errors import DaemonUnreachable, QueryError, SubscriptionLagged
from discoveryd.net import query_client
from discoveryd.net.query_client import QueryClient

GREETING = {"discoveryd": "0.1.0", "protocol": 1, "schema": 1, "node": {"id": "n1", "name": "one", "boot": "b1"}}


def line(value):
    return json.dumps(value).encode() + b"\n"


def until_closed(connection):
    """Read what the client sends, to its last byte."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@contextmanager
def server(script):
    """Run `script(connection)` for the one client that connects; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join(10)
            assert not thread.is_alive()


def greeter(*replies):
    """A daemon that greets, then sends each reply after one request line, then waits for the end."""

    def script(connection):
        connection.sendall(line(GREETING))
        with connection.makefile("rb") as requests:
            for reply in replies:
                if not requests.readline():
                    return
                connection.sendall(reply)
            until_closed(connection)

    return script


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_it_opens_nothing_before_connect_and_reads_the_greeting():
    with server(greeter()) as address:
        client = QueryClient(address)
        assert (client.fileno(), client.greeting) == (-1, {})
        with client:
            assert client.greeting == GREETING
            assert client.fileno() >= 0
            client.connect()  # again: nothing changes
        client.close()
        assert client.fileno() == -1


def test_a_request_leaves_out_none_and_keeps_the_raw_line():
    seen = []

    def script(connection):
        connection.sendall(line(GREETING))
        with connection.makefile("rb") as requests:
            seen.append(json.loads(requests.readline()))
        connection.sendall(b'{"ok": true,  "peers": []}\n')
        until_closed(connection)

    with server(script) as address, QueryClient(address) as client:
        assert client.request("list", name=None, state=["up"]) == {"ok": True, "peers": []}
        assert client.line == b'{"ok": true,  "peers": []}'
    assert seen == [{"op": "list", "state": ["up"]}]


def test_a_refusal_has_its_code_and_the_connection_lives_on():
    refusal = {"ok": False, "error": {"code": "not_found", "message": "no peer x"}}
    with server(greeter(line(refusal), line({"ok": True}))) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match="no peer x") as caught:
            client.request("show", peer="x")
        assert caught.value.code == "not_found"
        assert client.request("status") == {"ok": True}


@pytest.mark.parametrize("odd", [{"ok": False}, {"ok": False, "error": "no"}, {"ok": False, "error": {}}])
def test_a_refusal_needs_no_reason(odd):
    with server(greeter(line(odd))) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match="without a reason"):
            client.request("list")


def test_a_large_reply_in_many_pieces():
    peers = [{"id": str(number), "name": "x" * 500} for number in range(4000)]
    with server(greeter(line({"ok": True, "peers": peers}))) as address, QueryClient(address) as client:
        assert client.request("list")["peers"] == peers


def test_a_line_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(query_client, "MAX_LINE", 100_000)

    def script(connection):
        connection.sendall(line(GREETING))
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            pass

    with server(script) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match="more than 100000 bytes"):
            client.request("list")


@pytest.mark.parametrize("reply", [b"[]\n", b"peers: 3\n", b"\xff\xfe\n", b"[" * 5000 + b"\n"])
def test_what_is_no_object_is_a_bad_reply(reply):
    with server(greeter(reply)) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match="sent no JSON object") as caught:
            client.request("list")
        assert caught.value.code == "bad_reply"


def test_a_missing_reply_is_a_timeout_and_ends_the_connection():
    with server(greeter(b"")) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match=r"did not answer in 0\.05 s") as caught:
            client.request("list", timeout=0.05)
        assert caught.value.code == "timeout"
        assert client.fileno() == -1


def test_a_daemon_that_goes_between_question_and_answer():
    def script(connection):
        connection.sendall(line(GREETING))
        connection.recv(100)

    with server(script) as address, QueryClient(address) as client:
        with pytest.raises(QueryError, match="closed the connection") as caught:
            client.request("list")
        assert caught.value.code == "closed"


def test_watch_gives_snapshot_sync_and_events_then_what_ended_it():
    lines = [
        {"event": "snapshot", "schema": 1, "peers": []},
        {"event": "sync", "seq": 4},
        {"event": "joined", "seq": 5, "peer": {}, "reason": "x"},
    ]
    lagged = {"ok": False, "error": {"code": "lagged", "message": "too slow"}}
    everything = b"".join(line(one) for one in [*lines, lagged])
    with server(greeter(everything)) as address, QueryClient(address) as client:
        events = client.watch()
        assert [next(events) for _ in lines] == lines
        with pytest.raises(SubscriptionLagged, match="too slow"):
            next(events)


def test_watch_has_no_idle_timeout_but_a_deadline_if_wanted():
    lines = line({"event": "snapshot", "peers": []}) + line({"event": "sync", "seq": 0})
    with server(greeter(lines)) as address, QueryClient(address, timeout=5) as client:
        events = client.watch(deadline=monotonic() - 1)
        assert [next(events)["event"], next(events)["event"]] == ["snapshot", "sync"]
        with pytest.raises(QueryError) as caught:
            next(events)
        assert caught.value.code == "timeout"


def test_close_wakes_a_thread_that_waits():
    lines = line({"event": "snapshot", "peers": []}) + line({"event": "sync", "seq": 0})
    with server(greeter(lines)) as address:
        client = QueryClient(address)
        client.connect()
        waiting, ended = threading.Event(), []

        def read():
            try:
                for event in client.watch():
                    if event["event"] == "sync":
                        waiting.set()
            except QueryError as error:
                ended.append(error.code)

        reader = threading.Thread(target=read)
        reader.start()
        assert waiting.wait(5)
        client.close()
        reader.join(5)
        assert ended == ["closed"]


def test_a_closed_client_stays_closed():
    client = QueryClient(("127.0.0.1", 1))
    client.close()
    client.close()
    with pytest.raises(QueryError, match="was closed"):
        client.connect()


def test_it_must_be_connected_before_it_can_ask():
    with pytest.raises(QueryError, match="not connected"):
        QueryClient().request("list")


# --- nobody, or somebody else -----------------------------------------------------------------------


def test_an_address_without_a_daemon_is_unreachable():
    port = free_port()
    with pytest.raises(DaemonUnreachable) as caught:
        QueryClient(("127.0.0.1", port)).connect()
    assert caught.value.message == f"no daemon answers at 127.0.0.1:{port}: Connection refused (ECONNREFUSED)"


def test_a_host_name_is_looked_up():
    with server(greeter()) as (_, port), QueryClient(("localhost", port)) as client:
        assert client.greeting == GREETING


@pytest.mark.parametrize("host", ["\udc80", "x" * 300, "a\0b"])
def test_a_name_that_cannot_be_found(host):
    with pytest.raises(DaemonUnreachable, match="no daemon can be found at"):
        QueryClient((host, 3400)).connect()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "it began with 'HTTP/1.1 400 Bad Request"),
        (b"220 mail.example ESMTP\n", "it began with '220 mail"),
        (b'{"hello": 1}\n', "it began with"),
        (b"[1]\n", "it began with"),
        (b"\x1b[2J\n", r"it began with '\\x1b\[2J'"),
        (b"", "it sent no line in 0.2 s"),
    ],
)
def test_another_program_at_the_address_is_named(said, told):
    def script(connection):
        connection.sendall(said)
        until_closed(connection)

    with server(script) as address:
        client = QueryClient(address, timeout=0.2)
        with pytest.raises(DaemonUnreachable, match=f"is no discoveryd: {told}"):
            client.connect()
        assert client.fileno() == -1


def test_a_listener_that_only_closes_is_unreachable():
    with server(lambda _: None) as address:
        with pytest.raises(DaemonUnreachable, match="no discoveryd, or one that is stopping"):
            QueryClient(address).connect()


def test_a_daemon_that_is_busy_says_so():
    busy = {"ok": False, "error": {"code": "busy", "message": "64 connections are open already"}}
    with server(lambda connection: connection.sendall(line(busy))) as address:
        with pytest.raises(QueryError, match="64 connections") as caught:
            QueryClient(address).connect()
        assert (caught.value.code, type(caught.value)) == ("busy", QueryError)


def test_another_schema_is_refused():
    with server(lambda connection: connection.sendall(line(GREETING | {"schema": 2}))) as address:
        with pytest.raises(DaemonUnreachable, match="speaks schema 2, this program 1"):
            QueryClient(address).connect()


def test_a_greeting_that_drips_does_not_hold_us():
    def script(connection):
        try:
            while True:
                connection.sendall(b"x")
        except OSError:
            pass

    with server(script) as address:
        with pytest.raises(DaemonUnreachable, match="sent no line in"):
            QueryClient(address, timeout=0.05).connect()
