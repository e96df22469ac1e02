"""Many nodes send each other messages: each is acknowledged in time, handled once, in order, within the budget."""

from collections import Counter
from functools import cache

import pytest

from discoveryd.protocol.messages.values import MAX_PAYLOAD, Target
from discoveryd.protocol.parameters import MessageLimits, Parameters
from tests.protocol.segment import K1, ring
from tests.simulation.talkers import SLOW, Talker, by_parity, count_sent, crowd, most_in_a_second

SIZES = {0.0: 50, 0.2: 100}
"""Nodes, by loss: without it each other one does the same."""
SOON = 1.5
ROUNDS = 5
KEYS = ring(K1)


@cache
def known(loss):
    """Return a crowd that several tests use one after the other."""
    return crowd(SIZES[loss], seed=loss, loss=loss, settled=16.0)


@pytest.fixture
def of_loss(loss):
    clock, segment, hosts = known(loss)
    segment.loss = loss
    for host in hosts:
        host.handled.clear()
        host.sent.clear()
        host.told.clear()
    return clock, segment, hosts


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_each_node_acknowledges_each_message_in_time(of_loss, loss):
    """Each round is another draw of losses and delays, from another sender."""
    clock, _, hosts = of_loss
    size = len(hosts)
    for turn in range(ROUNDS):
        sender, begun = hosts[7 * turn], clock.now
        number = sender.say(payload=b"%d" % turn)
        clock.run(clock.now + 5.0)
        assert Counter(sender.ends(number).values()) == {"acked": size - 1}
        assert sender.last(number) <= SOON
        cost = count_sent(hosts, begun)
        if loss:
            assert cost["msg"] + cost["ack"] <= 1 + size + 4 * loss * size + 60
        else:
            assert cost == {"msg": 1, "ack": size - 1}
    for host in hosts:
        assert [message.payload for message in host.handled] == [b"%d" % turn for turn in range(ROUNDS) if hosts[7 * turn] is not host]
        assert most_in_a_second(at for at, _ in host.sent) <= SLOW.messages.budget
        assert {reason for reason, _ in host.node.drops} <= {"unproven"}


@pytest.mark.parametrize("loss", [0.0])
def test_losses_that_begin_with_the_message_leave_nobody_out(of_loss):
    """The paths were measured without loss: the acknowledgements that are missing tell of it."""
    clock, segment, hosts = of_loss
    for turn in range(ROUNDS):
        segment.loss = 0.2
        number = hosts[turn].say()
        clock.run(clock.now + SOON)
        assert Counter(hosts[turn].ends(number).values()) == {"acked": len(hosts) - 1}
        segment.loss = 0.0
        clock.run(clock.now + 1.0)
    assert {len(host.handled) for host in hosts[ROUNDS:]} == {ROUNDS}


@pytest.mark.parametrize("keyring", [KEYS], ids=["sealed"])
def test_sealed_messages_through_loss_duplicates_and_replays(keyring):
    clock, segment, hosts = crowd(30, seed=4, loss=0.2, keyring=keyring)
    tape = []
    carry = segment.send
    segment.send = lambda plug, to, datagram: (tape.append((plug, to, datagram)), carry(plug, to, datagram))
    number = hosts[0].say()
    clock.run(clock.now + SOON)
    assert Counter(hosts[0].ends(number).values()) == {"acked": 29}
    drops = Counter()
    for plug, to, datagram in list(tape):
        carry(plug, to, datagram)
    clock.run(clock.now + 1.0)
    for host in hosts[1:]:
        assert len(host.handled) == 1
        drops += Counter({reason: count for (reason, _), count in host.node.drops.items()})
    assert drops["replayed"] > 20
    assert hosts[0].ends(number) == dict.fromkeys((host.name for host in hosts[1:]), "acked")


def test_replays_in_plain_are_handled_by_nobody():
    clock, segment, hosts = crowd(30, seed=5, settled=10.0)
    tape = []
    carry = segment.send
    segment.send = lambda plug, to, datagram: (tape.append((plug, to, datagram)), carry(plug, to, datagram))
    for _ in range(3):
        hosts[0].say()
        clock.run(clock.now + 1.0)
    for plug, to, datagram in list(tape):
        carry(plug, to, datagram)
    clock.run(clock.now + 1.0)
    assert {len(host.handled) for host in hosts[1:]} == {3}


def test_a_stopped_node_is_named_and_a_newcomer_is_not_missing():
    clock, segment, hosts = crowd(20, seed=6, loss=0.2, parameters=Parameters())
    hosts[5].end()  # it is silent, and listed for a moment
    number = hosts[0].say(timeout=10.0)
    newcomer = Talker(segment, 77, seed=6)
    clock.after(0.05, newcomer.start)
    clock.run(clock.now + 12.0)
    ends = hosts[0].ends(number)
    assert ends.pop("n6") in ("down", "timeout")
    assert ends == {host.name: "acked" for host in hosts[1:] if host.name != "n6"}
    assert [one.is_last for _, one in hosts[0].told].count(True) == 1
    assert newcomer.handled == []
    again = hosts[0].say()
    clock.run(clock.now + 5.0)
    assert hosts[0].ends(again)["n77"] == "acked"


def test_a_node_that_leaves_meanwhile_is_down():
    clock, segment, hosts = crowd(5, seed=7, settled=10.0)
    segment.loss = 1.0
    number = hosts[0].say()
    clock.run(clock.now + 0.3)
    segment.loss = 0.0
    hosts[3].act(hosts[3].node.goodbye())
    hosts[3].end()
    clock.run(clock.now + 3.0)
    assert hosts[0].ends(number) == {"n2": "acked", "n3": "acked", "n4": "down", "n5": "acked"}


def test_messages_of_one_sender_arrive_in_order():
    clock, _, hosts = crowd(10, seed=8, loss=0.3)
    targets = [Target(), by_parity(0), by_parity(1)]
    for number in range(30):
        clock.after(0.01 * number, lambda number=number: hosts[0].say(payload=b"%d" % number, target=targets[number % 3], timeout=30.0))
    clock.run(clock.now + 30.0)
    for host in hosts[1:]:
        meant = [number for number in range(30) if number % 3 == 0 or number % 3 - 1 == host.number % 2]
        assert [int(message.payload) for message in host.handled] == meant
    assert all(host.ends(1) == {} for host in hosts[1:])


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_question_is_answered_by_each(of_loss):
    clock, _, hosts = of_loss
    number = hosts[0].say(payload=b"room for the name", is_question=True)
    for host in hosts:
        host.answer = lambda message, host=host: host.name.encode()
    clock.run(clock.now + 5.0)
    assert hosts[0].answers(number) == {host.name: host.name.encode() for host in hosts[1:]}
    assert {len(host.handled) for host in hosts[1:]} == {1}


def test_a_slow_handler_is_waited_for_and_runs_once():
    clock, _, hosts = crowd(10, seed=10, loss=0.2)
    for host in hosts:
        host.busy_for = 3.0
    number = hosts[0].say(wants_handled=True, timeout=20.0)
    clock.run(clock.now + 15.0)
    assert set(hosts[0].ends(number).values()) == {"handled"}
    assert 3.0 <= hosts[0].last(number) <= 6.5
    assert [len(host.handled) for host in hosts] == [0] + [1] * 9


@pytest.mark.parametrize(("loss", "within"), [(0.0, 1.0), (0.2, 5.0)])
def test_64_kilobytes_each_way_sealed(loss, within):
    clock, _, hosts = crowd(4, seed=11, loss=loss, keyring=KEYS)
    payload = bytes(range(256)) * (MAX_PAYLOAD // 256)
    hosts[0].node.messages.set_limits(MessageLimits(budget=2000))
    for host in hosts:
        host.answer = lambda message: message.payload[::-1]
    number = hosts[0].say(payload=payload, is_question=True, timeout=60.0, target=by_parity(1))
    clock.run(clock.now + 60.0)
    assert hosts[0].answers(number) == {"n3": payload[::-1]}
    assert hosts[0].last(number) <= within
    assert [len(host.handled) for host in hosts] == [0, 0, 1, 0]
    assert max(most_in_a_second(at for at, _ in host.sent) for host in hosts[1:]) <= SLOW.messages.budget
    [message] = hosts[2].handled
    assert (message.payload, message.is_sealed, message.room) == (payload, True, MAX_PAYLOAD)


def test_long_messages_to_many_stay_within_the_budget():
    clock, _, hosts = crowd(20, seed=12, loss=0.2, keyring=KEYS)
    numbers = [hosts[0].say(payload=bytes(20_000), timeout=60.0) for _ in range(3)]
    clock.run(clock.now + 60.0)
    for number in numbers:
        assert set(hosts[0].ends(number).values()) == {"acked"}
    assert {len(host.handled) for host in hosts[1:]} == {3}
    assert max(most_in_a_second(at for at, _ in host.sent) for host in hosts) <= SLOW.messages.budget
