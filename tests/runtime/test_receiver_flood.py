"""Flood detection at a transport that the test plays."""

from discoveryd.runtime.receiver import MEASURE_PERIOD, REVIEW, FloodDetector


class Transport:
    def __init__(self, failure=None):
        self.lost = 0
        self.heard_until = 100.0
        self.samples = []
        self.failure = failure

    def kernel_drops(self):
        return self.lost

    def sample(self, known, share):
        self.samples.append((tuple(known), share))
        return self.failure


def made(transport):
    """Give a detector with a limit of 4,000 a second, and the turns it returned."""
    detector = FloodDetector(transport, lambda since: (f"known since {since:g}",))
    turns = []

    def took(count, now, *, heard_until=None, **more):
        transport.heard_until = now if heard_until is None else heard_until
        turns.extend(filter(None, [detector.took(count, now, 4000, **more)]))

    took(0, 100.0)
    return detector, took, turns


def test_in_a_flood_known_peers_pass_and_at_its_end_all():
    transport = Transport()
    detector, took, turns = made(transport)
    assert detector.patience(100.0) is None
    took(5000, 100.25)
    assert transport.samples == [(("known since 98",), 100 / 20_000)]
    assert turns == [(98.0, None)]
    assert detector.patience(100.3) == MEASURE_PERIOD - (100.3 - 100.25)
    for now in (100.5, 101.3, 103.3):
        took(0, now)
    assert transport.samples[-1] == ((), 1.0)
    assert turns[1:] == [(None, None)]
    assert detector.patience(103.3) is None


def test_kernel_drops_count_for_the_rate_and_as_loss_in_a_flood():
    transport = Transport()
    detector, took, turns = made(transport)
    transport.lost = 5000
    took(10, 100.25)
    assert turns
    assert detector.dropped == 0  # the buffer was full: that was before
    transport.lost = 17_500
    took(10, 100.5)
    assert detector.dropped == 12_500


def test_between_two_measurements_it_only_counts():
    transport = Transport()
    _, took, turns = made(transport)
    for step in range(10):
        took(1000, 100.01 + step / 100)
    assert not turns
    took(0, 100.25)
    assert turns


def test_known_addresses_are_read_again_while_a_flood_lasts():
    transport = Transport()
    _, took, _ = made(transport)
    for step in range(1, 13):
        took(5000, 100 + step * MEASURE_PERIOD)
    assert len(transport.samples) == 1 + int((12 * MEASURE_PERIOD - MEASURE_PERIOD) / REVIEW)


def test_a_kernel_that_cannot_filter_is_told():
    _, took, turns = made(Transport("Protocol not available"))
    took(5000, 100.25)
    assert turns == [(98.0, "Protocol not available")]


def test_what_a_pause_of_ours_lost_is_no_flood():
    transport = Transport()
    _, took, turns = made(transport)
    transport.lost = 50_000
    took(64, 160.0, heard_until=101.0, has_paused=True)  # the buffer was full for a minute
    for step in range(1, 60):  # and is read at once
        took(64, 160.0 + step * 0.01, heard_until=101.0 + step)
    for now in (161.0, 162.0, 163.0):
        took(0, now)
    assert not turns
    transport.lost += 6000
    took(0, 163.25)
    assert turns, "what is lost then counts"


def test_a_flood_that_is_read_late_is_seen_by_kernel_drops():
    transport = Transport()
    _, took, turns = made(transport)
    for step in range(1, 12):
        transport.lost += 2000
        took(64, 100.0 + step * 0.1, heard_until=100.5)
    assert turns


def test_a_flood_that_a_long_buffer_holds_is_seen_at_once():
    transport = Transport()
    _, took, turns = made(transport)
    for step in range(1, 20):  # 9,500 a second come, 4,000 are read
        took(1000, 100.0 + step * 0.25, heard_until=100.0 + step * 1000 / 9500)
        if turns:
            break
    assert step == 5
