"""What comes in is handed out once, within bounds, and acknowledged with what is true."""

from dataclasses import replace
from itertools import count

import pytest

from discoveryd.protocol.messages.receipts import (
    KEPT_FOR,
    MAX_ANSWERS,
    MAX_ASSEMBLED,
    MAX_ASSEMBLED_OF_ONE,
    MAX_RUNNING,
    MAX_RUNNING_OF_ONE,
    MAX_SENDERS,
    WINDOW,
)  # fmt: skip
from discoveryd.protocol.messages.values import PeerFilter
from discoveryd.protocol.parameters import MessageLimits, Parameters
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong, mark
from discoveryd.protocol.wire.talk import MessagePart
from tests.protocol.engine import drops
from tests.protocol.samples import boot, hello, make_node, source
from tests.protocol.segment import K1

ALONE, TO_ALL = source(unicast=True), source()


def listener(refusal="", *, peers=1):
    """Return a node with peers that proved to be there, which takes each message or refuses it."""
    node = make_node(proved=True)
    for number in range(1, peers + 1):
        node.table.heard(hello(number, f"web{number}"), at(number), 0.0)
        node.credit.prove(at(number).address, 0.0)
    node.messages.receipts.refusal_of = lambda _: refusal
    return node


def at(number=1, **more):
    return source(f"10.0.{number // 200}.{6 + number % 200}", **more)


def part(number=1, peer=1, **more):
    more = {"name": "deploy", "payload": b"v2", **more}
    return MessagePart(realm="default", id=f"web{peer}", boot=boot(peer), number=number, **more)


def say(node, *parts, now=1.0, source=ALONE):
    """Give a node parts; return the messages it hands out, and what it sends."""
    outcomes = [node.receive(one.encode(), source, now) for one in parts]
    messages = [message for outcome in outcomes for message in outcome.messages]
    return messages, [decode(send.datagram) for outcome in outcomes for send in outcome.sends]


def statuses(acks):
    return [ack.status for ack in acks]


# --- once -------------------------------------------------------------------------------------------


def test_a_message_is_handed_out_once_and_acknowledged_each_time():
    node = listener()
    for now in (1.0, 1.1, 30.0):
        node.receive(hello(seq=round(now * 10)).encode(), TO_ALL, now)
        messages, [ack] = say(node, part(), now=now)
        assert (ack.number, ack.status, ack.bitmap, ack.parts) == (1, "r", 1, 0)
        assert (ack.boot, ack.to) == (node.boot, mark("web1", boot(1)))
        assert len(messages) == (now == 1.0)
    assert node.messages.receipts.counts == {"received": 1, "repeated": 2}
    assert (node.received["msg"], node.sent["ack"]) == (3, 3)


def test_a_short_repeat_brings_no_long_answer_in_plain():
    """The address of a plain repeat may be forged: what goes there is no longer than what came."""
    node = listener()
    [message], _ = say(node, part(flags="q", payload=bytes(400)))
    node.messages.finish(message.key, "handled", bytes(300), 1.0)
    _, [ack] = say(node, part(flags="q", payload=bytes(400)), now=1.1)
    assert len(ack.payload) == 300
    assert say(node, part(flags="q"), now=1.2) == ([], [])
    assert drops(node) == {("malformed", "eth0"): 1}


def test_what_is_handed_out_says_all():
    [message], _ = say(listener(), part(flags="qhaX"))
    assert (message.key, message.name, message.payload) == ((boot(1), 1), "deploy", b"v2")
    assert (message.sender.id, message.sender.address) == ("web1", "10.0.0.7")
    assert (message.is_question, message.wants_handled, message.is_sealed) == (True, True, False)


@pytest.mark.parametrize(("refusal", "letter"), [("no-handler", "u"), ("denied", "d"), ("busy", "b"), ("too-long", "l")])
def test_a_refused_message_is_not_handed_out(refusal, letter):
    node = listener(refusal)
    messages, acks = say(node, part(), part())
    assert messages == []
    assert statuses(acks) == [letter, letter]
    assert node.messages.receipts.counts == {refusal: 1, "repeated": 1}


def test_without_anybody_who_takes_messages_there_is_no_handler():
    node = make_node(proved=True)
    node.receive(hello().encode(), TO_ALL, 0.0)
    messages, [ack] = say(node, part())
    assert (messages, ack.status) == ([], "u")


# --- who is heard -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sender", "reason"),
    [
        ({"boot": boot(9)}, ALONE, "unproven"),
        ({"id": "web9"}, ALONE, "unproven"),
        ({}, source("10.0.0.66", unicast=True), "unproven"),
        ({"realm": "other"}, ALONE, "other-realm"),
        ({"parts": 2}, ALONE, "too-long"),
        ({"filter": "bm9wZQ"}, ALONE, "malformed"),
    ],
)
def test_other_messages_are_dropped_unacknowledged(changed, sender, reason):
    node = listener()
    assert say(node, replace(part(), **changed), source=sender) == ([], [])
    assert drops(node) == {(reason, "eth0"): 1}
    assert not node.messages.receipts.senders


def test_a_peer_that_is_down_or_left_is_not_heard():
    node = listener()
    assert say(node, part(), now=4.5) == ([], [])
    node.receive(hello(seq=9).encode(), TO_ALL, 5.0)
    assert say(node, part(), now=5.0)[0]
    node.receive(hello(seq=10, goodbye=True).encode(), TO_ALL, 5.1)
    assert say(node, part(2), now=5.2) == ([], [])
    assert drops(node) == {("unproven", "eth0"): 2}


def test_a_peer_that_answered_no_ping_is_not_heard():
    node = make_node()
    node.messages.receipts.refusal_of = lambda _: ""
    node.receive(hello().encode(), TO_ALL, 0.0)
    assert say(node, part(), now=0.1) == ([], [])
    assert drops(node) == {("unproven", "eth0"): 1}
    pings = [decode(send.datagram) for send in node.poll(0.1).sends if send.kind == "ping"]
    assert [ping.to for ping in pings] == [mark("web1", boot(1))], "its sender, which tries again, is asked at once"
    say(node, part(), now=0.17)
    assert not [send for send in node.poll(0.17).sends if send.kind == "ping"], "and then not at once again"
    node.receive(Pong(realm="default", boot=boot(1), nonce=pings[0].nonce, heard_ms=5).encode(), ALONE, 0.21)
    assert len(say(node, part(), now=0.22)[0]) == 1


def test_a_peer_that_seals_is_not_heard_in_plain():
    node = listener()
    [row] = node.table.rows(1.0)
    row.sealed_with = K1.id
    assert say(node, part()) == ([], [])
    assert drops(node) == {("downgrade", "eth0"): 1}


def test_a_message_shorter_than_its_acknowledgement_is_dropped():
    node = listener()
    short = part().encode().rpartition(b"|0")[0] + b"|"
    assert decode(short) == part()
    assert node.receive(short, ALONE, 1.0).sends == ()
    assert drops(node) == {("malformed", "eth0"): 1}


# --- who is meant -----------------------------------------------------------------------------------


def test_a_filter_is_applied_to_the_own_record():
    node = listener()
    messages, _ = say(node, part(filter=PeerFilter(name="m?").encode()))
    assert len(messages) == 1
    other = PeerFilter(tags={"rack": "b2"}).encode()
    assert say(node, part(2, filter=other), part(2, filter=other), source=TO_ALL) == ([], [])
    messages, [ack] = say(node, part(2, filter=other))
    assert (messages, ack.status) == ([], "m")


def test_an_acknowledgement_of_what_went_to_all_is_spread():
    node = listener(peers=100)
    dues = []
    for number in range(1, 41):
        assert say(node, part(number), source=TO_ALL)[1] == []
        dues.append(node.messages.next_deadline() - 1.0)
        [send] = node.messages.poll(1.1, 1.1, has_events=False).sends
        assert decode(send.datagram).number == number
    assert 0 <= min(dues) < 0.02
    assert 0.08 < max(dues) <= 0.1


def test_an_acknowledgement_says_what_is_true_when_it_leaves():
    node = listener(peers=100)
    [message], _ = say(node, part(flags="q"), source=TO_ALL)
    assert node.messages.finish(message.key, "handled", b"OK", 1.0).sends == ()
    [send] = node.messages.poll(1.1, 1.1, has_events=False).sends
    assert (decode(send.datagram).status, decode(send.datagram).payload) == ("h", b"OK")


# --- how it ended -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "told"), [("", []), ("h", ["h"]), ("q", ["h"])])
def test_the_end_is_told_where_it_is_wanted(flags, told):
    node = listener()
    [message], _ = say(node, part(flags=flags))
    assert len(node.messages.receipts) == 1
    outcome = node.messages.finish(message.key, "handled", None, 2.0)
    assert statuses(decode(send.datagram) for send in outcome.sends) == told
    assert statuses(say(node, part(flags=flags), now=2.0)[1]) == ["h"]
    assert len(node.messages.receipts) == 0
    assert node.messages.finish(message.key, "failed", None, 2.0).sends == ()
    assert statuses(say(node, part(flags=flags), now=2.0)[1]) == ["h"]


def test_an_answer_in_plain_is_no_longer_than_its_question():
    node = listener()
    for number, (length, status) in enumerate([(0, "h"), (1, "h"), (2, "h"), (3, "l"), (600, "l")], 1):
        asked = part(number, flags="q", payload=b"v2")
        [message], _ = say(node, asked)
        assert message.room == 2
        [send] = node.messages.finish(message.key, "handled", bytes(length), 1.0).sends
        assert decode(send.datagram).status == status
        assert len(send.datagram) <= len(asked.encode())


# --- bounds -----------------------------------------------------------------------------------------


def test_twenty_messages_a_second_of_one_sender_are_taken():
    node, numbers = listener(), count(1)

    def taken(now, seconds=0.0, times=100):
        found = []
        for time in range(times):
            messages, _ = say(node, part(next(numbers)), now=now + seconds * time / times)
            found += messages
            for message in messages:
                node.messages.finish(message.key, "handled", None, now)
        return len(found)

    assert taken(1.0) == 40
    assert taken(1.0, seconds=2.0) in range(39, 42)
    assert node.messages.receipts.counts["busy"] > 100
    node.set_parameters(Parameters(messages=MessageLimits(rate=1)), 3.0)
    assert taken(3.5) == 2


def test_running_handlers_are_bounded():
    node = listener(peers=3)

    def fill(peer, times):
        parts = [part(number, peer) for number in range(1, times + 1)]
        messages, acks = say(node, *parts, source=at(peer, unicast=True))
        return len(messages), statuses(acks)

    one = MAX_RUNNING_OF_ONE
    assert fill(1, one + 2) == (one, ["r"] * one + ["b"] * 2), "one sender leaves room to others"
    assert fill(2, MAX_RUNNING - one) == (MAX_RUNNING - one, ["r"] * (MAX_RUNNING - one))
    assert fill(3, 1) == (0, ["b"])
    node.messages.finish((boot(1), 3), "handled", None, 1.0)
    assert len(say(node, part(100, 3), source=at(3, unicast=True))[0]) == 1


def test_numbers_below_the_window_are_stale():
    node = listener()
    receipts = node.messages.receipts

    def hear(number):
        incoming = Heard()
        messages = receipts.hear(part(number), incoming, 1.0)
        for message in messages:
            receipts.finish(message.key, "handled", None, 1.0)
        return len(messages)

    class Heard:
        source, opened, size, is_known = replace_key(ALONE), None, 1000, True

    assert hear(1000)
    assert hear(1000 - WINDOW + 1) + receipts.counts["busy"] == 1
    with pytest.raises(Exception, match="long over"):
        hear(1000 - WINDOW)
    assert hear(1000) == 0
    for number in range(1001, 1500):
        hear(number)
    [known] = receipts.senders.values()
    assert len(known) <= WINDOW + 1


def replace_key(sender):
    return source(sender.address, unicast=True, key=K1.id)


def test_a_forged_high_number_makes_no_plain_one_look_old():
    node = listener()
    assert say(node, part(0xFFFFFFFF))[0]
    assert say(node, part(1))[0]
    assert say(node, part(1))[0] == []


def test_senders_are_remembered_within_bounds():
    node = listener(peers=MAX_SENDERS + 2)
    for peer in range(1, MAX_SENDERS + 3):
        for message in say(node, part(1, peer), source=at(peer, unicast=True))[0]:
            node.messages.finish(message.key, "handled", None, 1.0)
    assert node.messages.receipts.counts["received"] == MAX_SENDERS + 2
    assert say(node, part(1, MAX_SENDERS + 2), source=at(MAX_SENDERS + 2, unicast=True))[0] == []
    assert len(say(node, part(1, 1), source=at(1, unicast=True))[0]) == 1


class Sealed:
    """A part as it comes out of an envelope."""

    opened, size, is_known = None, 1000, True

    def __init__(self, peer):
        self.source = at(peer, unicast=True, key=K1.id)


def assemble(node, number, peer, now=1.0, **more):
    """Give a node a part of a sealed message; return why it is dropped."""
    try:
        node.messages.receipts.hear(part(number, peer, **{"parts": 3, **more}), Sealed(peer), now)
    except Exception as error:
        return error.reason
    return ""


def test_messages_with_parts_missing_are_bounded():
    node = listener(peers=20)
    found = [[assemble(node, number, peer) for number in range(1, 11)] for peer in range(1, 11)]
    whole = MAX_ASSEMBLED // MAX_ASSEMBLED_OF_ONE
    assert found[:whole] == [[""] * MAX_ASSEMBLED_OF_ONE + ["message-crowd"] * 2] * whole
    assert found[whole:] == [["message-crowd"] * 10] * 2
    assert assemble(node, 1, 1, part=1, name="") == ""  # further parts of those that are there
    for peer in range(1, 21):
        node.receive(hello(peer, f"web{peer}", seq=20).encode(), at(peer), 11.5)
    assert assemble(node, 11, 1, now=11.5) == ""


def test_answers_are_kept_within_bounds():
    node = listener(peers=100)
    receipts = node.messages.receipts
    for peer in range(1, 72):
        [message] = receipts.hear(part(1, peer, flags="q"), Sealed(peer), 1.0)
        receipts.finish(message.key, "handled", bytes(65_536), 1.0)
    kept = [known[1].answer is not None for known in receipts.senders.values()]
    assert sum(kept) == MAX_ANSWERS // 65_536
    assert kept == sorted(kept)
    for peer in (100, 71):
        node.receive(hello(peer, f"web{peer}", seq=60).encode(), at(peer), 1.0 + KEPT_FOR)
    receipts.hear(part(1, 100), Sealed(100), 1.0 + KEPT_FOR)
    assert not any(known[1].answer for known in receipts.senders.values())
