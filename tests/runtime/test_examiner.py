"""What a Discovery says when a doctor asks."""

import pytest

from discoveryd import Discovery, Parameters
from discoveryd.errors import QueryError
from discoveryd.net.sockets import free_port
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


def test_a_node_that_is_well_has_no_fault(pair):
    one, _ = pair
    found = one.doctor()
    assert (found["verdict"], found["peer"]) == ("healthy", None)
    assert found["findings"] == one.status()["findings"]


def test_a_peer_is_meant_by_name_address_or_not_known(pair):
    one, _ = pair
    for wanted in ("two", "127.0.0.3"):
        found = one.doctor(wanted)
        assert (found["verdict"], found["peers"][0]["name"]) == ("healthy", "two")
    found = one.doctor("127.0.0.9")
    assert (found["verdict"], found["peers"]) == ("peer-unknown", [])


def test_other_refusals_are_raised(pair, monkeypatch):
    def refuse(*_):
        raise QueryError("ambiguous", "several")

    monkeypatch.setattr("discoveryd.runtime.examiner.show_answer", refuse)
    with pytest.raises(QueryError, match="several"):
        pair[0].doctor("two")
