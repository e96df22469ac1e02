"""How long a loop was away from its selector, by a clock that the test sets."""

from discoveryd.net.turns import LATELY, TimedSelector


def test_a_turn_lasts_from_wait_to_wait():
    clock = [100.0]
    with TimedSelector(lambda: clock[0]) as selector:
        assert (selector.turn(), selector.longest()) == (0.0, 0.0)
        selector.select(0)
        clock[0] += 3.0
        assert (selector.turn(), selector.longest()) == (3.0, 3.0)
        selector.select(0)
        clock[0] += 1.0
        assert (selector.turn(), selector.longest()) == (1.0, 3.0)


def test_the_longest_turn_is_told_for_a_while():
    clock = [100.0]
    with TimedSelector(lambda: clock[0]) as selector:
        for turn in (3.0, 1.0, LATELY - 2.0, 0.5):
            selector.select(0)
            clock[0] += turn
        selector.select(0)
        assert selector.longest() == LATELY - 2.0
        clock[0] += LATELY
        selector.select(0)
        assert selector.longest() == LATELY, "this turn has lasted longer"
        clock[0] += 0.5
        selector.select(0)
        clock[0] += LATELY - 1.0
        assert selector.longest() == LATELY
