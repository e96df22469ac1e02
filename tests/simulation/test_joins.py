"""A node that joins at 30 % loss hears the others: none of them says within two seconds that it does not."""

import os

from tests.simulation.machine import Lan
from tests.simulation.medium import Medium, Segment

HERE = 16
JOINS = int(os.environ.get("DISCOVERYD_JOINS") or 64)
"""Joins, each seen by one other node; tests/long/run.py has 10,000."""


def test_a_lossy_join_is_not_called_deaf():
    deaf, known = 0, 0
    for seed in range(JOINS // HERE):
        medium = Medium(seed)
        lan = Lan(medium)
        segment = Segment(medium, loss=0.3)
        machines = [lan.add(segment) for _ in range(HERE + 1)]
        for machine in machines[:HERE]:
            machine.start()
        medium.run(10.0)
        machines[HERE].start()
        medium.run(12.0)
        seen = [peer.two_way for machine in machines[:HERE] for peer in machine.node.peers(12.0) if peer.name == machines[HERE].name]
        deaf += seen.count(False)
        known += seen.count(True)
    print(f"\n{JOINS} joins: {known} known to be two-way within 2 s, {deaf} called deaf")
    assert deaf <= JOINS // 10_000 + (JOINS >= 10_000)
    assert known >= 0.85 * JOINS
