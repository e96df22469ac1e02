"""The hour: 50 machines, 20 % loss, joins, leaves, crashes and restarts, checked at every step by `machine.check`."""

import json

from tests.simulation.conftest import SEED
from tests.simulation.hour import LOSS, MACHINES, Play, play


def test_an_hour_ends_with_the_truth_and_repeats_to_the_bit(hours, capsys):
    mine, theirs = map(json.loads, hours)
    with capsys.disabled():
        print(f"\n{MACHINES} machines, {LOSS:.0%} loss, one hour: {mine}")
    for figures in (mine, theirs):
        del figures["seconds"]
    assert mine == theirs, f"seed {SEED} is not repeatable"
    assert mine["boots"] > 5 * MACHINES
    assert mine["false_downs"] == 0, "at 20 % loss nobody who lives is taken down"


def test_minutes_of_the_default_interval(capsys):
    mine = play(SEED, minutes=4)
    with capsys.disabled():
        print(f"\n{MACHINES} machines, {LOSS:.0%} loss, four minutes at 0.8 s: {mine}")
    assert mine.false_downs == 0


def test_another_seed_is_another_hour():
    plays = [Play(seed) for seed in (SEED, SEED, SEED + 1)]
    for one in plays:
        one.medium.run(20.0)
    same, again, other = (one.medium.digest() for one in plays)
    assert same == again != other
