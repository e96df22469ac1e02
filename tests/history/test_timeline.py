"""The history's own count of time: it never goes back, and shows what the wall clock says now."""

from discoveryd.history.timeline import DAY, Timeline

NOON = 1_700_000_000 - 1_700_000_000 % 86_400 + 43_200  # of some day, UTC


def test_the_first_run_counts_as_the_wall_clock_does():
    line = Timeline()
    assert line.begin(None, 50.0, NOON) == NOON * 1000
    assert line.now(50.25) == NOON * 1000 + 250
    assert line.wall(line.now(60.0)) == (NOON + 10) * 1000


def test_time_between_two_runs_is_that_of_the_wall_clock():
    line = Timeline([(1000, 0)])
    assert line.begin(5000, 7.0, 3605.0) == 3_605_000


def test_a_machine_that_starts_in_the_past_goes_on_where_it_was():
    line = Timeline([(1_000_000, 0)])
    assert line.begin(5_000_000, 7.0, 600.0) == 5_000_000
    assert line.wall(5_000_000) == 600_000
    assert line.set_wall(17.0, 9_000.0)
    assert line.wall(5_000_000) == 8_990_000
    assert line.wall(4_000_000) == 4_000_000


def test_a_clock_that_is_set_by_a_day_moves_no_moment():
    line = Timeline()
    line.begin(None, 0.0, NOON)
    before = line.now(100.0)
    assert not line.set_wall(100.0, NOON + 100.4)
    assert line.set_wall(100.0, NOON + 100 + 86_400)
    assert line.now(100.0) == before
    assert line.now(101.0) == before + 1000
    assert line.wall(before) == before + DAY
    assert line.set_wall(100.0, NOON + 100 - 86_400)
    assert line.now(100.0) == before
    assert line.now(90.0) < before


def test_a_clock_before_the_start_of_a_run_counts_from_it():
    line = Timeline()
    line.begin(None, 5.0, NOON)
    assert line.now(4.0) == NOON * 1000


def test_days_are_those_of_the_wall_clock_in_utc():
    line = Timeline()
    start = line.begin(None, 0.0, NOON)
    first = start // DAY
    assert line.day(start) == first
    assert line.days(start, start + DAY) == [
        (first, start, start + DAY // 2), (first + 1, start + DAY // 2, start + DAY)
    ]
    line.set_wall(0.0, NOON + 43_200)
    assert line.days(start, start + DAY) == [(first + 1, start, start + DAY)]


def test_a_day_with_two_runs_has_two_parts():
    line = Timeline([(0, 0), (1000, 2 * DAY)])
    assert line.days(500, 1500) == [(0, 500, 1000), (2, 1000, 1500)]


def test_a_time_of_the_wall_clock_is_found_in_its_run():
    line = Timeline([(1000, 0), (5000, 10_000)])
    assert line.moment(2000) == 2000
    assert line.moment(16_000) == 6000
    assert line.moment(9_000) == 5000
    assert line.moment(10) == 1000
    assert Timeline().moment(77) == 0
