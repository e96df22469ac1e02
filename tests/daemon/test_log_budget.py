"""What peers may cost in lines of the log."""

from dataclasses import replace

from discoveryd.daemon.logs import RATE, TELL_EVERY, LogBudget
from tests.runtime.hooking import event, peer

MADE_UP = peer()


def test_peers_made_up_cost_fifty_lines_a_second():
    budget = LogBudget()
    logged = sum(budget.allows(event("joined", MADE_UP), 100.0 + number / 1000) for number in range(5000))
    assert logged == RATE + 5 * RATE - 1
    assert budget.unlogged == 5000 - logged
    assert budget.untold(105.0) == budget.unlogged
    assert budget.untold(105.0 + TELL_EVERY) == 0
    budget.allows(event("down", MADE_UP), 105.0)
    assert budget.allows(event("down", MADE_UP), 106.0)


def test_what_happens_to_peers_that_are_there_is_always_logged():
    budget = LogBudget()
    for number in range(200):
        budget.allows(event("joined", MADE_UP), 100.0 + number / 1000)
    for proved in (replace(MADE_UP, rtt_ms=0.3), replace(MADE_UP, key="93c5e5e4")):
        assert all(budget.allows(event("down", proved), 100.2) for _ in range(200))


def test_how_many_were_left_out_is_told_once_a_second():
    budget = LogBudget()
    told = []
    for number in range(3000):
        budget.allows(event("joined", MADE_UP), 100.0 + number / 1000)
        told.append(budget.untold(100.0 + number / 1000))
    assert len([count for count in told if count]) <= 4
    assert sum(told) + budget.untold(200.0) == budget.unlogged
