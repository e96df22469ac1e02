"""A message goes out once to all, then to each that did not acknowledge it; what becomes of it is told."""

from dataclasses import replace
from itertools import pairwise

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.messages.outgoing import MAX_PENDING
from discoveryd.protocol.messages.values import MAX_PAYLOAD, OutgoingMessage, PeerFilter, Target
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import mark
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.protocol.wire.talk import MAX_PART, Ack
from tests.protocol.engine import drops
from tests.protocol.messages.test_receipts import at
from tests.protocol.samples import ETH0, boot, hello, make_node, row_of, source
from tests.protocol.segment import K1


def speaker(peers=3, **more):
    """Return a node with peers, which all proved to be there, and live long."""
    node = make_node(proved=True, **more)
    for number in range(1, peers + 1):
        record = Record(name=f"web{number}", tags={"odd": str(number % 2)}, services=(Service(name="http", port=number),))
        said = hello(number, f"web{number}", record=record, interval=10, ttl=100)
        node.table.heard(said, at(number), 0.0)
        node.credit.prove(at(number).address, 0.0)
    return node


def message(node, payload=b"v2", *, peers=None, filter=None, **more):
    target = Target(peers=peers, filter=filter)
    return OutgoingMessage(number=node.messages.next_number(), name="deploy", payload=payload, target=target, **more)


def send(node, *args, now=1.0, **more):
    outcome = node.messages.send(message(node, *args, **more), now)
    return outcome.deliveries, outcome.sends


def ack(node, peer=1, number=1, status="r", now=1.01, **more):
    """Let a peer acknowledge a message; return what is told."""
    outcome = receive_ack(node, peer, number, status, now, **more)
    return told(outcome)


def receive_ack(node, peer=1, number=1, status="r", now=1.01, source=None, **more):
    to = more.pop("to", mark(node.id, node.boot))
    said = Ack(realm="default", boot=boot(peer), to=to, number=number, status=status, **{"bitmap": 1, **more})
    return node.receive(said.encode(), source or at(peer, unicast=True), now)


def told(outcome):
    return [(one.peer.id, one.status, one.is_final, one.is_last) for one in outcome.deliveries]


def poll(node, until, now):
    """Poll whenever something is due; return (time, to, datagram) of what is sent, and all that is told."""
    sends, deliveries = [], []
    while now < until:
        outcome = node.messages.poll(now, now, has_events=False)
        sends += [(round(now, 3), one.to, decode(one.datagram)) for one in outcome.sends]
        deliveries += told(outcome)
        now = max(now + 0.0001, node.messages.next_deadline())
    return sends, deliveries


# --- to whom ----------------------------------------------------------------------------------------


def test_a_message_to_all_is_one_broadcast():
    node = speaker()
    deliveries, [sent] = send(node)
    assert [(one.peer.id, one.status, one.is_final, one.is_last) for one in deliveries] == [
        (f"web{number}", "sent", False, False) for number in (1, 2, 3)
    ]
    assert (sent.to, sent.limited, sent.link, sent.kind) == ("10.0.0.255", True, ETH0, "msg")
    said = decode(sent.datagram)
    assert (said.number, said.name, said.filter, said.payload, said.part, said.parts) == (1, "deploy", "", b"v2", 0, 1)


def test_named_peers_get_it_by_unicast():
    node = speaker(20)
    names = tuple((f"web{number}", boot(number)) for number in range(1, 13))
    deliveries, sends = send(node, peers=(*names, ("web99", boot(99))))
    assert [one.peer.id for one in deliveries] == [id for id, _ in names]
    assert [one.to for one in sends] == [at(number).address for number in range(1, 13)]
    assert {decode(one.datagram).filter for one in sends} == {""}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (PeerFilter(name="web[12]"), ["web1", "web2"]),
        (PeerFilter(tags={"odd": "1"}), ["web1", "web3"]),
        (PeerFilter(service="http"), ["web1", "web2", "web3"]),
        (PeerFilter(link="eth9"), []),
        (PeerFilter(name="db*"), []),
    ],
)
def test_a_filter_tells_who_is_meant(filter, expected):
    deliveries, sends = send(speaker(), filter=filter)
    assert [one.peer.id for one in deliveries] == expected
    assert len(sends) == bool(expected)
    assert [decode(one.datagram).filter for one in sends] == [replace(filter, link=None).encode()] * len(sends)


def test_a_filter_by_link_is_no_broadcast():
    """A link does not travel: what else hears it there would handle the message too."""
    deliveries, [sent] = send(speaker(), filter=PeerFilter(link="eth0", name="web3"))
    assert [one.peer.id for one in deliveries] == ["web3"]
    assert (sent.to, decode(sent.datagram).filter) == (at(3).address, "")


def test_a_long_payload_to_nobody_is_sent_to_nobody():
    assert send(speaker(), bytes(MAX_PART + 1), filter=PeerFilter(name="db*")) == ((), ())


def test_a_filter_too_long_to_travel_is_applied_here():
    filter = PeerFilter(tags={"odd": "1"}, name="web" + "[123]" * 30 + "*")
    node = speaker()
    assert send(node, filter=filter) == ((), ())
    deliveries, sends = send(node, filter=PeerFilter(name="[w]" + "[e]" * 45 + "*"), now=2.0)
    assert (deliveries, sends) == ((), ())
    deliveries, sends = send(node, bytes(MAX_PART), filter=PeerFilter(name="web*", tags={"odd": "1"}, service="http"), now=3.0)
    assert [one.to for one in sends] == [at(1).address, at(3).address]  # it leaves no room for the payload


def test_bare_gone_and_deaf_peers_are_no_receivers():
    node = speaker(4)
    node.table.heard_bare(source("10.0.0.99"), 100.0, 0.0)
    node.receive(hello(2, "web2", seq=9, goodbye=True).encode(), at(2), 0.5)
    for path in row_of(node.table, 3).paths:
        path.two_way = False
    assert [one.peer.id for one in send(node)[0]] == ["web1", "web4"]


def test_a_message_that_nobody_is_meant_by_is_over():
    node = speaker(0)
    assert send(node) == ((), ())
    assert len(node.messages.deliveries) == 0


# --- repetition -------------------------------------------------------------------------------------


def test_who_did_not_acknowledge_gets_it_again_with_growing_gaps():
    node = speaker(2)
    send(node, timeout=3.0)
    assert ack(node) == [("web1", "acked", True, False)]
    sends, deliveries = poll(node, 5.0, 1.02)
    assert {(to, said.number, said.name) for _, to, said in sends} == {(at(2).address, 1, "deploy")}
    assert [moment for moment, _, _ in sends] == pytest.approx([1.062, 1.182, 1.422, 1.902, 2.862, 3.862], abs=0.002)
    assert deliveries == [("web2", "timeout", True, True)]
    assert node.messages.deliveries.counts == {"sent": 1, "acked": 1, "timeout": 1}


def test_the_loss_of_a_path_makes_the_gaps_short():
    node = speaker(1)
    for path in row_of(node.table).paths:
        path.loss_at_most = 0.3
    send(node)
    moments = [moment for moment, _, _ in poll(node, 2.4, 1.01)[0]]
    assert len(moments) >= 12
    assert max(after - before for before, after in pairwise(moments)) < 0.11


def test_a_peer_that_leaves_is_down_at_once():
    node = speaker(2)
    send(node)
    assert ack(node) == [("web1", "acked", True, False)]
    node.receive(hello(2, "web2", seq=9, goodbye=True).encode(), at(2), 1.1)
    assert node.next_deadline() <= 1.1
    assert told(node.poll(1.1)) == [("web2", "down", True, True)]


def test_a_peer_that_begins_anew_is_down():
    node = speaker(1)
    send(node)
    node.table.heard(hello(9, "web1", seq=1), at(1), 1.1, proved=True)
    assert told(node.messages.poll(1.1, 1.1, has_events=True)) == [("web1", "down", True, True)]


def test_a_message_may_be_cancelled():
    node = speaker(2)
    send(node)
    node.messages.cancel(1)
    assert poll(node, 10.0, 1.0) == ([], [])
    assert ack(node) == []
    node.messages.cancel(1)


# --- what comes back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wants", "status", "expected"),
    [
        ({}, "r", [("acked", None, True)]),
        ({}, "h", [("acked", None, True)]),
        ({}, "f", [("acked", None, True)]),
        ({}, "u", [("refused", "no-handler", True)]),
        ({"wants_handled": True}, "r", [("acked", None, False)]),
        ({"wants_handled": True}, "h", [("handled", None, True)]),
        ({"wants_handled": True}, "f", [("refused", "failed", True)]),
        ({"is_question": True}, "r", [("acked", None, False)]),
        ({"is_question": True}, "h", [("refused", "failed", True)]),
        ({"is_question": True}, "d", [("refused", "denied", True)]),
        ({"is_question": True}, "b", [("refused", "busy", True)]),
        ({"is_question": True}, "l", [("refused", "too-long", True)]),
        ({"is_question": True}, "m", [("refused", "not-meant", True)]),
    ],
)
def test_an_acknowledgement_tells_what_became_of_it(wants, status, expected):
    node = speaker(1)
    send(node, **wants)
    deliveries = receive_ack(node, status=status).deliveries
    assert [(one.status, one.reason, one.is_final) for one in deliveries] == expected
    assert receive_ack(node, status=status).deliveries == ()
    assert len(node.messages.deliveries) == (not expected[0][2])


def test_an_answer_comes_in_parts():
    node = speaker(1)
    send(node, is_question=True)
    assert ack(node, status="h", part=1, parts=2, payload=b"world") == [("web1", "acked", False, False)]
    [(_, _, asked), *_], _ = poll(node, 1.2, 1.02)
    assert (asked.have, asked.part) == (0b10, 0)
    [answered] = receive_ack(node, status="h", part=0, parts=2, payload=b"hello ", now=1.2).deliveries
    assert (answered.status, answered.answer, answered.took_s) == ("answered", b"hello world", pytest.approx(0.2))


def test_an_empty_answer_is_one():
    node = speaker(1)
    send(node, is_question=True)
    [answered] = receive_ack(node, status="h", parts=1).deliveries
    assert (answered.status, answered.answer) == ("answered", b"")


def test_a_handler_that_goes_on_is_asked_after():
    node = speaker(1)
    send(node, wants_handled=True, timeout=9.0)
    assert ack(node) == [("web1", "acked", False, False)]
    moments = [moment for moment, _, _ in poll(node, 6.0, 1.01)[0]]
    assert moments == pytest.approx([1.13, 1.37, 1.85, 2.81, 3.81, 4.81, 5.81], abs=0.002)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"to": "f" * 16}, "unexpected"),
        ({"number": 2}, "unexpected"),
        ({"source": source("10.0.0.66", unicast=True)}, "unproven"),
        ({"peer": 9}, "unproven"),
        ({"status": "z"}, "malformed"),
    ],
)
def test_an_acknowledgement_of_anything_else_is_dropped(changed, reason):
    node = speaker(1)
    send(node)
    outcome = receive_ack(node, **changed)
    assert (outcome.deliveries, outcome.sends) == ((), ())
    assert drops(node) == {(reason, "eth0"): 1}


def test_a_plain_acknowledgement_for_a_sealing_peer_is_dropped():
    node = speaker(1)
    send(node)
    row_of(node.table).sealed_with = K1.id
    assert ack(node) == []
    assert drops(node) == {("downgrade", "eth0"): 1}


def test_the_acknowledgement_of_a_late_joiner_is_ignored():
    node = speaker(1)
    send(node)
    node.table.heard(hello(2, "web2", interval=10, ttl=100), at(2), 1.005)
    assert ack(node, peer=2) == []
    assert ack(node) == [("web1", "acked", True, True)]
    assert drops(node) == {}


# --- order ------------------------------------------------------------------------------------------


def test_a_message_waits_for_earlier_ones_at_a_shared_receiver():
    node = speaker(3)
    one, two, three = ((f"web{number}", boot(number)) for number in (1, 2, 3))
    assert len(send(node, peers=(one, two))[1]) == 2
    assert [one.to for one in send(node, peers=(two, three))[1]] == [at(3).address]
    assert send(node, peers=(three,))[1] == ()
    assert send(node, peers=(one,))[1] == ()
    for peer, number, following in ((1, 1, 4), (2, 1, 2), (3, 2, 3)):
        [sent] = receive_ack(node, peer, number).sends
        assert (sent.to, decode(sent.datagram).number) == (at(peer).address, following)


def test_a_receiver_that_does_not_answer_holds_up_no_other():
    node = speaker(3)
    send(node, timeout=60.0)
    assert told(receive_ack(node, 1)) == [("web1", "acked", True, False)]
    assert told(receive_ack(node, 2)) == [("web2", "acked", True, False)]
    _, sends = send(node, now=1.1)
    assert sorted(one.to for one in sends) == [at(1).address, at(2).address]
    assert {decode(one.datagram).number for one in sends} == {2}
    assert ack(node, 1, 2) == [("web1", "acked", True, False)]


# --- what is lost here ------------------------------------------------------------------------------


def test_a_broadcast_that_finds_no_room_goes_to_each_alone(monkeypatch):
    node = speaker(2)
    monkeypatch.setattr("discoveryd.protocol.messages.pacer.MAX_WAITING", 0)
    assert send(node)[1] == ()
    monkeypatch.undo()
    sends, _ = poll(node, 2.05, 1.0)
    assert sorted(to for _, to, _ in sends) == [at(1).address, at(2).address]


def test_nobody_is_judged_by_silence_before_all_was_read():
    node = speaker(1)
    node.drained(1.0)
    send(node, timeout=2.0, wants_handled=True)
    ack(node)
    assert told(node.poll(4.0)) == [], "its time is over, but an answer may be waiting"
    assert node.next_deadline() <= 4.0
    node.drained(4.0)
    assert told(node.poll(4.0)) == [("web1", "timeout", True, True)]


# --- bounds -----------------------------------------------------------------------------------------


def test_messages_under_way_are_bounded():
    node = speaker(1)
    for _ in range(MAX_PENDING):
        send(node)
    with pytest.raises(QueryError, match="64 messages are under way") as caught:
        send(node)
    assert caught.value.code == "busy"


def test_answers_that_come_in_are_bounded(monkeypatch):
    monkeypatch.setattr("discoveryd.protocol.messages.outgoing.MAX_ANSWER_BYTES", 10)
    node = speaker(2)
    send(node, is_question=True)
    assert ack(node, 1, status="h", part=0, parts=2, payload=bytes(8)) == [("web1", "acked", False, False)]
    [refused] = receive_ack(node, 2, status="h", part=0, parts=2, payload=bytes(8)).deliveries
    assert (refused.status, refused.reason) == ("refused", "too-long")
    assert ack(node, 1, status="h", part=1, parts=2, payload=bytes(2)) == [("web1", "answered", True, True)]
    send(node, is_question=True, now=2.0)
    assert ack(node, 1, 2, status="h", part=0, parts=2, payload=bytes(10), now=2.1) == [("web1", "acked", False, False)]


def test_a_payload_too_long_is_refused_before_anything_is_sent():
    node = speaker(2)
    assert len(send(node, bytes(MAX_PART))[1]) == 1
    for length, said in ((MAX_PART + 1, "at most 600 where nothing is sealed"), (MAX_PAYLOAD + 1, "at most 65536")):
        with pytest.raises(QueryError, match=said) as caught:
            send(node, bytes(length))
        assert caught.value.code == "too_long"
    row_of(node.table, 2).sealed_with = K1.id
    deliveries = node.messages.deliveries.send(message(node, bytes(MAX_PART + 1)), 2.0)
    assert [(one.peer.id, one.status, one.reason) for one in deliveries] == [
        ("web1", "sent", None), ("web2", "sent", None), ("web1", "refused", "too-long"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "A", "a_b", "a" * 33, "a b", "ä", "a\n"])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(QueryError, match="name of a message must be 1 to 32 of a-z 0-9 -"):
        OutgoingMessage(number=1, name=name)


@pytest.mark.parametrize("timeout", [0.0, -1.0, 601.0, float("nan")])
def test_a_wrong_timeout_is_refused(timeout):
    with pytest.raises(QueryError, match="timeout must be up to 600 s"):
        OutgoingMessage(number=1, name="a", timeout=timeout)
