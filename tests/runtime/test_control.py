"""What those may change who have the control token: over the real query socket, seen by a peer."""

import json
import os
import re
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from discoveryd.ctl import main
from discoveryd.errors import ConfigError, QueryError
from discoveryd.files import token
from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import MAX_RECORD, Service
from discoveryd.query.proof import proof_of, text_of
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.query_handlers import ReloadResult
from tests.control import TOKEN, Control, Peer

DOCS = Path(__file__).parents[2] / "docs" / "query.md"


@pytest.fixture
def make():
    """Make started nodes on a loopback port of their own; they are stopped at the end."""
    port = free_port("127.0.0.1", "udp")
    with ExitStack() as stack:

        def make(name, number, *, control=None, limits=None, **options):
            parameters = Parameters(port=port, loopback=f"127.0.7.{number}", interval=0.1, limits=limits or Limits())
            found = Discovery(
                parameters, name=name, node_id=name, query=(f"127.0.7.{number}", 0), control=control, **options
            )
            stack.enter_context(found)
            return found

        yield make


def register(client, name, token=TOKEN, port=80, **more):
    return client.request("register", token=token, service={"name": name, "port": port, **more})


def refusal(ask, *words, **fields):
    with pytest.raises(QueryError) as caught:
        ask(*words, **fields)
    return caught.value


# --- the token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "", "guess", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "\u00e4", "\ud800"])
def test_without_the_token_nothing_changes(make, given):
    control = Control()
    node = make("anna", 1, control=control)
    with QueryClient(node.query_address) as client:
        for ask in (lambda: client.request("reload", token=given), lambda: register(client, "web", token=given)):
            denied = refusal(ask)
            assert denied.code == "denied"
            assert TOKEN not in denied.message
            assert not given or given not in denied.message
        status = client.request("status")
    assert (control.reloads, status["node"]["services"], status["query"]["denied"]) == (0, [], 2)


@pytest.mark.parametrize("empty", [None, ""])
def test_a_daemon_without_a_token_lets_nobody(make, empty):
    control = None
    if empty is not None:
        control = Control()
        control.token = ""
    node = make("anna", 1, control=control)
    with QueryClient(node.query_address) as client:
        for given in ("", "x"):
            assert "has no control token" in refusal(client.request, "reload", token=given).message


def test_a_proof_is_for_one_request_on_one_connection(make):
    """Who lets the proof of a client through to the daemon gets nothing but what the client asked for."""
    control = Control()
    node = make("anna", 1, control=control)
    asked = {"op": "register", "service": {"name": "web", "port": 80}}
    with ExitStack() as stack:
        files = []
        for _ in range(2):
            connection = stack.enter_context(socket.create_connection(node.query_address, timeout=5))
            files.append(stack.enter_context(connection.makefile("rw")))
        one, other = files
        nonce, _ = json.loads(one.readline())["nonce"], other.readline()
        proof = proof_of(TOKEN, nonce, text_of(asked))

        def answer(lines, request):
            lines.write(json.dumps({**request, "proof": proof}) + "\n")
            lines.flush()
            return json.loads(lines.readline())

        for lines, request in (
            (other, asked), (one, {"op": "reload"}), (one, {"op": "hello"}),
            (one, {**asked, "service": {"name": "web", "port": 81}}),
        ):  # fmt: skip
            assert answer(lines, request)["error"]["code"] == "denied"
        assert answer(one, {"service": {"port": 80, "name": "web"}, "op": "register"})["ok"]  # in any order
    assert control.reloads == 0


# --- reload -------------------------------------------------------------------------------------------


def test_a_reload_is_answered_when_it_is_done(make):
    control = Control(ReloadResult(needs_restart=({"key": "hello.port", "now": 3400, "wanted": 3401},)))
    node = make("anna", 1, control=control)
    with QueryClient(node.query_address) as client:
        reply = client.request("reload", token=TOKEN)
    wanted = [{"key": "hello.port", "now": 3400, "wanted": 3401}]
    assert (reply, control.reloads) == ({"ok": True, "schema": 1, "needs_restart": wanted}, 1)


def test_a_reload_that_is_refused_tells_every_problem(make):
    node = make("anna", 1, control=Control(ReloadResult(problems=("a.yaml:1: x", "a.yaml:7: y"))))
    with QueryClient(node.query_address) as client:
        refused = refusal(client.request, "reload", token=TOKEN)
        assert client.request("list")["ok"]
    assert (refused.code, refused.message) == ("refused", "a.yaml:1: x\na.yaml:7: y")
    assert refused.problems == ("a.yaml:1: x", "a.yaml:7: y")


# --- register -----------------------------------------------------------------------------------------


def test_an_unlisted_address_takes_the_token(make):
    """Else each user of the machine could have datagrams sent anywhere from the port of the daemon."""
    node = make("anna", 1, control=Control())
    with QueryClient(node.query_address) as client:
        denied = refusal(client.request, "ping", peer="127.0.7.9")
        assert (denied.code, "127.0.7.9 is not listed" in denied.message) == ("denied", True)
        assert client.request("doctor", peer="127.0.7.9")["asked"] == []
        wrong = refusal(client.request, "doctor", peer="127.0.7.9", token="guess")
        assert wrong.code == "denied"
        found = client.request("ping", peer="127.0.7.9", token=TOKEN, timeout_s=0.05)
        assert {**found, "rtt_ms": []} == {
            "ok": True, "schema": 1, "peer": None, "sent": 1, "received": 0, "rtt_ms": [], "hears_us_s": None, "address": "127.0.7.9",
        }  # fmt: skip
        [asked] = client.request("doctor", peer="127.0.7.9", token=TOKEN)["asked"]
        assert (asked["address"], asked["answered"]) == ("127.0.7.9", False)
    assert node.status()["sent"]["why"] > 2


def test_two_connections_register_and_each_ends_for_itself(make):
    node = make("anna", 1, control=Control(), services=[Service(name="ssh", port=22)])
    bert = Peer(make("bert", 2))
    bert.sees("ssh")
    with QueryClient(node.query_address) as one:
        with QueryClient(node.query_address) as two:
            reply = register(one, "http", tags={"path": "/"})
            assert reply["service"] == {"name": "http", "port": 80, "proto": "tcp", "tags": {"path": "/"}}
            bert.sees("ssh", "http")
            register(two, "dns", port=53, proto="udp")
            register(two, "http")  # the same again counts once
            assert [dict(one.tags) for one in bert.sees("ssh", "http", "dns")] == [{}, {"path": "/"}, {}]
            assert one.request("status")["query"]["registrations"] == 3
        bert.sees("ssh", "http")
    bert.sees("ssh")
    assert node.status()["query"]["registrations"] == 0


def test_to_register_the_same_again_says_it_anew(make):
    node = make("anna", 1, control=Control(), limits=Limits(registrations=1))
    with QueryClient(node.query_address) as client:
        for load in ("low", "high", "low"):
            register(client, "http", tags={"load": load})
            [service] = client.request("status")["node"]["services"]
            assert service["tags"] == {"load": load}


def test_a_record_that_is_too_long_is_refused_with_its_length(make):
    node = make("anna", 1, control=Control())
    with QueryClient(node.query_address) as one, QueryClient(node.query_address) as two:
        register(one, "long", tags={"a": "x" * 250})
        register(one, "longer", tags={"a": "x" * 250})
        refused = refusal(register, two, "longest", tags={"a": "x" * 250})
        taken, over = map(int, re.search(r"take (\d+) bytes, (\d+) more than", refused.message).groups())
        assert (refused.code, taken - over, refused.problems) == ("refused", MAX_RECORD, (refused.message,))
        assert [found["name"] for found in two.request("status")["node"]["services"]] == ["long", "longer"]
        with pytest.raises(ConfigError, match="more than"):
            node.set_record(name="anna", tags={"a": "x" * 200}, services=())  # the same goes for a reload
        assert register(two, "short")["ok"]


def test_the_limit_holds_for_all_together(make):
    node = make("anna", 1, control=Control(), limits=Limits(registrations=3))
    with QueryClient(node.query_address) as one:
        with QueryClient(node.query_address) as two:
            for number in range(3):
                register(one if number else two, f"s{number}")
            refused = refusal(register, one, "s3")
            assert (refused.code, refused.message) == ("refused", "3 services are registered already (limits.registrations)")
        deadline = node.subscribe()
        while node.status()["query"]["registrations"] == 3:
            deadline.get(timeout=0.01)
        assert register(one, "s3")["ok"]


@pytest.mark.parametrize("service", [{"name": "a\nb"}, {"name": ""}, {"name": "a" * 65}, {"port": -1}, {"port": "80"}, {"tags": {"a": 1}}])
def test_a_service_that_is_none_is_refused(make, service):
    node = make("anna", 1, control=Control())
    with QueryClient(node.query_address) as client:
        fields = {"name": "web", "port": 80, **service}
        assert refusal(client.request, "register", token=TOKEN, service=fields).code == "bad_argument"
    assert node.status()["node"]["services"] == []


def test_it_ends_with_the_connection_however_that_ends(make):
    node = make("anna", 1, control=Control())
    bert = Peer(make("bert", 2))
    bert.sees()
    asked = {"op": "register", "service": {"name": "web", "port": 80}}
    for end in (lambda sock: sock.shutdown(socket.SHUT_WR), lambda sock: sock.sendall(b"GET / HTTP/1.0\n")):
        with closing(socket.create_connection(node.query_address)) as sock:
            nonce = json.loads(sock.recv(4096))["nonce"]
            proven = {**asked, "proof": proof_of(TOKEN, nonce, text_of(asked))}
            sock.sendall(json.dumps(proven).encode() + b"\n")
            bert.sees("web")
            end(sock)
            bert.sees()


def test_the_example_of_the_docs_registers(make, tmp_path):
    page = DOCS.read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page.partition("## Control")[2], re.DOTALL)
    control = Control()
    control.token, held = token.create(str(tmp_path))
    os.close(held)
    node = make("anna", 1, control=control)
    bert = Peer(make("bert", 2))
    here = example.replace("/run/discoveryd", str(tmp_path)).replace('("127.0.0.1", 3400)', repr(node.query_address))
    assert here.count(str(tmp_path)) == here.count(repr(node.query_address)) == 1
    names = {}
    exec(compile(here, str(DOCS), "exec"), names)
    assert '"ok":true' in names["reply"]
    bert.sees("render")
    names["lines"].close()
    names["daemon"].close()
    bert.sees()


# --- offers -------------------------------------------------------------------------------------------


def test_offers_of_several_owners_are_announced_together(make):
    node = make("anna", 1, services=[Service(name="a", port=1)])
    bert = Peer(make("bert", 2))
    bert.sees("a")
    node.offer("services.d", [Service(name="b", port=2)])
    bert.sees("a", "b")
    node.set_record(name="anna", tags={}, services=[Service(name="c", port=3)])
    bert.sees("c", "b")
    with pytest.raises(ConfigError, match="more than the 700"):
        node.offer("services.d", [Service(name="d", port=4, tags={str(n): "x" * 200 for n in range(4)})])
    node.offer("nobody", ())
    assert [one["name"] for one in node.status()["node"]["services"]] == ["c", "b"]
    node.offer("services.d", ())
    bert.sees("c")


# --- listening for more than this machine -------------------------------------------------------------


@pytest.fixture
def public():
    """Make a daemon that listens at every address, and say where that is from here."""
    parameters = Parameters(port=free_port("127.0.0.1", "udp"), loopback="127.0.7.9")
    with Discovery(parameters, name="anna", node_id="anna", query=("0.0.0.0", 0), control=Control()) as found:
        yield ("127.0.0.1", found.query_address[1])


def test_nothing_is_told_without_the_token(public):
    with socket.create_connection(public, timeout=5) as connection, connection.makefile("rb") as lines:
        assert "node" not in json.loads(lines.readline())
        connection.sendall(b'list\nstatus\nmetrics\nwatch\nshow anna\nping anna\n{"op":"hello"}\nreload\n')
        assert {json.loads(lines.readline())["error"]["code"] for _ in range(8)} == {"denied"}
    assert refusal(QueryClient(public).connect).code == "denied"
    assert refusal(QueryClient(public, token=lambda: "wrong").connect).code == "denied"


def test_all_is_told_to_who_has_it(public):
    with QueryClient(public, token=lambda: TOKEN) as client:
        assert client.greeting["node"]["name"] == "anna"
        assert len(client.greeting["nonce"]) == 32
        assert client.request("list")["peers"] == []
        assert client.request("status")["query"]["connections"] == 1


def test_a_mirror_may_show_it(public):
    with Client(public, token=lambda: TOKEN) as client:
        assert client.wait_for(lambda _: client.is_connected, timeout=5.0) == ()


def test_discoveryctl_shows_the_token_of_its_file(public, tmp_path, capsys):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    where = ["--address", f"127.0.0.1:{public[1]}", "--token-file"]
    assert main(["list", *where, str(file)]) == 1  # nobody there
    assert "no peers up" in capsys.readouterr().err
    assert main(["list", *where, str(tmp_path / "none")]) != 0
    assert "no control token at" in capsys.readouterr().err
