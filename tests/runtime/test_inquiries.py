"""Inquiries under way, on a literal clock: of whom something is asked, how often, and when the result is told."""

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Said
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.why import Say
from discoveryd.runtime.inquiries import (
    AGAIN,
    GAP,
    MOST_ASKED,
    MOST_INQUIRIES,
    PATIENCE,
    TRIES,
    Inquiries,
    Question,
    questions_about,
)
from tests.protocol.samples import boot, hello, make_node, source

BEYOND = Source("192.0.2.7", None, unicast=True)


@pytest.fixture
def node():
    return make_node(proved=True)


def begin(inquiries, *questions, now=0.0, patience=PATIENCE):
    results = []
    return inquiries.begin(questions, patience=patience, done=results.append, now=now), results


def run(inquiries, node, now):
    """Return where questions go at a moment; call what is to be reported."""
    outcomes, reports = inquiries.poll(node, now)
    for report in reports:
        report()
    return [send.to for outcome in outcomes for send in outcome.sends]


def say(inquiries, question, **said):
    nonce = next(iter(question.nonces))
    inquiries.collect([Said(say=Say(realm="default", boot=boot(1), nonce=nonce, **said), address="10.0.0.7", rtt=0.002)])


def listed(node, *numbers, two_way=True, now=0.0, link=True):
    for number in numbers:
        at = source(f"10.0.0.{number}") if link else BEYOND
        node.receive(hello(number, f"n{number}").encode(), at, now)
        [row] = node.table.of_boot(boot(number))
        row.paths.best(now).two_way = two_way


def test_the_answer_ends_an_inquiry(node):
    inquiries, question = Inquiries(), Question("10.0.0.7", about="web9")
    assert inquiries.next_deadline() == NEVER
    _, results = begin(inquiries, question)
    assert inquiries.next_deadline() == 0.0
    assert run(inquiries, node, 0.0) == ["10.0.0.7"]
    say(inquiries, question, heard_ms=300, drops="rate:2:1", state="up", address="10.0.0.9", last_ms=50)
    assert (results, inquiries.next_deadline()) == ([], -NEVER)
    assert run(inquiries, node, 0.01) == []
    assert results == [(question,)]
    assert inquiries.next_deadline() == NEVER
    assert question.to_json(0.01) == {
        "address": "10.0.0.7", "name": None, "about": "web9", "asked": 1, "answered": True, "rtt_ms": 2.0, "hears_us_s": 0.3,
        "release": None, "network": None, "broadcast": None, "sent": 0, "echoed": 0,
        "drops": [{"reason": "rate", "count": 2, "last_s": 1}],
        "third": {"state": "up", "address": "10.0.0.9", "last_heard_s": 0.05},
    }  # fmt: skip


def test_without_an_answer_it_is_asked_again_until_the_end(node):
    inquiries, question = Inquiries(), Question("10.0.0.7")
    _, results = begin(inquiries, question)
    sent = [now / 100 for now in range(121) if run(inquiries, node, now / 100)]
    assert sent[:3] == [0.0, GAP, 2 * GAP]  # three at once for one address, then one a second
    assert len(sent) == TRIES
    assert results == [(question,)]
    assert question.to_json(1.2) == {"address": "10.0.0.7", "name": None, "about": None, "asked": TRIES, "answered": False}


def test_an_address_that_is_asked_too_much_waits(node):
    inquiries = Inquiries()
    for _ in range(3):
        begin(inquiries, Question("10.0.0.7"))
    begin(inquiries, waits := Question("10.0.0.7"))
    assert len(run(inquiries, node, 0.0)) == 3
    assert waits.due == AGAIN


def test_several_answers_are_waited_for(node):
    inquiries, question = Inquiries(), Question("10.0.0.7", left=2, wanted=2)
    _, results = begin(inquiries, question, patience=3.0)
    run(inquiries, node, 0.0)
    say(inquiries, question)
    assert run(inquiries, node, 0.1) == []
    assert results == []
    assert run(inquiries, node, GAP) == ["10.0.0.7"]
    say(inquiries, question)
    run(inquiries, node, GAP)
    assert len(results) == 1


def test_a_cancelled_inquiry_is_not_told(node):
    inquiries = Inquiries()
    inquiry, results = begin(inquiries, Question("10.0.0.7"))
    inquiries.cancel(inquiry)
    inquiries.cancel(inquiry)
    assert run(inquiries, node, 5.0) == []
    assert results == []


def test_an_inquiry_without_a_question_is_over_at_once(node):
    inquiries = Inquiries()
    _, results = begin(inquiries)
    run(inquiries, node, 0.0)
    assert results == [()]


def test_only_so_many_inquiries_are_under_way():
    inquiries = Inquiries()
    for number in range(MOST_INQUIRIES):
        begin(inquiries, Question(f"10.0.0.{number}"))
    with pytest.raises(QueryError) as caught:
        begin(inquiries, Question("10.0.0.99"))
    assert caught.value.code == "busy"


# --- of whom what is asked --------------------------------------------------------------------------


def asked(node, wanted, *, is_entitled=False, now=0.0):
    def name(question):
        return question.target if isinstance(question.target, str) else question.target.id

    return [(name(one), one.about) for one in questions_about(node, wanted, now, is_entitled=is_entitled)]


def test_a_peer_that_is_listed_is_asked_itself(node):
    listed(node, 2, 3)
    assert asked(node, "n2") == [("n2", "")]


def test_others_are_asked_about_a_peer_that_is_gone(node):
    listed(node, 2)
    listed(node, 3, 4, 5, 6, now=9.0)
    found = asked(node, "n2", now=9.0)
    assert found[0] == ("n2", "")
    assert found[1:] == [(f"n{number}", "n2") for number in (3, 4, 5)]
    assert len(found) == 1 + MOST_ASKED


def test_a_stranger_is_asked_for_those_who_may():
    node = make_node(proved=True)
    listed(node, 3)
    assert asked(node, "10.0.0.99") == [("n3", "10.0.0.99")]
    assert asked(node, "10.0.0.99", is_entitled=True) == [("10.0.0.99", ""), ("n3", "10.0.0.99")]
    assert asked(node, "10.0.0.1", is_entitled=True) == [("n3", "10.0.0.1")]  # this node
    assert asked(node, "not a name", is_entitled=True) == []


def test_a_routed_peer_is_asked_for_those_who_may(node):
    listed(node, 2, link=False)
    assert asked(node, "n2") == []
    assert asked(node, "n2", is_entitled=True) == [("n2", "")]


def test_a_peer_that_does_not_hear_us_is_no_witness(node):
    listed(node, 3, two_way=False)
    listed(node, 4, two_way=None)
    listed(node, 5, link=False)
    assert asked(node, "nobody") == []


def test_a_bare_peer_is_not_asked(node):
    node.receive(b"HELLO|", source("10.0.0.9"), 0.0)
    assert asked(node, "10.0.0.9", is_entitled=True) == []
