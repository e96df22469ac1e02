"""When files keep what they say, in literal times."""

from math import inf

from discoveryd.exports.hold import Hold


def until(hold, now, *, is_isolated=False):
    return hold.until(now, interval=0.8, ttl=4.0, is_isolated=is_isolated)


def test_a_file_of_a_former_daemon_is_kept_for_a_ttl():
    hold = Hold(100.0)
    assert until(hold, 100.1) == (-inf, 104.0)
    assert until(hold, 104.0) == (-inf, 104.0)


def test_all_files_are_kept_while_isolated_and_a_bit_longer():
    hold = Hold(0.0)
    assert until(hold, 50.0, is_isolated=True) == (inf, inf)
    assert until(hold, 60.0, is_isolated=True) == (inf, inf)
    assert until(hold, 90.0) == (91.6, 91.6)  # nobody asked in between
    assert until(hold, 91.6) == (91.6, 91.6)
