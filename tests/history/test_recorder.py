"""What was seen of peers becomes stays, events and watches."""

from discoveryd.history.reading import Reader
from discoveryd.history.tally import Uptime
from tests.history.past import START, saw, stays


def watches(past):
    return [((start - START) / 1000, (end - START) / 1000, ended) for start, end, ended in past.store.watches()]


def told(past, id="n1"):
    reader = Reader(past.store, past.look(past.at))
    [n] = reader.find(id)
    return reader.tallies(0)[1][n]


def kinds(past):
    return [row[0] for row in past.store.rows("SELECT kind FROM event ORDER BY e", {})]


def test_a_stay_is_from_the_first_hello_to_the_last(past):
    past.see(saw("joined", 20.0))
    assert stays(past.store) == [("n1", "b1", 20.0, None, "")]
    past.see(saw("down", 104.0, heard=100.0), saw("recovered", 130.0))
    assert stays(past.store) == [("n1", "b1", 20.0, 100.0, "down"), ("n1", "b1", 130.0, None, "")]
    assert kinds(past) == ["joined", "down", "recovered"]


def test_a_restart_is_the_gap_between_two_boots(past):
    past.see(saw("joined", 20.0), saw("restarted", 63.0, boot="b2", former="b1", former_heard=60.0))
    assert stays(past.store) == [("n1", "b1", 20.0, 60.0, "restarted"), ("n1", "b2", 63.0, None, "")]


def test_a_peer_is_remembered_once_it_answered_a_ping(past):
    past.see(saw("proved", 31.0, since=30.0))
    assert stays(past.store) == [("n1", "b1", 30.0, None, "")]
    past.see(saw("down", 40.0), saw("proved", 51.0, boot="b2", since=50.0, former="b1"), saw("proved", 60.0, boot="b2", since=50.0))
    found = Reader(past.store, past.look(70.0)).history("n1", None)["events"]
    assert [(one["event"], one["age_s"], one["reason"]) for one in found] == [
        ("joined", 40.0, "first HELLO on eth0"), ("down", 30.0, "it down"), ("joined", 20.0, "back with a new boot on eth0")
    ]


def test_a_boot_shown_again_goes_on_where_it_was_heard_last(past):
    past.see(saw("joined", 20.0), saw("restarted", 63.0, boot="b2", former="b1", former_heard=60.0))
    past.see(saw("recovered", 64.0, since=20.0))
    assert stays(past.store)[-1] == ("n1", "b2", 63.0, None, "")
    assert ("n1", "b1", 60.0, None, "") in stays(past.store)


def test_an_end_seen_twice_counts_once(past):
    past.see(saw("joined", 20.0), saw("down", 34.0, heard=30.0), saw("down", 44.0, heard=40.0))
    assert stays(past.store) == [("n1", "b1", 20.0, 30.0, "down")]


def test_what_no_note_told_of_is_found_by_comparing(past):
    past.see(saw("joined", 20.0, "n1"), saw("joined", 20.0, "n2"), saw("joined", 20.0, "n3"))
    past.look(50.0)
    missing, extra = past.recorder.differing({("n1", "b1"), ("n4", "b1")})
    assert (missing, extra) == ({("n4", "b1")}, {("n2", "b1"), ("n3", "b1")})
    past.write(past.recorder.end_lost, [(("n2", "b1"), 44.0), (("n3", "b1"), None)])
    assert stays(past.store)[1:] == [("n2", "b1", 20.0, 44.0, "down"), ("n3", "b1", 20.0, 50.0, "unknown")]


def test_a_stop_ends_what_goes_on_without_blaming_the_peer(begin, past):
    past.see(saw("joined", 20.0))
    past.stop(100.0)
    again = begin(at=3700.0)
    assert stays(again.store) == [("n1", "b1", 20.0, 100.0, "unknown")]
    assert watches(again) == [(0.0, 100.0, "stopped"), (3700.0, 3700.0, "")]


def test_a_peer_that_was_there_all_the_while_did_not_join(begin, past):
    """After our own start it is seen anew; only with another boot that is an event."""
    past.see(saw("joined", 20.0), saw("joined", 21.0, "n2"), saw("joined", 22.0, "n3"))
    past.stop(100.0)
    again = begin(at=200.0)
    again.see(saw("joined", 201.0), saw("proved", 202.0, "n2", since=201.0), saw("proved", 203.0, "n3", "b2", since=201.0))
    assert kinds(again) == ["joined"] * 4
    assert [one[4] for one in stays(again.store)] == ["unknown"] * 3 + [""] * 3
    assert Reader(again.store, again.look(210.0)).history("n3", None)["events"][-1]["reason"] == "back with a new boot on eth0"


def test_our_own_stop_of_an_hour_changes_no_availability(begin, past):
    past.see(saw("joined", 20.0), saw("down", 504.0, heard=500.0), saw("recovered", 600.0))
    before = told(past)
    past.look(1000.0)
    past.stop(1000.0)
    again = begin(at=4600.0)
    again.see(saw("there", 4601.0))
    again.look(4610.0)
    after = told(again)
    assert before == Uptime(580_000, 480_000, 0, 1, 0, 100_000)
    assert after == Uptime(989_000, 889_000, 0, 1, 0, 100_000)  # since 4601 s it is heard


def test_a_killed_run_ends_with_its_last_sign(begin, past):
    past.see(saw("joined", 20.0))
    past.look(90.0)
    past.store.close()
    again = begin(at=500.0)
    assert stays(again.store) == [("n1", "b1", 20.0, 90.0, "unknown")]
    assert watches(again) == [(0.0, 90.0, "killed"), (500.0, 500.0, "")]


def test_suspend_is_an_absence_and_no_outage(past):
    past.see(saw("joined", 20.0))
    past.look(100.0)
    past.look(3700.0, slept=3595.0)
    past.see(saw("down", 3700.1, heard=99.5), saw("recovered", 3700.8))
    past.look(4000.0)
    assert watches(past) == [(0.0, 100.0, "suspended"), (3700.0, 4000.0, "")]
    assert told(past) == Uptime(379_200, 378_700, 0, 0, 0, 0)


def test_being_cut_off_is_an_absence_from_the_last_hello_on(past):
    past.see(saw("joined", 20.0, "n1"), saw("joined", 20.0, "n2"))
    past.look(104.0, heard=100.0)
    assert not past.recorder.is_watching
    past.write(past.recorder.take, [saw("down", 104.0, heard=99.8), saw("down", 104.0, "n2", heard=100.0)])
    past.look(200.0, heard=100.0)
    past.look(300.0)
    past.see(saw("recovered", 300.5), saw("recovered", 300.5, "n2"))
    past.look(400.0)
    assert watches(past) == [(0.0, 100.0, "isolated"), (300.0, 400.0, "")]
    assert told(past) == Uptime(179_500, 179_300, 0, 0, 0, 0)


def test_a_clock_set_by_a_day_ends_nothing(past):
    past.see(saw("joined", 20.0))
    past.look(100.0, step=86_400.0)
    past.see(saw("down", 204.0, heard=200.0), saw("recovered", 300.0))
    past.look(400.0, step=-86_400.0)
    past.look(500.0)
    assert stays(past.store) == [("n1", "b1", 20.0, 200.0, "down"), ("n1", "b1", 300.0, None, "")]
    assert told(past) == Uptime(480_000, 380_000, 0, 1, 0, 100_000)
    [event, *_] = Reader(past.store, past.look(500.0)).history("n1", None)["events"]
    assert (event["age_s"], event["at"]) == (480.0, "2023-11-13T00:00:20.000Z")


def test_time_in_which_nothing_could_be_kept_is_an_absence(past):
    past.see(saw("joined", 20.0))
    past.look(100.0)
    past.at = 200.0
    past.write(past.recorder.read_again, past.clocks())
    past.look(200.0)
    assert watches(past) == [(0.0, 100.0, "unwritten"), (200.0, 200.0, "")]
    assert past.recorder.differing({("n1", "b1")}) == (set(), set())


def test_a_peer_forgotten_while_up_begins_anew(past):
    past.see(saw("joined", 20.0))
    past.write(past.recorder.forget, "n1", 1)
    assert stays(past.store) == []
    assert past.recorder.differing({("n1", "b1")}) == ({("n1", "b1")}, set())
    past.see(saw("there", 50.0))
    assert stays(past.store) == [("n1", "b1", 50.0, None, "")]


def test_the_name_stays_known_while_a_record_is_awaited(past):
    past.see(saw("joined", 20.0, tags={"role": "db"}))
    past.see(saw("down", 30.0)._replace(record=None, address="10.0.0.9"))
    [known] = Reader(past.store, past.look(40.0)).history("n1", None)["peers"]
    assert (known["name"], known["tags"], known["address"]) == ("n1", {"role": "db"}, "10.0.0.9")
