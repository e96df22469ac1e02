"""When datagrams arrived, by literal clocks: what a wall clock that steps may and may not change."""

import pytest

from discoveryd.net.stamps import UNSTAMPED, Stamps


class Clocks:
    """A clock that never steps, and the one on the wall."""

    def __init__(self):
        self.now, self.offset = 50.0, 1_000_000.0

    def clock(self):
        return self.now

    def wall(self):
        return self.now + self.offset


@pytest.mark.parametrize(
    ("moment", "step", "arrived"),
    [
        (105.0, 0.0, 105.0),
        (105.0, 0.04, 105.0),  # slewed, not set
        (99.0, 0.0, 100.0),  # stamped before the last drain: that cannot be
        (111.0, 0.0, 110.0),
        (UNSTAMPED, 0.0, 110.0),
        (UNSTAMPED, 30.0, 110.0),
        # the wall clock was set forward by 3600 s: a stamp from before looks an hour too old
        (105.0 - 3600.0, -3600.0, 105.0),
        (105.0, -3600.0, 105.0),
        # and back
        (105.0 + 3600.0, 3600.0, 105.0),
        (105.0, 3600.0, 105.0),
        # by so little that both can be: the older one
        (105.0, 2.0, 103.0),
        (105.0, -2.0, 105.0),
        (101.0, 2.0, 101.0),
        (90.0, -2.0, 100.0),  # set more than once
    ],
)
def test_the_arrival_between_the_last_drain_and_now(moment, step, arrived):
    clocks = Clocks()
    clocks.now = 100.0
    stamps = Stamps(clocks.clock, clocks.wall)
    clocks.now = 110.0
    clocks.offset -= step
    stamps.begin(stamps.sample())
    stamps.is_sound(moment, moment)
    assert stamps.corrected(moment) == pytest.approx(arrived)


def test_stamps_of_a_wall_clock_that_is_set_while_nobody_reads():
    clocks = Clocks()
    stamps = Stamps(clocks.clock, clocks.wall)
    assert stamps.emptied == 50.0
    walls = []
    for clocks.now in (51.0, 52.0):
        walls.append(clocks.wall())
    clocks.offset += 7200.0
    for clocks.now in (53.0, 54.0):
        walls.append(clocks.wall())
    clocks.now = 60.0
    offset = stamps.begin(stamps.sample())
    moments = [wall - offset for wall in walls]
    assert not stamps.is_sound(moments[0], moments[-1])
    assert [stamps.corrected(moment) for moment in moments] == [51.0, 52.0, 53.0, 54.0]
    stamps.end(54.0, is_empty=True)
    assert stamps.emptied == 60.0
    clocks.now = 61.0
    offset = stamps.begin(stamps.sample())
    assert stamps.is_sound(clocks.wall() - offset, clocks.wall() - offset)
    stamps.end(60.5, is_empty=False)
    assert stamps.emptied == 60.5, "more may wait that arrived later"


def test_reading_the_clocks_may_be_interrupted():
    ticks = iter([0.0, 0.3, 1.0, 1.0, 2.0, 2.0])
    stamps = Stamps(lambda: next(ticks), lambda: 100.0)
    assert stamps.emptied == 1.0, "the second sample took no time"
