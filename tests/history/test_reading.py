"""What is told of the past: availability over days and parts of days, what happened, and who is meant."""

import pytest

from discoveryd.errors import QueryError
from discoveryd.history.reading import Reader
from discoveryd.history.store import LATE, Bounds
from discoveryd.history.timeline import DAY
from discoveryd.query.request import Filter
from tests.history.past import day, saw

HOUR = 3600.0


def reader(past, at):
    return Reader(past.store, past.look(at))


def play(past, hours, outage=60.0):
    """Let n1 be up for all these hours, but for an outage that begins each hour on the hour; note each as a daemon does."""
    past.see(saw("joined", 20.0))
    for hour in range(1, hours):
        start = hour * HOUR
        past.look(start - 5.0)
        past.see(saw("down", start + 4.0, heard=start), saw("recovered", start + outage))
        if hour % 6 == 0:
            past.write(past.store.sum_up, past.look(start + outage + 1))


@pytest.mark.parametrize("since", [1.5 * HOUR, 24 * HOUR, 30.5 * HOUR, 48 * HOUR, 60 * HOUR, 71 * HOUR])
def test_availability_equals_a_known_script_of_outages(past, since):
    """One minute an hour, read over parts of days and whole ones, some of them summed up: to the second."""
    play(past, 73)
    now = 72 * HOUR + 1800.0
    [found] = reader(past, now).availability(since, Filter())["peers"]
    begin = now - since
    outages = [hour * HOUR for hour in range(1, 73) if hour * HOUR + 60 > begin]
    down = sum(min(60.0, start + 60 - begin) for start in outages)
    assert found["seen_s"] == pytest.approx(min(since, now - 20), abs=1)
    assert found["down_s"] == pytest.approx(down, abs=1)
    assert found["downs"] == sum(start >= begin for start in outages)
    assert found["longest_s"] == 60.0
    assert found["availability"] == pytest.approx(1 - down / found["seen_s"], abs=1e-5)


def test_where_stays_lack_whole_days_are_told(past):
    """And the reply says since when."""
    play(past, 73)
    past.write(past.store.sum_up, day(3, LATE / 1000))
    past.write(past.store.prune, Bounds(stays=100, stay_days=1), day(3, 1000.0))
    assert past.store.mark("complete") == day(2, 1000.0)
    found = reader(past, 73 * HOUR).availability(60 * HOUR, Filter())
    assert found["since_s"] == 73 * HOUR
    assert found["peers"][0]["downs"] == 72
    assert reader(past, 73 * HOUR).availability(2 * HOUR, Filter())["since_s"] == 2 * HOUR


def test_watched_time_is_told_beside(past):
    past.look(100.0)
    past.look(1000.0, slept=890.0)
    past.look(1500.0)
    assert reader(past, 1500.0).availability(None, Filter())["watched_s"] == 600.0
    assert reader(past, 1500.0).availability(200.0, Filter())["watched_s"] == 200.0


def test_availability_takes_filters(past):
    past.see(
        saw("joined", 20.0, "n1", tags={"role": "db"}), saw("joined", 20.0, "n2"), saw("down", 99.0, "n2", heard=95.0)
    )
    found = reader(past, 200.0)

    def names(**chosen):
        return [one["name"] for one in found.availability(None, Filter(**chosen))["peers"]]

    assert names() == ["n1", "n2"]
    assert names(tags={"role": "db"}) == ["n1"]
    assert names(states=frozenset(("down",))) == ["n2"]
    assert names(name="*2") == ["n2"]
    assert names(link="eth1") == []
    assert [one["name"] for one in found.availability(None, Filter(), "n2")["peers"]] == ["n2"]


def test_a_peer_that_was_not_seen_has_no_availability(begin, past):
    past.see(saw("joined", 2.0), saw("down", 7.0, heard=5.0))
    [found] = reader(past, 12.0).availability(None, Filter())["peers"]
    assert (found["availability"], found["seen_s"], found["down_s"], found["state"]) == (0.3, 10.0, 7.0, "down")
    past.stop(20.0)
    [found] = reader(begin(at=500.0), 509.0).availability(100.0, Filter())["peers"]
    assert (found["availability"], found["seen_s"], found["state"]) == (None, 0.0, "down")


def test_the_past_of_a_peer_is_told_in_its_order(past):
    past.see(saw("joined", 20.0), saw("joined", 21.0, "n2"), saw("down", 104.0, heard=100.0))
    found = reader(past, 200.0).history("n1", None)
    assert [(one["event"], one["age_s"], one["reason"]) for one in found["events"]] == [
        ("joined", 180.0, "it joined"), ("down", 96.0, "it down")
    ]
    [stay] = found["stays"]
    assert (stay["start_s"], stay["end_s"], stay["up_s"], stay["ended"]) == (180.0, 100.0, 80.0, "down")
    assert stay["start"] == "2023-11-14T00:00:20.000Z"
    [known] = found["peers"]
    assert (known["state"], known["first_seen_s"], known["last_seen_s"]) == ("down", 180.0, 100.0)
    assert {one["id"] for one in reader(past, 200.0).history("", None)["events"]} == {"n1", "n2"}


def test_only_what_is_not_older_is_told(past):
    past.see(saw("joined", 20.0), saw("down", 104.0, heard=100.0), saw("recovered", 150.0))
    found = reader(past, 200.0).history("", 60.0)
    assert [one["event"] for one in found["events"]] == ["recovered"]
    assert [one["start_s"] for one in found["stays"]] == [50.0]
    assert found["since_s"] == 60.0


def test_absences_of_this_node_are_told(past):
    past.look(100.0)
    past.look(1000.0, slept=890.0)
    past.look(1100.0, heard=1090.0)
    told = reader(past, 1200.0).history("", None)["absences"]
    assert [(one["kind"], one["start_s"], one["end_s"]) for one in told] == [
        ("suspended", 1100.0, 200.0), ("isolated", 110.0, 0.0)
    ]


def test_a_long_past_is_told_from_its_end(past, monkeypatch):
    monkeypatch.setattr("discoveryd.history.reading.MOST_TOLD", 3)
    for number in range(5):
        past.see(saw("updated", 20.0 + number))
    found = reader(past, 30.0).history("", None)
    assert [one["age_s"] for one in found["events"]] == [8.0, 7.0, 6.0]
    assert found["complete"] is False


@pytest.mark.parametrize("text", ["abcdef01", "web-1", "b7", "10.0.0.1", "abcd"])
def test_a_peer_is_meant_by_name_id_boot_or_address(past, text):
    past.see(saw("joined", 20.0, "abcdef01", boot="b7", name="web-1"), saw("joined", 20.0, "abef2"))
    assert reader(past, 30.0).find(text) == [1]


@pytest.mark.parametrize("text", ["ab", "web-2", "abcdef02", "", "%"])
def test_nobody_is_meant_by_anything_else(past, text):
    past.see(saw("joined", 20.0, "abcdef01", name="web-1"))
    with pytest.raises(QueryError, match="is remembered"):
        reader(past, 30.0).find(text)


def test_an_address_of_the_past_means_its_peer(past):
    past.see(saw("joined", 20.0), saw("down", 30.0), saw("recovered", 40.0)._replace(address="10.0.0.77"))
    assert reader(past, 50.0).find("10.0.0.1") == [1]
    assert reader(past, 50.0).find("10.0.0.77") == [1]


def test_a_set_clock_is_no_time_that_passed(past):
    """Ages are by the wall clock as it is now; a jump of a day lies between no two events."""
    past.see(saw("joined", 20.0))
    past.look(30.0, step=DAY / 1000)
    past.see(saw("down", 44.0, heard=40.0))
    ages = [one["age_s"] for one in reader(past, 50.0).history("", None)["events"]]
    assert ages == [30.0, 6.0]
