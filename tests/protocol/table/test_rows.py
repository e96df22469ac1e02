"""The rows of a table: their bound, and what can be asked about them."""

import pytest

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ProvedTable, boot, hello, kinds, source, states
from tests.protocol.table.clones import two_clones

HERE = source()
THERE = source("10.0.0.8")

def refusal(call, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


# --- limits -----------------------------------------------------------------------------------------


def test_a_full_table_refuses_newcomers_and_keeps_the_living():
    table = ProvedTable(limit=2)
    table.heard(hello(1, "a"), HERE, now=0.0)
    table.heard(hello(2, "b"), THERE, now=0.0)
    assert refusal(table.heard, hello(3, "c"), source("10.0.0.9"), now=0.1) == "table-full"
    assert refusal(table.heard_bare, source("10.0.0.9"), ttl=4.0, now=0.1) == "table-full"
    assert len(table.peers(0.1)) == len(table) == 2


def test_a_proved_newcomer_takes_the_place_of_an_unproven_row():
    table = PeerTable(limit=3)
    table.heard(hello(1, "a"), HERE, now=0.0, proved=True)
    table.heard_bare(THERE, ttl=4.0, now=0.0)
    table.heard(hello(2, "b"), THERE, now=0.0)
    with pytest.raises(Unproven, match="table-full"):
        table.heard(hello(3, "c"), source("10.0.0.9"), now=0.1)
    for number, gone in ((4, "10.0.0.8"), (5, "b")):
        events = table.heard(hello(number, f"n{number}"), source(f"10.0.1.{number}"), now=0.2, proved=True)
        assert [(event.kind, event.peer.id) for event in events] == [("down", gone), ("joined", f"n{number}")]
    assert refusal(table.heard, hello(6, "d"), source("10.0.0.9"), now=0.3) == "table-full"


def test_the_longest_gone_makes_room():
    table = ProvedTable(limit=3)
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=1.0)
    table.heard(hello(3, "c"), source("10.0.0.3"), now=1.5)
    table.heard(hello(2, "b", goodbye=True), source("10.0.0.2"), now=2.0)
    table.heard(hello(1, "a", goodbye=True), source("10.0.0.1"), now=3.0)
    assert kinds(table.heard(hello(4, "d"), source("10.0.0.4"), now=3.1)) == ["joined"]
    assert states(table, 3.1) == {boot(1): "left", boot(3): "up", boot(4): "up"}


def test_a_row_that_came_back_makes_no_room():
    table = ProvedTable(limit=1)
    table.heard(hello(1, "a"), HERE, now=0.0)
    table.expire(4.0)
    table.heard(hello(1, "a", seq=2), HERE, now=5.0)
    assert refusal(table.heard, hello(2, "b"), THERE, now=5.1) == "table-full"


def test_a_restart_in_a_full_table_replaces_its_former_boot():
    table = PeerTable(limit=2)
    table.heard(hello(1, "a"), HERE, now=0.0)  # unproven
    table.heard(hello(2, "b"), THERE, now=0.0, proved=True)
    [event] = table.heard(hello(3, "a"), HERE, now=0.1, proved=True)
    assert (event.kind, event.former) == ("restarted", boot(1))
    assert states(table, 0.1) == {boot(2): "up", boot(3): "up"}
    assert refusal(table.heard, hello(4, "c"), source("10.0.0.9"), now=0.2, proved=True) == "table-full"
    assert len(table) == 2


def test_a_refused_newcomer_makes_no_room():
    """Too few rows are worth less, so none of them goes."""
    table = ProvedTable(limit=4)
    for number in range(1, 5):
        table.heard(hello(number, f"n{number}"), source(f"10.0.0.{number}"), now=0.0)
    table.heard(hello(4, "n4", goodbye=True), source("10.0.0.4"), now=0.1)
    table.limit = 3
    assert refusal(table.heard, hello(9, "n9"), THERE, now=0.2) == "table-full"
    assert states(table, 0.2) == {boot(1): "up", boot(2): "up", boot(3): "up", boot(4): "left"}


def test_a_lowered_limit_is_reached_as_rows_go():
    table = ProvedTable(limit=10)
    for number in range(1, 7):
        table.heard(hello(number, f"n{number}"), source(f"10.0.0.{number}"), now=0.0)
        if number > 2:
            table.heard(hello(number, f"n{number}", goodbye=True), source(f"10.0.0.{number}"), now=0.1)
    table.limit = 3
    table.heard(hello(9, "n9"), THERE, now=0.2)
    assert len(table) == 3


def test_a_restart_needs_no_room_when_the_former_is_gone():
    table = ProvedTable(limit=1)
    table.heard(hello(1), HERE, now=0.0)
    table.expire(4.0)
    assert kinds(table.heard(hello(2), HERE, now=5.0)) == ["joined"]


def test_the_default_limits_are_those_of_the_parameters():
    assert ProvedTable().limit == Limits().peers
    assert ProvedTable().remember == Limits().remember


# --- finding ----------------------------------------------------------------------------------------


def test_find_by_id_name_boot_address_and_start_of_id():
    table = ProvedTable()
    table.heard(hello(1, "id-of-one", record=Record(name="one")), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "id-of-two", record=Record(name="two")), source("10.0.0.2"), now=0.0)
    table.heard_bare(source("10.0.0.3"), ttl=4.0, now=0.0)

    def find(text):
        return [row.boot or row.id for row in table.find(text, 1.0)]

    assert find("one") == find("id-of-one") == find(boot(1)) == find("10.0.0.1") == [boot(1)]
    assert find("10.0.0.3") == ["10.0.0.3"]
    assert find("id-o") == [boot(1), boot(2)]
    assert find("id-of-t") == [boot(2)]
    assert find("id-") == []  # too short to be meant
    assert find("three") == []


def test_the_second_of_a_name_is_found_as_exports_call_it():
    table = ProvedTable()
    for number, id in ((0xAB12 << 48, "a"), (0xCD34 << 48, "b")):
        table.heard(hello(number, id), source(f"10.0.0.{number >> 60}"), 0.0)
    assert [row.id for row in table.find("web1-cd34", 1.0)] == ["b"]
    assert table.find("web1-cd3", 1.0) == ()
    assert table.find("web2-cd34", 1.0) == ()


def test_find_prefers_live_rows():
    table = ProvedTable()
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=3.0)
    assert [row.id for row in table.find("web1", 3.5)] == ["a", "b"]
    assert [row.id for row in table.find("web1", 4.5)] == ["b"]
    assert [row.id for row in table.find("web1", 9.0)] == ["a", "b"]


# --- numbers ----------------------------------------------------------------------------------------


def test_events_are_numbered_without_a_gap():
    table = ProvedTable()
    events = list(two_clones(table)) + list(table.expire(10.0))
    assert [event.seq for event in events] == [3, 4, 5, 6, 7]
    assert table.seq == 7


def test_rows_are_counted_by_state():
    table = ProvedTable()
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=3.0)
    table.heard(hello(3, "c"), source("10.0.0.3"), now=3.0)
    table.heard(hello(3, "c", goodbye=True), source("10.0.0.3"), now=3.1)
    assert table.counts(4.0) == {"up": 1, "suspect": 0, "down": 1, "left": 1}
