"""The floodgate over links that the test plays."""

from discoveryd.runtime.flood_detection import PERIOD, REVIEW, FloodDetector


class Links:
    def __init__(self, failure=None):
        self.lost = 0
        self.samples = []
        self.failure = failure

    def kernel_drops(self):
        return self.lost

    def sample(self, known, share):
        self.samples.append((tuple(known), share))
        return self.failure


def made(links):
    told = []
    gate = FloodDetector(links, 4000, lambda *turn: told.append(turn), lambda since: (f"known since {since:g}",))
    gate.took(0, 100.0)
    return gate, told


def test_a_flood_opens_it_for_those_known_and_its_end_for_all():
    links = Links()
    gate, told = made(links)
    assert gate.patience(100.0) is None
    gate.took(5000, 100.25)
    assert links.samples == [(("known since 98",), 100 / 20_000)]
    assert told == [(98.0, None)]
    assert gate.patience(100.3) == PERIOD - (100.3 - 100.25)
    for now in (100.5, 101.3, 103.3):
        gate.took(0, now)
    assert links.samples[-1] == ((), 1.0)
    assert told[1:] == [(None, None)]
    assert gate.patience(103.3) is None


def test_what_the_kernel_threw_away_counts_for_the_rate_and_in_a_flood_as_its_loss():
    links = Links()
    gate, told = made(links)
    links.lost = 5000
    gate.took(10, 100.25)
    assert told
    assert gate.dropped == 0  # the buffer was full: that was before
    links.lost = 17_500
    gate.took(10, 100.5)
    assert gate.dropped == 12_500


def test_between_two_looks_it_only_counts():
    links = Links()
    gate, told = made(links)
    for step in range(10):
        gate.took(1000, 100.01 + step / 100)
    assert not told
    gate.took(0, 100.25)
    assert told


def test_those_known_are_looked_up_anew_while_it_lasts():
    links = Links()
    gate, _ = made(links)
    for step in range(1, 13):
        gate.took(5000, 100 + step * PERIOD)
    assert len(links.samples) == 1 + int((12 * PERIOD - PERIOD) / REVIEW)


def test_a_kernel_that_cannot_is_told():
    gate, told = made(Links("Protocol not available"))
    gate.took(5000, 100.25)
    assert told == [(98.0, "Protocol not available")]


def test_what_a_pause_of_ours_lost_is_no_flood():
    links = Links()
    gate, told = made(links)
    links.lost = 50_000
    gate.took(64, 160.0, is_late=True, has_paused=True)  # the buffer was full for a minute
    for step in range(1, 60):  # and is read at once
        gate.took(64, 160.0 + step * 0.01, is_late=True)
    for now in (161.0, 162.0, 163.0):
        gate.took(0, now)
    assert not told
    links.lost += 6000
    gate.took(0, 163.25)
    assert told, "what is lost then counts"


def test_a_flood_that_is_read_late_is_seen_by_what_the_kernel_threw_away():
    links = Links()
    gate, told = made(links)
    for step in range(1, 12):
        links.lost += 2000
        gate.took(64, 100.0 + step * 0.1, is_late=step > 5)
    assert told
