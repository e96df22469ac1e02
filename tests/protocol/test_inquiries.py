"""A node is asked why another is not heard: what it answers, to whom, how often, and that nothing else follows."""

import pytest

from discoveryd import __version__
from discoveryd.protocol.link import Source
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.why import MAX_SAY, MAX_SEALED_SAY, DropSaid, Say, Why
from tests.protocol.engine import HERE, drops
from tests.protocol.samples import ETH0, boot, hello, make_node, source, states
from tests.protocol.segment import K1, NO_KEYS, fleet, ring

NONCE = "a" * 16


def why(number=1, id="web1", realm="default", about=""):
    return Why(realm=realm, id=id, boot=boot(number), nonce=NONCE, about=about).encode()


def answer(outcome):
    [send] = outcome.sends
    assert len(send.datagram) <= MAX_SAY
    return decode(send.datagram)


def ask(station, target, about=""):
    """Let a station ask another; return what is said within a second, in virtual time."""
    said = []
    station.node.handlers[Say] = lambda *arguments: said.append(station.node.inquiries.hear_say(*arguments)) or said[-1]
    asked = station.node.inquire(target, about, station.segment.now)
    if asked is not None:
        station.act(asked[1])
    station.segment.run(1)
    return [one for outcome in said for one in outcome.said]


# --- answers ----------------------------------------------------------------------------------------


def test_a_node_tells_what_it_hears_of_the_asker_and_itself():
    node = make_node(proved=True)
    node.receive(hello().encode(), HERE, 1.0)
    own = node.outbox.hello().encode()
    node.receive(own, source(ETH0.address), 1.1)
    say = answer(node.receive(why(), HERE, 1.5))
    assert say == Say(
        realm="default", boot=node.boot, nonce=NONCE, heard_ms=500, release=__version__, network="10.0.0.1/24",
        broadcast="10.0.0.255", sent=node.outlets[0].sent, echoed=1,
    )  # fmt: skip


def test_a_node_that_was_never_heard_is_told_so():
    assert answer(make_node().receive(why(), HERE, 1.0)).heard_ms is None


def test_a_node_tells_why_it_dropped_what_the_asker_sent():
    node = make_node()
    for _ in range(3):
        node.receive(hello().encode().replace(b"|default|", b"|lab|"), HERE, 1.0)
    node.receive(b"HELLO|2|x|", source("10.0.0.8"), 1.0)
    assert answer(node.receive(why(), HERE, 4.0)).why_dropped() == [DropSaid("other-realm", 3, 3)]


@pytest.mark.parametrize("about", ["web2", "two", "10.0.0.8"], ids=["id", "name", "address"])
def test_a_witness_tells_of_a_third_node(about):
    node = make_node(proved=True)
    node.receive(hello(2, "web2", record=make_node("two").record).encode(), source("10.0.0.8"), 1.0)
    say = answer(node.receive(why(about=about), HERE, 1.25))
    assert (say.state, say.address, say.last_ms) == ("up", "10.0.0.8", 250)
    say = answer(node.receive(why(about="web3"), HERE, 1.3))
    assert (say.state, say.address, say.last_ms) == ("", "", None)


def test_drops_that_were_not_understood_are_left_out():
    drops = "rate:2:1,strange,:1:1,later:x:1,other-realm:3:0"
    say = Say(realm="r", boot=boot(1), nonce=NONCE, drops=drops)
    assert say.why_dropped() == [DropSaid("rate", 2, 1), DropSaid("other-realm", 3, 0)]


def test_as_many_drops_are_told_as_fit():
    node = make_node()
    for reason in range(20):
        node.rate_limits.drop_sources.note(f"a-reason-of-a-name-{reason:02}", HERE.address, "eth0", "", 1.0)
    say = answer(node.receive(why(), HERE, 1.0))
    assert 5 <= len(say.why_dropped()) <= 10


# --- bounds -----------------------------------------------------------------------------------------


def test_a_question_that_is_shorter_than_its_answer_is_dropped():
    node = make_node()
    short = why().replace(b"0" * 8 + b"|", b"|")
    assert len(short) < MAX_SAY
    assert node.receive(short, HERE, 1.0).sends == ()
    assert drops(node) == {("malformed", "eth0"): 1}


def test_a_source_is_answered_three_times_then_once_a_second():
    node = make_node()
    answered = [bool(node.receive(why(), HERE, at).sends) for at in (1.0, 1.1, 1.2, 1.3, 2.1, 2.2)]
    assert answered == [True, True, True, False, True, False]
    assert drops(node) == {("rate", "eth0"): 2}


def test_all_sources_together_are_answered_twenty_times_a_second():
    node = make_node()
    sent = [node.receive(why(number), source(f"10.0.0.{number}"), 1.0).sends for number in range(2, 42)]
    assert sum(map(len, sent)) == 20


def test_a_plain_question_from_beyond_the_links_is_not_answered():
    node = make_node()
    assert node.receive(why(), Source("192.0.2.7", None, unicast=True), 1.0).sends == ()
    assert drops(node) == {("off-link", "-"): 1}


def test_a_listed_peer_beyond_the_links_is_answered():
    node, routed = make_node(proved=True), Source("192.0.2.7", None, unicast=True)
    node.receive(hello().encode(), routed, 1.0)
    say = answer(node.receive(why(), routed, 1.5))
    assert (say.heard_ms, say.network, say.broadcast, say.sent) == (500, "", "", 0)


def test_a_node_of_another_realm_is_not_answered():
    node = make_node()
    assert node.receive(why(realm="lab"), HERE, 1.0).sends == ()


def test_a_node_asks_one_address_three_times_then_once_a_second():
    node = make_node()
    asked = [node.inquire("10.0.0.7", "", at) is not None for at in (1.0, 1.1, 1.2, 1.3, 2.1)]
    assert asked == [True, True, True, False, True]


def test_a_node_asks_twenty_questions_a_second():
    node = make_node()
    assert sum(node.inquire(f"10.0.0.{number}", "", 1.0) is not None for number in range(2, 42)) == 20


# --- what follows -----------------------------------------------------------------------------------


def test_an_answer_counts_once_from_the_address_that_was_asked():
    node = make_node()
    nonce, outcome = node.inquire("10.0.0.7", "", 1.0)
    [send] = outcome.sends
    assert (send.to, send.link, send.kind, len(send.datagram)) == ("10.0.0.7", ETH0, "why", MAX_SAY)
    say = Say(realm="default", boot=boot(1), nonce=nonce, heard_ms=5)
    foreign = Say(realm="default", boot=boot(1), nonce="f" * 16)
    assert node.receive(foreign.encode(), HERE, 1.1).said == ()
    assert node.receive(say.encode(), source("10.0.0.9"), 1.1).said == ()
    [said] = node.receive(say.encode(), HERE, 1.25).said
    assert (said.say, said.address, said.rtt) == (say, "10.0.0.7", 0.25)
    assert node.receive(say.encode(), HERE, 1.3).said == ()
    assert drops(node) == {("unexpected", "eth0"): 3}


def test_an_answer_that_took_too_long_counts_for_nothing():
    node = make_node()
    nonce, _ = node.inquire("10.0.0.7", "", 1.0)
    say = Say(realm="default", boot=boot(1), nonce=nonce)
    assert node.receive(say.encode(), HERE, 6.0).said == ()


def test_neither_question_nor_answer_lists_or_refreshes_a_node():
    node = make_node(proved=True)
    node.receive(why(), HERE, 1.0)
    nonce, _ = node.inquire("10.0.0.7", "", 1.0)
    node.receive(Say(realm="default", boot=boot(1), nonce=nonce).encode(), HERE, 1.0)
    assert states(node.table, 1.0) == {}
    node.receive(hello().encode(), HERE, 2.0)
    node.receive(why(), HERE, 4.0)
    assert node.table.get("web1", boot(1)).last_heard == 2.0


def test_a_question_names_a_node_only_as_the_wire_can():
    node = make_node()
    for about, told in (("web2", "web2"), ("zwei|", ""), ("grün", ""), ("x" * 65, ""), ("fe80::1%eth0", "fe80::1%eth0")):
        [send] = node.inquire(f"10.0.0.{len(about)}", about, 1.0)[1].sends
        assert decode(send.datagram).about == told


# --- sealed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyring", [NO_KEYS, ring(K1)], ids=["plain", "sealed"])
def test_a_peer_that_is_listed_answers(keyring):
    segment, (one, other) = fleet(2, keyring)
    segment.run(3)
    row = one.node.table.get("n2", other.node.boot)
    [said] = ask(one, row, "n1")
    assert (said.address, said.say.boot, said.say.network) == ("10.0.0.2", other.node.boot, "10.0.0.2/24")
    assert said.say.heard_ms < 1000
    assert (said.say.state, said.say.address) == ("up", "10.0.0.1")
    assert 0 < said.rtt < 0.01


def test_a_sealed_node_answers_before_it_is_known():
    segment, (one, other) = fleet(2, ring(K1))
    segment.mute |= {"10.0.0.1", "10.0.0.2"}  # no broadcast passes
    segment.run(3)
    assert one.peers() == {}
    [said] = ask(one, "10.0.0.2")
    assert (said.say.boot, said.say.heard_ms) == (other.node.boot, None)
    assert [len(each) >= MAX_SEALED_SAY for each in segment.recorded(3.0, "10.0.0.1", "10.0.0.2")] == [True]
    assert [len(each) <= MAX_SEALED_SAY for each in segment.recorded(3.0, "10.0.0.2", "10.0.0.1")] == [True]
    assert one.peers() == {}


def test_a_recorded_question_is_answered_once():
    segment, (one, other) = fleet(2, ring(K1))
    segment.mute |= {"10.0.0.1", "10.0.0.2"}
    segment.run(3)
    ask(one, "10.0.0.2")
    [question] = segment.recorded(3.0, "10.0.0.1", "10.0.0.2")
    before = other.node.sent["say"]
    for _ in range(3):
        segment.deliver(question, "10.0.0.1", other, unicast=True)
    segment.run(1)
    assert (other.node.sent["say"], other.drops()["replayed"]) == (before, 3)


def test_a_plain_question_is_dropped_where_sealing_is_required():
    segment, (_, other) = fleet(2, ring(K1))
    segment.deliver(why(), "10.0.0.1", other, unicast=True)
    segment.run(1)
    assert (other.node.sent["say"], other.drops()["plain"]) == (0, 1)
