"""Messages between nodes on loopback, as an embedding program sends and handles them."""

import json
import os
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd import __version__
from discoveryd.errors import QueryError
from discoveryd.protocol.link import Source
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.query.messages import Draft
from discoveryd.runtime.discovery import Discovery
from tests.ear import Ear
from tests.runtime.talk import WAIT, Taken, ends, meet

KEY = Key(b"k" * 32)
KEYED = Keyring(keys=(KEY,), send_with=KEY.id, mode="require")


@pytest.fixture
def three(make, port):
    """Give three nodes that know each other."""
    nodes = [make("anna"), make("bert"), make("carl")]
    meet(port, *nodes)
    return nodes


@pytest.fixture
def two(make, port):
    """Give two nodes that know each other, of which the second keeps what it is told as ``deploy``."""
    anna, bert = make("anna"), make("bert")
    meet(port, anna, bert)
    bert.taken = Taken()
    bert.on_message("deploy", bert.taken)
    return anna, bert


@pytest.fixture
def sealed(port):
    """Give two nodes with a key that know each other."""
    nodes = [
        Discovery(Parameters(port=port, loopback=f"127.0.0.{number}", interval=0.1, ttl=4.0), name=name, node_id=name, keyring=KEYED)
        for number, name in ((2, "anna"), (3, "bert"))
    ]
    meet(port, *nodes)
    yield nodes
    for node in nodes:
        node.stop()


# --- sending ------------------------------------------------------------------------------------------


def test_a_message_is_acknowledged_by_each_and_handled_once(three):
    anna, *others = three
    handlers = [Taken(), Taken()]
    for node, handler in zip(others, handlers, strict=True):
        node.on_message("deploy", handler)
    result = anna.send("deploy", "v2", everyone=True)
    assert ends(result) == {"bert": "acked", "carl": "acked"}
    assert result.is_complete
    assert result.counts == {"acked": 2, "handled": 0, "answered": 0, "refused": 0, "timeout": 0, "down": 0}
    for handler in handlers:
        assert handler.wait() == [b"v2"]
        [message] = handler.all
        assert (message.name, message.sender.name, message.is_question, message.is_sealed) == ("deploy", "anna", False, False)
    assert anna.send("deploy", "v3", everyone=True).is_complete
    assert [handler.wait(2) for handler in handlers] == [[b"v2", b"v3"]] * 2


def test_messages_of_a_sender_are_handled_in_their_order(two):
    anna, bert = two
    numbers = [str(number).encode() for number in range(30)]
    for number in numbers:
        assert anna.send("deploy", number, to="bert", wait_handled=True).is_complete
    assert bert.taken.wait(30) == numbers


def test_messages_of_several_threads_are_each_handled_once(two):
    anna, bert = two
    results = []

    def send(number):
        results.append(anna.send("deploy", str(number), to="bert", wait_handled=True))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert [ends(result) for result in results] == [{"bert": "handled"}] * 6
    assert sorted(bert.taken.wait(6)) == [str(number).encode() for number in range(6)]
    numbers = [message.key[1] for message in bert.taken.all]
    assert numbers == sorted(numbers)


def test_the_end_of_the_handler_can_be_waited_for(two):
    anna, bert = two
    told = []
    assert ends(anna.send("deploy", everyone=True, wait_handled=True, told=told.append)) == {"bert": "handled"}
    assert [one.status for one in told][-1] == "handled"
    bert.taken.answer = ValueError("no room")
    assert ends(anna.send("deploy", everyone=True, wait_handled=True)) == {"bert": "failed"}
    assert ends(anna.send("deploy", everyone=True)) == {"bert": "acked"}


def test_a_message_that_nothing_takes_is_refused(two):
    anna, bert = two
    result = anna.send("nobody", everyone=True)
    assert ends(result) == {"bert": "no-handler"}
    assert not result.is_complete
    refused = {one["reason"]: one["count"] for one in bert.status()["messages"]["incoming"]["refused"]}
    assert refused["no-handler"] == 1
    assert sum(refused.values()) == 1


def test_a_filter_chooses_the_receivers(three):
    anna, bert, carl = three
    for node in (bert, carl):
        node.on_message("deploy", lambda _: None)
    with Ear(anna.parameters.port) as ear:
        carl.set_record(name="carl", tags={"role": "worker"}, services=())
        ear.until(lambda: any(peer.tags for peer in anna.peers()))
    assert ends(anna.send("deploy", tags={"role": "worker"})) == {"carl": "acked"}
    assert ends(anna.send("deploy", name="b*")) == {"bert": "acked"}
    assert ends(anna.send("deploy", link="lo", name="*")) == {"bert": "acked", "carl": "acked"}
    assert ends(anna.send("deploy", to=["bert", "127.0.0.4", "id-bert"])) == {"bert": "acked", "carl": "acked"}


def test_where_nobody_is_meant_the_result_is_empty_at_once(two):
    anna, _ = two
    began = monotonic()
    result = anna.send("deploy", service="http")
    assert (result.expected, result.is_complete, result.deliveries) == (0, False, ())
    assert monotonic() - began < 4.0


WRONG = [
    ({}, "bad_argument", "name the receivers: peers, a filter (name, tags, service, link), or everyone; one of the three"),
    ({"everyone": True, "to": "bert"}, "bad_argument", "name the receivers"),
    ({"everyone": True, "name": "b*"}, "bad_argument", "name the receivers"),
    ({"to": "dora"}, "not_found", "no peer has the name, id or address 'dora'"),
    ({"to": "anna"}, "not_found", "anna is this node, which is no peer of itself"),
    ({"everyone": True, "timeout": 0}, "bad_argument", "timeout must be more than 0 and at most 600 s, not 0"),
    ({"everyone": True, "payload": 5}, "bad_argument", "payload must be bytes or text, not 5"),
    ({"everyone": True, "payload": bytes(601)}, "too_long", "the payload has 601 bytes, at most 600 where nothing is sealed"),
    ({"everyone": True, "message": "No Name"}, "bad_argument", "the name of a message must be 1 to 32 of a-z 0-9 -"),
    ({"everyone": True, "message": None}, "bad_argument", "message must be the name of a message, not None"),
]
"""Arguments, the code of the error and the beginning of its text."""


def test_what_cannot_be_sent_is_an_error_that_says_why(two):
    anna, _ = two
    for where, code, why in WRONG:
        with pytest.raises(QueryError) as caught:
            anna.send(**{"message": "deploy", **where})
        assert (caught.value.code, caught.value.message[: len(why)]) == (code, why)
    assert anna.status()["messages"]["outgoing"]["sent"] == 0


def test_a_bare_peer_takes_no_messages(two, port):
    anna, _ = two
    with Ear(port) as ear:
        anna.look(lambda node, now: node.table.heard_bare(Source("127.0.0.99", node.links[0]), 100.0, now))
        ear.until(lambda: len(anna.peers()) == 2)
    with pytest.raises(QueryError, match=r"127\.0\.0\.99 is a bare peer: it sends HELLO. and takes no messages"):
        anna.send("deploy", to="127.0.0.99")
    assert ends(anna.send("deploy", everyone=True)) == {"bert": "acked"}


def test_a_named_peer_that_is_down_is_told_so_at_once(three):
    anna, bert, carl = three
    bert.on_message("deploy", lambda _: None)
    events = anna.subscribe()
    carl.stop()
    while events.get(timeout=WAIT).kind != "left":
        pass
    assert ends(anna.send("deploy", to=["bert", "carl"])) == {"bert": "acked", "carl": "down"}
    assert ends(anna.send("deploy", to="carl")) == {"carl": "down"}
    assert ends(anna.send("deploy", everyone=True)) == {"bert": "acked"}


def test_a_lost_receiver_is_down_and_a_slow_handler_a_timeout(three):
    anna, bert, carl = three
    goes_on = threading.Event()
    for node in (bert, carl):
        node.on_message("deploy", lambda _: goes_on.wait(WAIT) and None)
    leaving = threading.Thread(target=carl.stop)

    def told(change):
        if change.peer.name == "carl" and change.status == "acked":
            leaving.start()

    try:
        assert ends(anna.send("deploy", everyone=True, wait_handled=True, timeout=0.8, told=told)) == {
            "bert": "timeout", "carl": "down",
        }  # fmt: skip
    finally:
        goes_on.set()
        leaving.join(WAIT)


# --- asking -------------------------------------------------------------------------------------------


def test_each_peer_answers_a_question(three):
    anna, *others = three
    for node in others:
        node.on_message("disk", lambda message, node=node: f"{node.id}: {message.payload[:4].decode()}")
    result = anna.ask("disk", "left on /var?", everyone=True)
    assert result.counts["answered"] == 2
    assert {peer.name: answer for peer, answer in result.answers} == {"bert": b"id-bert: left", "carl": b"id-carl: left"}


def test_the_builtin_names_are_answered_by_each_node(three):
    anna, *_ = three
    assert {answer for _, answer in anna.ask("echo", b"\x00\xff", everyone=True).answers} == {b"\x00\xff"}
    assert {answer for _, answer in anna.ask("upper", "hallo", everyone=True).answers} == {b"HALLO"}
    infos = {peer.name: json.loads(answer) for peer, answer in anna.ask("info", everyone=True).answers}
    assert {name: info["name"] for name, info in infos.items()} == {"bert": "bert", "carl": "carl"}
    assert all(info["version"] == __version__ and info["uptime_s"] >= 0 for info in infos.values())


def test_a_node_without_builtins_refuses_them(two):
    anna, bert = two
    bert.messages.has_builtins = False
    assert ends(anna.ask("echo", "a", everyone=True)) == {"bert": "no-handler"}
    assert bert.messages.has_builtins is False
    bert.messages.has_builtins = True
    assert ends(anna.ask("echo", "a", everyone=True)) == {"bert": "answered"}


def test_answers_of_all_kinds(two):
    anna, bert = two
    kinds = ((None, b""), ("", b""), (5, "failed"), (OSError("x"), "failed"), (b"x" * 99, "too-long"))
    for answer, end in kinds:
        bert.taken.answer = answer
        result = anna.ask("deploy", "?", everyone=True)
        assert (result.answers[0][1] if result.answers else ends(result)["bert"]) == end


def test_long_messages_and_answers_between_nodes_with_keys(sealed):
    anna, bert = sealed
    payload = os.urandom(65_536)
    taken = Taken(lambda message: message.payload[::-1])
    bert.on_message("deploy", taken)
    result = anna.ask("deploy", payload, everyone=True, timeout=20.0)
    assert ends(result) == {"bert": "answered"}
    assert result.answers[0][1] == payload[::-1]
    assert taken.wait() == [payload]
    assert taken.all[0].is_sealed
    taken.answer = b"x" * 65_537
    assert ends(anna.ask("deploy", "more", everyone=True)) == {"bert": "too-long"}
    with pytest.raises(QueryError, match="the payload has 65537 bytes, at most 65536"):
        anna.send("deploy", bytes(65_537), everyone=True)


# --- the program in between ---------------------------------------------------------------------------


def test_an_exception_of_the_listener_ends_the_message(two):
    anna, bert = two

    def told(_):
        raise ZeroDivisionError

    bert.taken.answer = lambda _: threading.Event().wait(0.5) and None
    with pytest.raises(ZeroDivisionError):
        anna.send("deploy", everyone=True, wait_handled=True, told=told)
    assert anna.status()["messages"]["outgoing"]["pending"] == 0


def test_a_handler_may_send_messages_itself(three):
    anna, bert, carl = three
    carl.on_message("deploy", lambda message: b"carl")
    bert.on_message("deploy", lambda message: bert.ask("deploy", message.payload, to="carl").answers[0][1])
    assert anna.ask("deploy", "who?", to="bert").answers[0][1] == b"carl"


def test_a_stop_in_the_middle_ends_the_waiting(two):
    anna, bert = two
    bert.taken.answer = lambda _: threading.Event().wait(1.0) and None
    errors = SimpleQueue()

    def send():
        try:
            anna.send("deploy", everyone=True, wait_handled=True, timeout=60.0)
        except QueryError as error:
            errors.put(error)

    thread = threading.Thread(target=send)
    thread.start()
    bert.taken.wait()
    anna.stop()
    thread.join(WAIT)
    assert errors.get_nowait().code == "stopping"
    with pytest.raises(QueryError, match="this node has said goodbye"):
        anna.send("deploy", everyone=True)


def test_stop_names_a_handler_that_hangs_and_stops_the_rest(two, monkeypatch):
    anna, bert = two
    goes_on = threading.Event()
    bert.taken.answer = lambda _: goes_on.wait(WAIT) and None
    assert ends(anna.send("deploy", everyone=True, wait_handled=True, timeout=0.5)) == {"bert": "timeout"}
    assert ends(anna.ask("echo", "a", everyone=True)) == {"bert": "answered"}
    monkeypatch.setattr("discoveryd.runtime.discovery.JOIN_TIMEOUT", 0.1)
    with pytest.raises(RuntimeError, match=r"did not end within 0\.1 s: message-handler"):
        bert.stop()
    goes_on.set()
    bert.messages.stop(WAIT)


def test_a_part_takes_messages_refuses_some_and_ends_each_once(two):
    anna, bert = two
    taken = SimpleQueue()

    def wants(message):
        return {"run": "", "busy": "busy", "denied": "denied"}.get(message.name)

    bert.messages.register("part", wants, lambda message, done: taken.put((message, done)))
    assert [ends(anna.send(name, everyone=True))["bert"] for name in ("run", "busy", "denied", "deploy", "other")] == [
        "acked", "busy", "denied", "acked", "no-handler",
    ]  # fmt: skip
    message, done = taken.get(timeout=WAIT)
    assert message.name == "run"
    with pytest.raises(ValueError, match=r"a message ends as handled, no-handler, .*, not 'fine'"):
        done("fine")
    done("handled")
    done("failed")  # as good as never
    incoming = bert.status()["messages"]["incoming"]
    assert (incoming["running"], incoming["handled"]) == (0, 2)

    def answer():
        _, done = taken.get(timeout=WAIT)
        done("handled", b"from another thread")

    thread = threading.Thread(target=answer)
    thread.start()
    assert anna.ask("run", "x" * 40, everyone=True).answers[0][1] == b"from another thread"
    thread.join(WAIT)


def test_a_watcher_gets_all_and_stands_in_for_a_handler(two):
    anna, bert = two
    seen, deploys = [], []
    end_all = bert.messages.watch((), seen.append)
    end_deploys = bert.messages.watch(("deploy",), deploys.append)
    assert ends(anna.send("deploy", "1", everyone=True)) == {"bert": "acked"}
    assert ends(anna.send("other", "2", everyone=True, wait_handled=True)) == {"bert": "handled"}
    assert ends(anna.ask("other", "3", everyone=True)) == {"bert": "no-handler"}
    assert ends(anna.ask("echo", "4", everyone=True)) == {"bert": "answered"}
    assert [message.payload for message in seen] == [b"1", b"2", b"4"]
    assert [message.payload for message in deploys] == [b"1"]
    assert bert.status()["messages"]["watchers"] == 2
    end_all()
    end_deploys()
    assert ends(anna.send("other", everyone=True)) == {"bert": "no-handler"}
    assert bert.status()["messages"]["watchers"] == 0


def test_each_message_is_logged_at_debug_without_its_payload(make, port):
    notices = []
    anna, bert = make("anna"), make("bert", notify=notices.append)
    meet(port, anna, bert)
    bert.on_message("deploy", Taken(ValueError("bad")))
    anna.send("deploy", "\x1b[31msecret", everyone=True, wait_handled=True)
    anna.send("other", "\x1b[31msecret", everyone=True)
    told = {notice.text: notice for notice in notices if "message" in notice.text}
    assert {text: notice.level for text, notice in told.items()} == {
        "message": "debug", "message handler failed": "warning", "message not handled": "debug", "message refused": "debug",
    }  # fmt: skip
    assert told["message"].fields == {"message": "deploy", "number": 1, "bytes": 11, "peer": "anna", "id": "id-anna"}
    assert told["message refused"].fields["reason"] == "no-handler"
    assert "secret" not in repr(notices)


def test_the_status_counts_messages_of_both_sides(two):
    anna, bert = two
    anna.send("deploy", everyone=True)
    anna.ask("deploy", everyone=True)
    anna.send("other", everyone=True)
    ours, theirs = anna.status()["messages"], bert.status()["messages"]
    ended = {one["status"]: one["count"] for one in ours["outgoing"]["ended"]}
    assert (ours["outgoing"]["sent"], ours["outgoing"]["pending"]) == (3, 0)
    assert ended == {"acked": 1, "handled": 0, "answered": 1, "refused": 1, "timeout": 0, "down": 0}
    assert {one["reason"]: one["count"] for one in ours["outgoing"]["refused"]}["no-handler"] == 1
    assert (theirs["incoming"]["received"], theirs["incoming"]["handled"], theirs["handlers"]) == (2, 2, ["deploy"])
    assert ours["datagrams"]["sent"] >= 3
    assert theirs["datagrams"]["received"] >= 3


# --- without a network --------------------------------------------------------------------------------


def test_before_the_start_nobody_is_there(make):
    anna = make("anna")
    assert anna.send("deploy", everyone=True).expected == 0


def test_a_request_that_is_ended_tells_nothing_more(two):
    anna, bert = two
    bert.taken.answer = lambda _: threading.Event().wait(0.3) and None
    told = SimpleQueue()
    end = anna.messages.begin(Draft(name="deploy", where={"everyone": True}, wants_handled=True), told.put)
    assert told.get(timeout=WAIT).expected == 1
    end()
    end()
    bert.taken.wait()
    assert ends(anna.ask("echo", "later", everyone=True)) == {"bert": "answered"}
    assert told.qsize() <= 1  # that it was acknowledged, at most
