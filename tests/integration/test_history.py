"""The history of a real daemon: it outlives a kill, and is asked for by every program."""

import signal
from time import monotonic, sleep

from discoveryd.errors import QueryError
from discoveryd.runtime.client import Client

WAIT = 20.0


def until(ask, holds):
    deadline = monotonic() + WAIT
    while True:
        try:
            found = ask()
        except QueryError as error:  # not up yet, or the history has not begun
            found = error
        else:
            if holds(found):
                return found
        assert monotonic() < deadline, found
        sleep(0.05)


def test_a_killed_daemon_goes_on_with_its_history(make, observer):
    daemon = make().run()
    client = Client(daemon.query)
    until(lambda: client.history("observer"), lambda found: found["stays"])
    daemon.end(signal.SIGKILL)
    daemon.close()
    daemon.run()
    found = until(lambda: client.history("observer"), lambda found: len(found["stays"]) == 2)
    assert [one["ended"] for one in found["stays"]] == ["unknown", None]
    assert [one["kind"] for one in found["absences"]] == ["killed"]
    assert found["peers"][0]["name"] == "observer"
    [peer] = client.availability(name="obs*")["peers"]
    assert (peer["state"], peer["downs"]) == ("up", 0)
    status = daemon.ask("status")["history"]
    assert (status["on"], status["error"], status["lost"]) == (True, None, 0)


def test_a_peer_that_left_is_remembered_by_the_next_run(make):
    daemon, other = make().run(), make().run()
    until(lambda: daemon.ask("history"), lambda found: found["stays"])
    other.end()
    found = until(lambda: daemon.ask("history", peer="node-3"), lambda found: found["events"][-1:] and found["events"][-1]["event"] == "left")
    assert found["stays"][-1]["ended"] == "left"
    daemon.end()
    daemon.close()
    daemon.run()
    found = until(lambda: daemon.ask("history", peer="node-3"), lambda found: found["absences"])
    assert (found["peers"][0]["state"], found["stays"][-1]["ended"], found["absences"][0]["kind"]) == ("left", "left", "stopped")
