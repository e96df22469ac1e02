"""What a node says of itself in its HELLOs, so that others can tell why it does not hear them."""

from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import DEAF, NO_ECHO
from discoveryd.query.engine_status import engine_status
from tests.protocol.samples import hello, make_node, source


def beats(node, since, until):
    """Let a node speak; give the flags of each heartbeat with its time."""
    said, now = [], since
    while (now := max(now, node.next_deadline())) < until:
        before = node.outbox.seq
        sends = node.poll(now).sends
        if node.outbox.seq != before:
            said.append((now, decode(sends[0].datagram).lasting))
    return said


def test_a_node_that_hears_nobody_says_so_after_three_intervals():
    node = make_node()
    for now, flags in beats(node, 0.0, 10.0):
        assert flags == (DEAF if now > 3 * 0.8 else "")


def test_a_node_that_is_heard_of_again_takes_it_back():
    node = make_node()
    beats(node, 0.0, 5.0)
    node.receive(hello(1).encode(), source(), 5.0)
    said = beats(node, 5.0, 12.0)
    assert [flags for now, flags in said if now < 5.0 + 3 * 0.8] == [""] * 3
    assert said[-1][1] == DEAF


def test_a_node_whose_broadcasts_do_not_come_back_says_so():
    node = make_node()
    node.outbox.expects_echo = True
    said = beats(node, 0.0, 12.0)
    assert said[0][1] == ""
    assert said[-1][1] == DEAF + NO_ECHO


def test_where_none_is_expected_a_missing_echo_says_nothing():
    assert {flags for _, flags in beats(make_node(), 0.0, 12.0)} == {"", DEAF}


def test_an_echo_ends_it():
    node = make_node()
    node.outbox.expects_echo = True
    beats(node, 0.0, 12.0)
    [link] = node.links
    [send, *_] = node.poll(node.next_deadline()).sends
    node.receive(send.datagram, source(link.address), 12.0)
    assert {flags for _, flags in beats(node, 12.0, 14.0)} == {DEAF}


def test_the_others_know_it_and_forget_it_when_it_is_over():
    node = make_node()
    node.receive(hello(1, seq=1, lasting=DEAF + NO_ECHO).encode(), source(), 1.0)
    [told] = engine_status(node, 1.1)["impaired"]
    assert (told["address"], told["hears_nobody"], told["hears_itself"]) == (source().address, True, False)
    node.receive(hello(1, seq=2, full=False, lasting=DEAF + NO_ECHO).encode(), source(), 1.8)
    node.receive(hello(1, seq=3, full=False).encode(), source(), 2.6)
    assert engine_status(node, 2.7)["impaired"] == []


def test_unknown_flags_say_nothing():
    node = make_node()
    node.receive(hello(1, seq=1, lasting="zQ").encode(), source(), 1.0)
    assert engine_status(node, 1.1)["impaired"] == []


def test_what_others_repeat_of_us_is_no_echo():
    node = make_node()
    node.outbox.expects_echo = True
    beats(node, 0.0, 12.0)
    [send, *_] = node.poll(node.next_deadline()).sends
    node.receive(send.datagram, source(), 12.0)
    [told] = engine_status(node, 12.1)["links"]
    assert (told["echoed"], told["misses_echo"]) == (0, True)
    assert ("own-echo", "eth0") in node.drops


def test_so_many_are_missing_that_it_is_no_accident():
    [state] = make_node().outbox.outlets()
    state.since, state.unechoed = 1.0, 7
    assert not state.misses_echo(99.0)
    state.unechoed = 8
    assert not state.misses_echo(3.0)
    assert state.misses_echo(3.1)
    state.last_echo = 2.0
    assert not state.misses_echo(4.0)
