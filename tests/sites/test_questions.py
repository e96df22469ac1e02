"""Questions to another site: answered once, by the gateway that was asked, within bounds."""

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.sites.questions import ANSWERED_WITHIN, MAX_QUESTIONS, QUESTIONS_OF_A_SITE
from discoveryd.sites.wire import MAX_BODY
from tests.sites.world import World


def world():
    made = World(7)
    berlin, paris = made.place("berlin", 3), made.place("paris", 2)
    made.run(10)
    return made, berlin, paris


def ask(node, body=b"what?", site="paris"):
    number, outputs = node.engine.ask(site, body, node.clock.now)
    node.do(outputs)
    return number


@pytest.mark.parametrize("role", ["gateway", "standby"])
def test_a_question_is_answered_once(role):
    made, berlin, paris = world()
    asker = next(node for node in berlin.nodes if node.status()["role"] == role)
    for node in paris.nodes:
        node.answering = lambda body: body + b" that!"
    number = ask(asker)
    made.run(1)
    [answer] = asker.answers
    assert (answer.number, answer.site, answer.body) == (number, "paris", b"what? that!")
    [question] = [question for node in paris.nodes for question in node.questions]
    assert (question.site, question.asker, question.body) == ("berlin", asker.id, b"what?")


def test_a_question_in_plain_is_not_taken():
    made = World(7)
    plain = Keyring()
    berlin, paris = (made.place(name, 2, start=False) for name in ("berlin", "paris"))
    for node in (*berlin.nodes, *paris.nodes):
        node.keyring = plain
        node.start()
    made.run(10)
    ask(berlin.nodes[0])
    made.run(1)
    assert [question for node in paris.nodes for question in node.questions] == []
    assert sum(node.dropped().get("plain", 0) for node in paris.nodes) == 1


def test_a_question_that_is_played_again_is_not_heard_again():
    made, berlin, paris = world()
    ask(berlin.nodes[0])
    made.run(1)
    [asked] = [node for node in paris.nodes if node.questions]
    [(subject, payload, _)] = [one for one in made.broker.tape if ".ask." in one[0]]
    asked.engine.receive(subject, payload, made.clock.now)
    assert len(asked.questions) == 1
    assert asked.dropped()["replayed"] == 1


def test_an_answer_counts_once_and_in_time():
    made, berlin, paris = world()
    asker = berlin.nodes[0]
    ask(asker)
    made.run(1)
    [asked] = [node for node in paris.nodes if node.questions]
    [question] = asked.questions
    made.run(ANSWERED_WITHIN)
    assert asked.engine.answer(question.number, b"late", made.clock.now) == []
    for node in paris.nodes:
        node.answering = lambda body: body
    ask(asker)
    made.run(1)
    assert len(asker.answers) == 1
    subject, payload, _ = [one for one in made.broker.tape if ".answer." in one[0]][-1]
    assert asker.engine.receive(subject, payload, made.clock.now) == []
    assert set(asker.dropped()) >= {"replayed"}


def test_what_cannot_be_asked_is_told():
    made, berlin, paris = world()
    asker = berlin.nodes[0]
    for site, body, code in (("rome", b"", "not_found"), ("paris", b"x" * (MAX_BODY + 1), "too_long")):
        with pytest.raises(QueryError) as caught:
            ask(asker, body, site)
        assert caught.value.code == code
    made.broker.cut.add(("paris", "paris"))
    made.run(15)
    with pytest.raises(QueryError, match="unreachable"):
        ask(asker)
    assert paris


def test_questions_of_a_site_are_bounded():
    made, berlin, paris = world()
    for _ in range(MAX_QUESTIONS + 10):
        ask(berlin.nodes[0])
    made.run(0.5)
    assert sum(len(node.questions) for node in paris.nodes) <= QUESTIONS_OF_A_SITE * 1.5
    assert any(node.dropped().get("rate") for node in paris.nodes)
