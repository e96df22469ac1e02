"""Many nodes start, join and leave within a second; the budget is so small that forty nodes stretch the interval."""

import os
from collections import Counter

import pytest

from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.kinds import decode
from tests.simulation.machine import Lan
from tests.simulation.medium import Segment

BUDGET = 8
MANY = 40
STORM = int(os.environ.get("DISCOVERYD_STORM_NODES") or 40)
"""Nodes that start at once: without pacing, their answers would be more than a thousand a second. DISCOVERYD_STORM_NODES=60
is the long run."""
STRETCHED = MANY // BUDGET


class Counting(Segment):
    """A segment that counts HELLOs by second: broadcasts, and answers to one node alone."""

    def __init__(self, medium, **options):
        super().__init__(medium, **options)
        self.broadcasts = Counter()
        self.answers = Counter()

    def send(self, sender, to, datagram):
        if datagram.startswith(b"HELLO"):
            is_answer = to != self.broadcast and decode(datagram).record is not None
            (self.answers if is_answer else self.broadcasts)[int(self.medium.now)] += 1
        super().send(sender, to, datagram)

    def rate(self, begin, end):
        """Return broadcast HELLOs a second between two seconds."""
        return sum(self.broadcasts[second] for second in range(begin, end)) / (end - begin)


def start_within_a_second(medium, segment, early=0, number=MANY):
    """Start nodes within a second, `early` of them ten seconds before the others."""
    lan = Lan(medium, Parameters(budget=number // STRETCHED))
    machines = [lan.add(segment) for _ in range(number)]
    for machine in machines[:early]:
        medium.after(medium.random.uniform(0, 1), machine.start)
    medium.run(10.0 if early else 0.0)
    for machine in machines[early:]:
        medium.after(medium.random.uniform(0, 1), machine.start)
    return lan, machines


def alarms(machines):
    """Return the kinds of events that report a loss or take it back."""
    return {kind for machine in machines for kind in machine.kinds} - {"joined", "updated", "left"}


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_all_nodes_start_at_once(medium, loss):
    segment, budget = Counting(medium, loss=loss), STORM // STRETCHED
    lan, machines = start_within_a_second(medium, segment, number=STORM)
    medium.run(12.0)
    if not loss:
        lan.check_truth()  # else a record may be lacking, or a peer whose greetings and first beats were lost
    # two greetings of each and a beat, and what was asked for: a thousand answers a second at most
    assert segment.answers[0] + segment.broadcasts[0] < 1000 * 1.1 + 3 * STORM
    assert sum(segment.answers.values()) < 720  # each answered each when nothing was paced: 1,560, of 60 nodes 3,540
    # at first by the rate that is heard, of which a part is lost
    assert sum(segment.broadcasts[second] for second in (2, 3, 4, 5)) < STORM + 4 * budget * 1.5 / (1 - loss)
    assert segment.rate(6, 12) <= 2 * budget
    medium.run(35.0)
    assert {len(machine.node.peers(35.0)) for machine in machines} == {STORM - 1}
    assert segment.rate(20, 35) <= budget * 1.1
    assert max(segment.broadcasts[second] for second in range(20, 35)) < 2 * budget + 4  # they do not keep step
    assert {machine.node.interval(35.0) for machine in machines} == {STRETCHED}
    if not loss:
        assert alarms(machines) == set()


def test_many_nodes_join_a_few(medium):
    segment = Counting(medium)
    lan, machines = start_within_a_second(medium, segment, early=10)
    medium.run(12.0)
    lan.check_truth()
    medium.run(60.0)
    assert segment.rate(30, 60) <= BUDGET * 1.1
    assert alarms(machines) == set()
    assert {machine.node.interval(60.0) for machine in machines} == {STRETCHED}


def test_one_node_joins_many(medium):
    segment = Counting(medium)
    lan, machines = start_within_a_second(medium, segment)
    medium.run(40.0)
    newcomer = lan.add(segment)
    newcomer.start()
    medium.run(40.0 + (MANY + 1) / 1000 + 0.02)  # with the round trip of a question to the newcomer
    lan.check_truth()
    assert segment.answers[40] == MANY
    medium.run(60.0)
    assert alarms([*machines, newcomer]) == set()


@pytest.mark.parametrize("how", ["leave", "crash"])
def test_many_nodes_leave_a_few(medium, how):
    segment = Counting(medium)
    lan, machines = start_within_a_second(medium, segment)
    medium.run(40.0)
    stay, go = machines[:6], machines[6:]
    for machine in go:
        medium.after(medium.random.uniform(0, 1), getattr(machine, how))
    # who crashed is missed for the ttl, which was stretched; then the interval is what so few may have
    medium.run(41.1 + STRETCHED * 1.1 * (1 if how == "leave" else 6.2))
    lan.check_truth()
    assert {machine.node.interval(medium.now) for machine in stay} == {0.8}
    began = int(medium.now) + 1
    medium.run(began + 20.0)
    assert segment.rate(began, began + 20) == pytest.approx(6 / 0.8, rel=0.05)
    names = {machine.name for machine in go}
    assert all(peer.id in names for machine in stay for peer in machine.node.peers(medium.now, gone=True) if peer.state != "up")
    assert lan.false_downs == 0
