"""A will is a reason to ask, and no more: who is asked because of it, how often, and what a refusal proves then."""

import pytest

from discoveryd.protocol.drops import Drops
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.wills import DIED
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Will
from tests.protocol.engine import HERE, crowd, fresh, pinged, pong
from tests.protocol.samples import ETH0, boot, hello, row_of, source, states


def will(number=1, id="web1"):
    return Will(realm="default", id=id, boot=boot(number)).encode()


def pings(sends):
    return [send for send in sends if isinstance(decode(send.datagram), Ping)]


def poll(node, start, end):
    """Return the PINGs to web1 until a moment, each with its time."""
    sent, now = [], start
    while (now := max(now, node.next_deadline())) < end:
        sent += [(round(now, 3), send) for send in pings(node.poll(now).sends) if send.to == HERE.address]
    return sent


@pytest.fixture
def node():
    """Give a node whose peer web1 answered PINGs, and said HELLO at 2.0."""
    node = fresh(ETH0)
    node.receive(pong(pinged(node)), HERE, 1.1)
    for at, ping in poll(node, 1.1, 2.0):  # the one whose turn it is
        node.receive(pong(decode(ping.datagram).nonce), HERE, at)
    node.receive(hello(seq=2).encode(), HERE, 2.0)
    return node


def test_a_refused_ping_after_a_will_is_a_death(node):
    [ping] = node.receive(will(), HERE, 2.1).sends
    assert ping.to == HERE.address
    [event] = node.refused(ping.datagram, 2.101).events
    assert (event.kind, event.reason) == ("down", DIED)
    assert node.received["will"] == 1


def test_a_forged_will_costs_one_ping(node):
    [ping] = node.receive(will(), HERE, 2.1).sends
    node.receive(pong(decode(ping.datagram).nonce), HERE, 2.101)
    assert poll(node, 2.101, 2.7) == []
    assert states(node.table, 2.7) == {boot(1): "up"}


def test_a_will_without_an_answer_is_asked_about_again(node):
    node.receive(will(), HERE, 2.1)
    assert [at for at, _ in poll(node, 2.1, 3.0)] == [2.2, 2.3, 2.4, 2.5]


def test_a_will_counts_once_a_second(node):
    answered = 0
    for number in range(30):
        now = 2.1 + number / 10
        for ping in node.receive(will(), HERE, now).sends:
            node.receive(pong(decode(ping.datagram).nonce), HERE, now + 0.001)
            answered += 1
    assert answered == 3


def test_a_hello_after_a_will_ends_the_questions(node):
    [ping] = node.receive(will(), HERE, 2.1).sends
    node.receive(hello(seq=3).encode(), HERE, 2.15)
    assert poll(node, 2.15, 2.7) == []
    assert node.refused(ping.datagram, 2.16) is NOTHING


def test_a_refusal_of_an_earlier_ping_is_no_death(node):
    [early] = node.ping(row_of(node.table, 1), 2.05)[1].sends
    node.receive(will(), HERE, 2.1)
    assert node.refused(early.datagram, 2.11) is NOTHING


def test_a_newcomer_may_die_before_it_was_pinged():
    node = fresh(ETH0)
    node.receive(hello().encode(), HERE, 1.0)
    [ping] = node.receive(will(), HERE, 1.1).sends
    assert [event.reason for event in node.refused(ping.datagram, 1.101).events] == [DIED]


def test_a_will_does_not_end_who_has_a_firewall():
    """Its first PING was refused, and it was heard after that."""
    node = fresh(ETH0)
    node.receive(hello().encode(), HERE, 1.0)
    for _, ping in poll(node, 1.0, 2.0):
        assert node.refused(ping.datagram, 2.0) is NOTHING
    node.receive(hello(seq=2).encode(), HERE, 2.1)
    [ping] = node.receive(will(), HERE, 2.2).sends
    assert node.refused(ping.datagram, 2.201) is NOTHING


def test_a_will_does_not_end_who_never_answered():
    node = fresh(ETH0)
    for beat in range(10):
        node.receive(hello(seq=beat + 1).encode(), HERE, 1.0 + 0.8 * beat)
        poll(node, 1.0 + 0.8 * beat, 1.8 + 0.8 * beat)
    [ping] = node.receive(will(), HERE, 9.0).sends
    assert node.refused(ping.datagram, 9.001) is NOTHING
    assert states(node.table, 9.1) == {boot(1): "up"}


@pytest.mark.parametrize(
    ("datagram", "by"),
    [(will(2), HERE), (will(id="web2"), HERE), (will(), source("10.0.0.8"))],
    ids=["another boot", "another id", "another address"],
)
def test_the_will_of_no_peer_changes_nothing(node, datagram, by):
    assert node.receive(datagram, by, 2.1) is NOTHING
    assert node.drops == Drops()


def test_a_will_in_another_realm_is_dropped(node):
    node.receive(Will(realm="other", id="web1", boot=boot(1)).encode(), HERE, 2.1)
    assert dict(node.drops) == {("other-realm", "eth0"): 1}


def test_a_will_of_a_peer_that_left_asks_nobody(node):
    node.receive(hello(seq=3, full=False, goodbye=True).encode(), HERE, 2.05)
    node.poll(2.06)
    assert node.receive(will(), HERE, 2.1).sends == ()


def test_in_a_crowd_the_question_waits_a_millisecond_a_peer():
    node = fresh(ETH0)
    crowd(node, 200, now=1.0)
    node.poll(1.4)
    for number in range(1, 51):
        assert node.receive(will(number, f"n{number}"), source(f"10.9.0.{number}"), 1.5).sends == ()
    now, moments = 1.5, []
    while (now := max(now, node.next_deadline())) < 1.7:
        moments += [now for send in pings(node.poll(now).sends) if int(send.to.rpartition(".")[2]) <= 50]
    assert len(moments) >= 50
    assert moments[0] < 1.55
    assert moments[49] > 1.65


def test_many_wills_cause_200_pings_a_second():
    node = fresh(ETH0)
    crowd(node, 1000, now=1.0)
    for number in range(1, 1001):
        node.receive(will(number, f"n{number}"), source(f"10.9.{number >> 8}.{number & 255}"), 1.5)
    now, moments = 1.5, []
    while (now := max(now, node.next_deadline())) < 2.5:
        moments += [now for _ in pings(node.poll(now).sends)]
    assert 200 <= len(moments) <= 420


def test_a_will_goes_where_goodbyes_go(node):
    node.set_links([ETH0], 2.0)
    before = node.outlets[0].sent
    wills = node.will()
    assert [(send.link, send.to, send.limited, send.kind) for send in wills] == [(ETH0, ETH0.broadcast, True, "will")]
    assert decode(wills[0].datagram) == Will(realm="default", id="me", boot=node.boot)
    assert (node.sent["will"], node.outlets[0].sent) == (0, before)


def test_a_will_of_our_own_boot_is_an_echo(node):
    node.receive(Will(realm="default", id="me", boot=node.boot).encode(), HERE, 2.1)
    assert dict(node.drops) == {("own-echo", "eth0"): 1}
