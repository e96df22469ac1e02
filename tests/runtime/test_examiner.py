"""What a Discovery says when a doctor asks."""

import pytest

from discoveryd import Discovery, Parameters
from discoveryd.errors import QueryError
from discoveryd.net.sockets import free_port
from discoveryd.runtime.status import make_status
from tests.runtime.waiting import wait_for


@pytest.fixture
def pair():
    """Give two nodes on loopback that list each other."""
    port = free_port("127.0.0.1", "udp")
    one, two = (
        Discovery(Parameters(loopback=f"127.0.0.{last}", port=port), name=name) for last, name in ((2, "one"), (3, "two"))
    )
    with one.subscribe() as events, one, two:
        wait_for(events, "joined", "two")
        yield one, two


def unserved(make):
    """Return a status whose metrics are not served."""
    metrics = {"address": "127.0.0.1:9341", "error": "the address is in use"}
    return lambda *args: {**make(*args), "metrics": {**make(*args)["metrics"], **metrics}}


def test_a_node_that_is_well_has_no_fault(pair):
    one, _ = pair
    found = one.doctor()
    assert (found["verdict"], found["peer"]) == ("healthy", None)
    codes = [finding["code"] for finding in found["findings"]]
    assert codes == [finding["code"] for finding in one.status()["findings"]]


def test_a_finding_says_since_when_it_is_seen(pair, monkeypatch):
    one, _ = pair
    now = [100.0]
    monkeypatch.setattr("discoveryd.runtime.examiner.monotonic", lambda: now[0])
    monkeypatch.setattr("discoveryd.runtime.examiner.make_status", unserved(make_status))
    ages = []
    for now[0] in (100.0, 103.0, 110.0):
        [finding] = [one for one in one.status()["findings"] if one["code"] == "metrics-not-served"]
        ages.append(finding["since_s"])
    assert ages == [0.0, 3.0, 10.0]
    [told] = [one for one in one.doctor()["findings"] if one["code"] == "metrics-not-served"]
    assert told["since_s"] == 10.0
    monkeypatch.setattr("discoveryd.runtime.examiner.make_status", make_status)
    one.status()
    monkeypatch.setattr("discoveryd.runtime.examiner.make_status", unserved(make_status))
    [again] = [one for one in one.status()["findings"] if one["code"] == "metrics-not-served"]
    assert again["since_s"] == 0.0


def test_what_is_known_of_a_peer_alone_has_no_age(pair):
    [finding] = pair[0].doctor("127.0.0.9")["findings"]  # it was asked, and the kernel says that nothing listens there
    assert (finding["code"], finding["since_s"]) == ("not-running", None)


def test_a_peer_is_meant_by_name_address_or_not_known(pair):
    one, _ = pair
    for wanted in ("two", "127.0.0.3"):
        found = one.doctor(wanted)
        assert (found["verdict"], found["peers"][0]["name"]) == ("healthy", "two")
    found = one.doctor("127.0.0.9")
    assert (found["verdict"], found["peers"]) == ("not-running", [])
    assert one.doctor("nobody")["verdict"] == "peer-unknown"


def test_other_refusals_are_raised(pair, monkeypatch):
    def refuse(*_):
        raise QueryError("ambiguous", "several")

    monkeypatch.setattr("discoveryd.runtime.examiner.show_answer", refuse)
    with pytest.raises(QueryError, match="several"):
        pair[0].doctor("two")
