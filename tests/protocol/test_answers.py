"""The pace of answers: one node's, and what that makes for all."""

from random import Random

import pytest

from discoveryd.protocol.answers import PROMPT_PEERS, Answers
from discoveryd.protocol.link import Link, Source

ETH0 = Link("eth0", 2, "10.0.0.1", 16, "10.0.255.255")
ETH1 = Link("eth1", 3, "10.1.0.1", 16, "10.1.255.255")


def source(number, link=ETH0):
    return Source(f"10.0.{number >> 8}.{number & 255}", link)


def ask(answers, one, crowd, now):
    if not answers.joins(one):
        answers.add(one, crowd, now)
    return [(waiting.source, waiting.several) for waiting in answers.take(crowd, now)]


@pytest.fixture
def answers():
    return Answers(Random(1))


def test_among_a_few_the_answer_comes_at_once(answers):
    one = source(7)
    assert ask(answers, one, PROMPT_PEERS, 1.0) == [(one, False)]
    assert len(answers) == 0
    assert answers.next_due() == float("inf")


def test_among_many_it_comes_within_one_gap(answers):
    assert ask(answers, source(7), 100, 1.0) == []
    assert 1.0 < answers.next_due() <= 1.1


def test_no_node_answers_more_often_than_its_share(answers):
    given, now = 0, 0.0
    while now < 60:
        given += len(ask(answers, source(int(now * 100)), 1000, now))
        now += 0.01
    assert given <= 61


def test_those_who_ask_meanwhile_are_served_together(answers):
    one = source(7)
    ask(answers, one, 100, 1.0)
    ask(answers, one, 100, 1.0)  # the same one again is not several
    ask(answers, source(8, ETH1), 100, 1.0)
    ask(answers, source(9, ETH1), 100, 1.0)
    assert len(answers) == 2
    given = {waiting.source.link: waiting.several for now in (1.2, 1.4) for waiting in answers.take(100, now)}
    assert given == {ETH0: False, ETH1: True}


def test_a_crowd_that_grew_meanwhile_is_reckoned_with(answers):
    assert len(ask(answers, source(7), 1, 1.0)) == 1
    assert ask(answers, source(8), 1, 1.0) == []
    assert answers.next_due() == pytest.approx(1.001)
    assert answers.take(500, 1.001) == []
    assert answers.next_due() == pytest.approx(1.5)


def test_another_full_hello_serves_several_but_not_one(answers):
    ask(answers, source(7), 100, 1.0)
    assert [answers.serve(link, 1.0) for link in (ETH0, ETH1, None)] == [False, False, False]
    assert len(answers) == 1
    ask(answers, source(8), 100, 1.0)
    assert answers.serve(ETH0, 1.0)
    assert len(answers) == 0
    ask(answers, source(9), 100, 1.0)
    assert answers.next_due() >= 1.1  # the share of this node counts from there


def test_a_link_takes_those_who_wait_there_with_it(answers):
    ask(answers, source(7), 100, 1.0)
    answers.drop_link(ETH0)
    answers.drop_link(ETH1)
    assert len(answers) == 0
