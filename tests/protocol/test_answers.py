"""The pace of answers: that of one node, and what it makes for all."""

from random import Random

import pytest

from discoveryd.protocol.answers import PROMPT_PEERS, Answers
from discoveryd.protocol.link import Link, LinkState, Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Claim
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.record import Record

ETH0 = Link("eth0", 2, "10.0.0.1", 16, "10.0.255.255")
ETH1 = Link("eth1", 3, "10.1.0.1", 16, "10.1.255.255")


def source(number, link=ETH0):
    return Source(f"10.0.{number >> 8}.{number & 255}", link)


class Bench:
    """Answers of a node that lists as many peers as a test says."""

    def __init__(self):
        self.crowd = 0
        outbox = Outbox(Parameters(), Record(name="me"), Random(1), "me")
        outbox.links.update({link: LinkState(link, (link.broadcast,), 0.0) for link in (ETH0, ETH1)})
        self.answers = Answers(outbox, lambda _: self.crowd)

    def poll(self, crowd, now):
        """Return where answers go: to a source, or to all on a link."""
        self.crowd = crowd
        return [send.to for send in self.answers.poll(now)]

    def ask(self, one, crowd, now):
        """Solicit an answer; return where answers go at that moment."""
        self.crowd = crowd
        claim = Claim(one)
        if self.answers.joins(claim):
            return self.poll(crowd, now)
        return [send.to for send in self.answers.answer(claim, now)]


@pytest.fixture
def bench():
    return Bench()


def test_among_a_few_peers_the_answer_comes_at_once(bench):
    assert bench.ask(source(7), PROMPT_PEERS, 1.0) == ["10.0.0.7"]
    assert len(bench.answers.waiting) == 0
    assert bench.answers.next_due() == float("inf")


def test_among_many_peers_the_answer_comes_within_one_gap(bench):
    assert bench.ask(source(7), 100, 1.0) == []
    assert 1.0 < bench.answers.next_due() <= 1.1


def test_no_node_answers_more_often_than_its_share(bench):
    given, now = 0, 0.0
    while now < 60:
        given += len(bench.ask(source(int(now * 100)), 1000, now))
        now += 0.01
    assert given <= 61


def test_solicits_that_come_meanwhile_are_answered_together(bench):
    one = source(7)
    bench.ask(one, 100, 1.0)
    bench.ask(one, 100, 1.0)  # the same source again is not several
    bench.ask(source(8, ETH1), 100, 1.0)
    bench.ask(source(9, ETH1), 100, 1.0)
    assert len(bench.answers.waiting) == 2
    assert {to for now in (1.2, 1.4) for to in bench.poll(100, now)} == {"10.0.0.7", ETH1.broadcast}


def test_a_crowd_that_grew_meanwhile_delays_answers(bench):
    assert len(bench.ask(source(7), 1, 1.0)) == 1
    assert bench.ask(source(8), 1, 1.0) == []
    assert bench.answers.next_due() == pytest.approx(1.001)
    assert bench.poll(500, 1.001) == []
    assert bench.answers.next_due() == pytest.approx(1.5)


def test_a_full_hello_to_all_serves_several_but_not_one(bench):
    answers = bench.answers
    bench.ask(source(7), 100, 1.0)
    assert [answers.serve(link, 1.0) for link in (ETH0, ETH1, None)] == [False, False, False]
    assert len(answers.waiting) == 1
    bench.ask(source(8), 100, 1.0)
    assert answers.serve(ETH0, 1.0)
    assert len(answers.waiting) == 0
    bench.ask(source(9), 100, 1.0)
    assert answers.next_due() >= 1.1  # the share of this node counts from there
