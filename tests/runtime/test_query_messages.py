"""Messages sent, asked and watched over the query socket of a node, and by a Client of it."""

import base64
import os
import socket
import struct
import threading

import pytest

from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from tests.control import TOKEN, Control
from tests.ear import Ear
from tests.runtime.talk import WAIT, Taken, ends, meet

KEY = Key(b"k" * 32)


@pytest.fixture(params=[NO_KEYS])
def pair(request, port):
    """Give a node with a query socket and a token, and another that keeps what it is told as ``deploy``."""
    anna = Discovery(
        Parameters(port=port, loopback="127.0.0.2", interval=0.1), name="anna", node_id="anna", keyring=request.param,
        query=("127.0.0.2", 0), control=Control(),
    )  # fmt: skip
    bert = Discovery(
        Parameters(port=port, loopback="127.0.0.3", interval=0.1), name="bert", node_id="bert", keyring=request.param
    )
    bert.taken = Taken()
    bert.on_message("deploy", bert.taken)
    meet(port, anna, bert)
    yield anna, bert
    for node in (anna, bert):
        node.stop()


@pytest.fixture
def query(pair):
    with QueryClient(pair[0].query_address) as client:
        yield client


def test_send_tells_each_delivery_and_a_summary(pair, query):
    sending, delivery, last = query.stream("send", timeout=WAIT, token=TOKEN, message="deploy", text="v2", everyone=True)
    assert sending == {"sending": {"number": 1, "expected": 1}}
    told = delivery["delivery"]
    assert {key: told[key] for key in ("status", "reason", "answer", "text", "final")} == {
        "status": "acked", "reason": None, "answer": None, "text": None, "final": True,
    }  # fmt: skip
    assert told["peer"]["name"] == "bert"
    assert 0 < told["took_s"] < WAIT
    counts = {"expected": 1, "acked": 1, "handled": 0, "answered": 0, "refused": 0, "timeout": 0, "down": 0}
    assert last == {"ok": True, "schema": 1, "summary": counts}
    assert pair[1].taken.wait() == [b"v2"]
    assert query.request("list")["peers"]  # the connection goes on


def test_ask_brings_the_answers(pair, query):
    pair[1].taken.answer = b"\xff\x00"
    lines = list(query.stream("ask", timeout=WAIT, token=TOKEN, message="deploy", text="abc", peers=["bert"]))
    answered = lines[-2]["delivery"]
    assert (answered["status"], base64.b64decode(answered["answer"]), answered["text"]) == ("answered", b"\xff\x00", None)
    assert lines[-1]["summary"]["answered"] == 1


def test_the_builtin_names_need_no_token_and_others_do(pair, query):
    lines = list(query.stream("ask", timeout=WAIT, message="upper", text="hello", everyone=True))
    assert lines[-2]["delivery"]["text"] == "HELLO"
    for op, fields in (("send", {"message": "deploy", "everyone": True}), ("messages", {})):
        with pytest.raises(QueryError, match=f"{op} needs a proof of the control token") as caught:
            list(query.stream(op, timeout=WAIT, **fields))
        assert caught.value.code == "denied"
    assert pair[1].taken.all == []


def test_where_nobody_is_meant_the_summary_comes_at_once(pair, query):
    lines = list(query.stream("send", timeout=WAIT, token=TOKEN, message="deploy", name="nobody-*"))
    assert [line.get("sending", line.get("summary"))["expected"] for line in lines] == [0, 0]


WRONG = [
    ({"message": "deploy"}, "bad_argument", "name the receivers"),
    ({"message": "deploy", "peers": ["nobody"]}, "not_found", "no peer has the name"),
    ({"message": "No", "everyone": True}, "bad_argument", "the name of a message must be"),
    ({"message": "deploy", "everyone": True, "payload": "%"}, "bad_argument", "payload must be base 64"),
    ({"message": "deploy", "everyone": True, "payload": "YQ==", "text": "a"}, "bad_argument", "give payload"),
    ({"message": "deploy", "everyone": True, "text": "x" * 601}, "too_long", "the payload has 601 bytes, at most 600"),
    ({"message": "deploy", "everyone": True, "timeout_s": 601}, "bad_argument", "timeout_s must be 0.001 to 600"),
    ({"message": "deploy", "everyone": 1}, "bad_argument", "everyone must be true or false"),
    ({"message": "deploy", "peers": "bert"}, "bad_argument", "peers must be a list of texts"),
    ({"everyone": True}, "bad_argument", "message must be the name of a message"),
]
"""Fields, the code of the refusal and the beginning of its text."""


def test_a_request_that_is_wrong_is_refused_with_the_reason(pair, query):
    for fields, code, why in WRONG:
        with pytest.raises(QueryError) as caught:
            list(query.stream("send", timeout=WAIT, token=TOKEN, **fields))
        assert (caught.value.code, caught.value.message[: len(why)]) == (code, why)
    assert query.request("list")["ok"]


def test_a_message_ends_with_its_connection(pair, query):
    """At once where that is reset; where it is only closed, a program may still read, until a line cannot be sent."""
    anna, bert = pair
    goes_on = threading.Event()
    bert.taken.answer = lambda _: goes_on.wait(WAIT) and None
    lines = query.stream("send", timeout=WAIT, token=TOKEN, message="deploy", everyone=True, wait_handled=True)
    assert next(lines)["sending"]["expected"] == 1
    bert.taken.wait()
    with socket.socket(fileno=os.dup(query.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lines.close()
        with socket.socket() as other:
            os.dup2(other.fileno(), query.fileno())  # `QueryClient.close` would end it in an orderly way
    try:
        with Ear(anna.parameters.port) as ear:
            ear.until(lambda: anna.status()["messages"]["outgoing"]["pending"] == 0)
    finally:
        goes_on.set()


def test_messages_are_passed_on_in_their_order(pair, query):
    anna, bert = pair
    lines = query.stream("messages", timeout=WAIT, token=TOKEN, names=["deploy"])
    assert next(lines) == {"ok": True, "schema": 1, "names": ["deploy"]}
    assert anna.status()["query"]["watchers"] == 1
    assert anna.status()["messages"]["watchers"] == 1
    assert ends(bert.send("other", to="anna")) == {"anna": "no-handler"}
    for number in range(5):
        assert ends(bert.send("deploy", f"v{number}\n", to="anna", wait_handled=True)) == {"anna": "handled"}
    assert ends(bert.send("deploy", b"\x1b[31m", to="anna")) == {"anna": "acked"}
    found = [next(lines)["message"] for _ in range(6)]
    assert [one["text"] for one in found] == ["v0\n", "v1\n", "v2\n", "v3\n", "v4\n", None]
    assert base64.b64decode(found[5]["payload"]) == b"\x1b[31m"
    assert (found[0]["sender"]["name"], found[0]["sealed"], found[0]["question"]) == ("bert", False, False)
    assert ends(bert.ask("deploy", "?", to="anna")) == {"anna": "no-handler"}
    query.close()
    with Ear(anna.parameters.port) as ear:
        ear.until(lambda: anna.status()["messages"]["watchers"] == 0)
    assert ends(bert.send("deploy", to="anna")) == {"anna": "no-handler"}


@pytest.mark.parametrize("pair", [Keyring(keys=(KEY,), send_with=KEY.id, mode="require")], indirect=True)
def test_long_payloads_pass_both_ways_with_the_token(pair, query):
    _, bert = pair
    payload = bytes(range(256)) * 256
    bert.taken.answer = lambda message: message.payload[::-1]
    text = base64.b64encode(payload).decode()
    lines = list(query.stream("ask", timeout=WAIT, token=TOKEN, message="deploy", payload=text, everyone=True, timeout_s=WAIT))
    assert base64.b64decode(lines[-2]["delivery"]["answer"]) == payload[::-1]
    with QueryClient(query.address) as other, pytest.raises(QueryError) as caught:
        list(other.stream("ask", timeout=WAIT, message="echo", payload=text, everyone=True))
    assert caught.value.code in ("too_long", "closed")


# --- Client -------------------------------------------------------------------------------------------


def test_a_client_sends_asks_and_hears(pair):
    anna, bert = pair
    client, heard = Client(anna.query_address, token=lambda: TOKEN), []
    told = []
    result = client.send("deploy", b"v2", everyone=True, wait_handled=True, told=told.append)
    assert ends(result) == {"bert": "handled"}
    assert result.deliveries[0].number == 1
    assert told[-1] == result.deliveries[0]
    bert.taken.answer = "fine"
    assert [(peer.name, answer) for peer, answer in client.ask("deploy", "how?", to="bert").answers] == [("bert", b"fine")]
    assert ends(client.send("deploy", tags={"role": "none"})) == {}
    messages = client.messages("deploy")

    def hear():
        heard.append(next(messages))

    thread = threading.Thread(target=hear)
    thread.start()
    with Ear(anna.parameters.port) as ear:
        ear.until(lambda: anna.status()["messages"]["watchers"] == 1)
    assert ends(bert.send("deploy", "to you", to="anna")) == {"anna": "acked"}
    thread.join(WAIT)
    messages.close()
    [message] = heard
    assert (message.name, message.payload, message.sender.name, message.key[0]) == (
        "deploy", b"to you", "bert", anna.peers()[0].boot,
    )  # fmt: skip


def test_a_client_without_a_token_asks_the_builtin_names_only(pair):
    client = Client(pair[0].query_address)
    assert client.ask("echo", "a", everyone=True).is_complete
    with pytest.raises(QueryError, match="send needs a proof"):
        client.send("deploy", everyone=True)
    with pytest.raises(QueryError, match="name the receivers"):
        client.send("deploy")
