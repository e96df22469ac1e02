"""The journal: each change of peers that proved to be there, damped or not, and no trace of what is forged."""

from contextlib import suppress

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.table import journal as module
from discoveryd.protocol.table.journal import remembered
from discoveryd.protocol.table.table import PeerTable
from tests.protocol.samples import boot, hello, row_of, source

HERE = source()


@pytest.fixture
def table():
    made = PeerTable(limit=100)
    made.event_log.journal.wake = lambda: None
    return made


def taken(table):
    """Return what was noted of each row, with how long it was silent."""
    return [(one.kind, one.boot, one.at, round(one.at - one.heard, 3)) for one in table.event_log.journal.take()[0]]


def test_a_change_has_its_time_and_the_last_hello(table):
    table.heard(hello(1), HERE, 1.0, proved=True)
    table.expire(9.0)
    table.heard(hello(1, seq=2), HERE, 12.5)
    table.heard(hello(1, seq=3, goodbye=True), HERE, 13.0)
    assert taken(table) == [
        ("joined", boot(1), 1.0, 0.0), ("down", boot(1), 9.0, 8.0), ("recovered", boot(1), 12.5, 0.0),
        ("left", boot(1), 13.0, 0.0),
    ]  # fmt: skip
    assert taken(table) == []


def test_a_suspect_that_is_heard_again_was_never_away(table):
    table.heard(hello(1), HERE, 1.0, proved=True)
    table.expire(3.5)
    assert row_of(table).state == "suspect"
    table.heard(hello(1, seq=2), HERE, 4.0)
    assert [kind for kind, *_ in taken(table)] == ["joined", "recovered"]


def test_a_restart_tells_when_the_former_boot_was_heard_last(table):
    table.heard(hello(1), HERE, 1.0, proved=True)
    table.heard(hello(2), HERE, 2.0, proved=True)
    [_, restart] = table.event_log.journal.take()[0]
    assert (restart.kind, restart.former, restart.former_heard, restart.since) == ("restarted", boot(1), 1.0, 2.0)


def test_a_peer_that_flaps_is_noted_each_time_and_told_seldom(table):
    events = []
    for turn in range(20):
        events += table.heard(hello(1, seq=turn + 1), HERE, 5.0 * turn, proved=True)
        events += table.expire(5.0 * turn + 4.5)
    noted = [kind for kind, *_ in taken(table)]
    assert noted == ["joined", *["down", "recovered"] * 19, "down"]
    assert len(events) < len(noted)


def test_what_never_answered_is_not_noted_until_it_does(table):
    table.heard(hello(1), HERE, 1.0)
    table.expire(2.0)
    assert taken(table) == []
    table.answered(row_of(table), HERE, 0.001, None, two_way=True, now=2.5)
    [(kind, _, at, silent)] = taken(table)
    assert (kind, at, silent) == ("proved", 2.5, 1.5)
    table.answered(row_of(table), HERE, 0.001, None, two_way=True, now=2.6)
    assert taken(table) == []


def test_a_thousand_forged_peers_leave_no_trace(table):
    for number in range(1, 1001):
        with suppress(WireError):
            table.heard_bare(source(f"10.1.{number >> 8}.{number & 255}"), 4.0, number / 1000)
        if number % 20 == 0:
            table.expire(number / 1000)
        with suppress(WireError):  # past some rate they have to answer first
            table.heard(hello(number, f"n{number}"), source(f"10.2.{number >> 8}.{number & 255}"), number / 1000)
    assert taken(table) == []
    assert remembered(table.by_key) == set()


def test_a_journal_that_is_full_counts_what_it_could_not_take(table, monkeypatch):
    monkeypatch.setattr(module, "MOST", 5)
    woken = []
    table.event_log.journal.wake = lambda: woken.append(True)
    for number in range(1, 9):
        table.heard(hello(number, f"n{number}"), source(f"10.0.0.{number}"), 1.0, proved=True)
    notes, lost = table.event_log.journal.take()
    assert (len(notes), lost, woken) == (5, 3, [True])
    assert table.event_log.journal.take() == ([], 0)


def test_nothing_is_noted_without_a_reader():
    table = PeerTable(limit=10)
    table.heard(hello(1), HERE, 1.0, proved=True)
    assert taken(table) == []


def test_those_to_be_remembered_are_up_and_answered(table):
    table.heard(hello(1, "n1"), source("10.0.0.1"), 1.0, proved=True)
    table.heard(hello(2, "n2"), source("10.0.0.2"), 1.0)
    table.heard(hello(3, "n3"), source("10.0.0.3"), 1.0, proved=True)
    table.heard(hello(3, "n3", seq=2, goodbye=True), source("10.0.0.3"), 1.1, proved=True)
    table.heard_bare(source("10.0.0.4"), 4.0, 1.2)
    table.heard(hello(5, "n1"), source("10.0.0.1"), 1.3, proved=True)
    assert remembered(table.by_key) == {("n1", boot(5))}
