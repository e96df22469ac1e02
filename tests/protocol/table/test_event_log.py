"""Events of a peer that flaps: few, never wrong, and in the end whoever follows them knows what the list says."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.protocol.table.event_log import EVENT_BURST, EVENT_GAP, EVENTS_SPARED, allows, net_events, opens
from discoveryd.protocol.table.peer import UNANNOUNCED, Announced
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ProvedTable, boot, hello, kinds, row_of, source

HERE = source()
LIVE = ("up", "suspect")


# --- pace -------------------------------------------------------------------------------------------


def test_pace_allows_ten_at_once_then_one_in_five_seconds():
    row = Row(kind="node", id="n", boot=boot(1), now=0.0)
    assert [allows(row, 100.0) for _ in range(11)] == [True] * 10 + [False]
    assert opens(row) == pytest.approx(105.0)
    assert [allows(row, now) for now in (104.9, 105.0, 105.1, 109.9, 110.0)] == [False, True, False, False, True]
    assert [allows(row, 1000.0) for _ in range(11)] == [True] * 10 + [False]


def test_pace_spares_events_for_comings_and_goings():
    row = Row(kind="node", id="n", boot=boot(1), now=0.0)
    assert [allows(row, 0.0, EVENTS_SPARED) for _ in range(6)] == [True] * 5 + [False]
    assert opens(row, EVENTS_SPARED) == pytest.approx(5.0)
    assert allows(row, 0.0)
    assert opens(row, EVENTS_SPARED) == pytest.approx(10.0)


def test_pace_allows_an_event_when_it_opens():
    row = Row(kind="node", id="n", boot=boot(1), now=0.0)
    now = 12_345_678.9
    for _ in range(100):
        while allows(row, now):
            pass
        now = opens(row)
        assert allows(row, now)


# --- what a change comes to -------------------------------------------------------------------------


def announced(state, number=1, **more):
    return Announced(state=state, boot=boot(number), digest="d", addresses=("10.0.0.7",), **more)


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        (UNANNOUNCED, announced("up"), ("joined",)),
        (UNANNOUNCED, announced("suspect"), ("joined",)),
        (UNANNOUNCED, announced("down"), ()),
        (UNANNOUNCED, announced("left"), ()),
        (announced("up"), announced("up"), ()),
        (announced("up"), announced("suspect"), ("suspect",)),
        (announced("up"), announced("down"), ("down",)),
        (announced("up"), announced("left"), ("left",)),
        (announced("suspect"), announced("up"), ("recovered",)),
        (announced("suspect"), announced("suspect"), ()),
        (announced("suspect"), announced("down"), ("down",)),
        (announced("suspect"), announced("left"), ("left",)),
        (announced("down"), announced("up"), ("recovered",)),
        (announced("down"), announced("suspect"), ("recovered",)),
        (announced("down"), announced("down"), ()),
        (announced("down"), announced("left"), ()),
        (announced("left"), announced("up"), ("recovered",)),
        (announced("left"), announced("down"), ()),
        (announced("up"), announced("up", 2), ("restarted",)),
        (announced("up"), announced("suspect", 2), ("restarted",)),
        (announced("suspect"), announced("up", 2), ("restarted",)),
        (announced("up"), announced("down", 2), ("restarted", "down")),
        (announced("suspect"), announced("left", 2), ("restarted", "left")),
        (announced("down"), announced("up", 2), ("joined",)),
        (announced("left"), announced("suspect", 2), ("joined",)),
        (announced("down"), announced("down", 2), ()),
        (announced("up"), announced("up", clone=True), ("clone",)),
        (announced("up", clone=True), announced("up"), ("updated",)),
        (announced("up"), announced("up", deaf=True), ("updated",)),
        (announced("up"), announced("suspect", clone=True), ("suspect",)),
    ],
)
def test_net_events(before, after, events):
    assert net_events(before, after) == events


def follow(mirror, kind, peer):
    """Take an event as a client does, who knows nothing else."""
    if kind == "restarted":
        mirror.clear()
    if kind in ("down", "left"):
        del mirror[peer.boot]
    else:
        assert kind != "joined" or peer.boot not in mirror
        assert kind not in ("suspect", "updated", "clone") or peer.boot in mirror
        mirror[peer.boot] = peer.state


@pytest.mark.parametrize(("before", "after"), list(product(("up", "suspect", "down", "left"), repeat=2)))
@pytest.mark.parametrize("number", [1, 2])
def test_net_events_lead_from_one_to_the_other(before, after, number):
    mirror = {boot(1): before} if before in LIVE else {}
    true = announced(after, number)
    for kind in net_events(announced(before), true):
        follow(mirror, kind, true)
    assert mirror == ({boot(number): after} if after in LIVE else {})


# --- the table --------------------------------------------------------------------------------------


def flap(table, rounds, start=0.0):
    """Let a peer fall silent for five seconds again and again."""
    events, now, seq = [], start, 1
    for _ in range(rounds):
        events += table.heard(hello(seq=seq), HERE, now)
        for pause in (1.96, 4.0, 5.0):
            while table.next_expiry() <= now + pause:
                events += table.expire(table.next_expiry())
        now, seq = now + 5.0, seq + 6
    return events, now


def test_a_flapping_peer_has_one_event_in_five_seconds():
    table = ProvedTable()
    events, now = flap(table, 100)
    assert len(events) <= EVENT_BURST + now / EVENT_GAP
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert any("changes in short succession" in event.reason for event in events)


def test_the_list_is_true_while_events_are_suppressed():
    table = ProvedTable()
    _, now = flap(table, 20)
    table.heard(hello(seq=1000), HERE, now)
    assert [peer.state for peer in table.peers(now + 0.1)] == ["up"]
    assert [peer.state for peer in table.peers(now + 2.0)] == ["suspect"]
    assert table.peers(now + 4.0) == ()


def test_doubts_do_not_suppress_the_end_of_a_peer():
    table = ProvedTable()
    events, now = [], 0.0
    for seq in range(1, 20):  # suspect for a moment again and again
        events += table.heard(hello(seq=seq * 3), HERE, now)
        events += table.expire(now + 2.0)
        now += 2.1
    assert len(events) < 20
    last = now - 2.1
    assert kinds(table.expire(last + 4.0)) == ["down"]


def test_changes_that_come_to_nothing_have_no_event():
    table = ProvedTable()
    records = [Record(name="web1", tags={"n": str(number)}) for number in range(30)]
    for seq, record in enumerate(records):
        table.heard(hello(seq=seq, record=record), HERE, 0.0)
    row = row_of(table, 1)
    assert row.key in table.event_log.suppressed
    [told_of] = [record for record in records if record.digest == row.announced.digest]
    assert table.heard(hello(seq=40, record=told_of), HERE, 0.5) == ()
    assert row.key not in table.event_log.suppressed


def test_suppressed_changes_are_announced_when_allowed():
    table = ProvedTable()
    for number in range(30):
        table.heard(hello(seq=number, record=Record(name="web1", tags={"n": str(number)})), HERE, 0.0)
    assert table.next_expiry() == pytest.approx(1.96)
    table.heard(hello(seq=31, record=Record(name="web1", tags={"n": "29"})), HERE, 1.5)
    table.heard(hello(seq=32, record=Record(name="web1", tags={"n": "29"})), HERE, 3.4)
    assert table.expire(3.5) == ()
    due = table.next_expiry()
    assert due == pytest.approx(5.0)
    [event] = table.expire(due)
    assert (event.kind, event.reason) == ("updated", "after 25 changes in short succession")
    assert dict(event.peer.tags) == {"n": "29"}


def test_a_crash_loop_is_damped():
    table = ProvedTable()
    events, now = [], 0.0
    for number in range(1, 201):
        events += table.heard(hello(number), HERE, now)
        now += 0.35
        events += table.expire(now)
    assert len(events) <= EVENT_BURST + now / EVENT_GAP
    assert table.peers(now)[0].restarts == 199
    events += table.heard(hello(200, seq=9), HERE, now)
    for at in (now + 1.5, now + 3.0, now + 4.5, now + 5.1):
        events += table.heard(hello(200, seq=round(at * 10)), HERE, at)
    mirror = {}
    for event in events:
        follow(mirror, event.kind, event.peer)
    assert mirror == {boot(200): "up"}
    assert table.event_log.suppressed == {}


def test_a_crash_loop_with_goodbyes_is_damped():
    table = ProvedTable()
    events, now = [], 0.0
    for number in range(1, 101):
        events += table.heard(hello(number), HERE, now)
        events += table.heard(hello(number, seq=2, full=False, goodbye=True), HERE, now + 0.1)
        now += 0.5
    assert len(events) <= EVENT_BURST + now / EVENT_GAP
    events += table.expire(now + 20.0)
    mirror = {}
    for event in events:
        follow(mirror, event.kind, event.peer)
    assert mirror == {}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_suppressed_changes_are_announced_before_a_row_goes():
    table = ProvedTable(limit=2)
    for number in range(1, 13):  # a crash loop, ten of which are told
        table.heard(hello(number), HERE, 0.0)
    assert table.heard(hello(12, seq=2, goodbye=True), HERE, 0.1) == ()
    assert row_of(table, 12).announced.boot == boot(10)
    table.heard(hello(20, "b"), source("10.0.0.8"), 0.2)
    events = table.heard(hello(21, "c"), source("10.0.0.9"), 0.3)
    assert [(event.kind, event.peer.boot) for event in events] == [
        ("restarted", boot(12)),
        ("left", boot(12)),
        ("joined", boot(21)),
    ]


def test_a_restored_boot_has_its_announcement_back():
    table = ProvedTable()
    for number in range(2, 14):  # a crash loop until events are held back
        table.heard(hello(number), HERE, 0.01 * number)
    row = row_of(table, 13)
    assert row.key in table.event_log.suppressed
    told_boot = row.announced.boot
    number = int(told_boot, 16)
    table.heard(hello(number, seq=5), HERE, 0.2)
    events = table.heard(hello(number, seq=6), HERE, 0.3)
    assert [(event.kind, event.peer.boot) for event in events][:1] == [("clone", told_boot)]
    later = [*events, *table.expire(1.0), *table.heard(hello(13, seq=4), HERE, 1.5)]
    for at in (3.0, 4.5, 6.0, 7.5, 9.0, 10.5, 12.0):
        later += table.heard(hello(number, seq=round(at * 10)), HERE, at)
        later += table.heard(hello(13, seq=round(at * 10)), HERE, at)
    assert {boot(13), told_boot} <= {event.peer.boot for event in later}
    assert not table.event_log.suppressed
    assert all(row.announced.state == "up" and row.announced.boot == row.boot for row in table.rows(12.0))


steps = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0)),
        st.sampled_from(("hello", "hello", "restart", "goodbye", "record", "pong", "nothing")),
    ),
    min_size=5,
    max_size=150,
)


@given(steps)
def test_a_mirror_that_follows_the_events_converges(script):
    table, mirror, events = ProvedTable(), {}, []
    now, number, seq, tag = 0.0, 1, 1, 0
    for pause, what in script:
        end = now + pause
        while table.next_expiry() <= end:
            events += table.expire(table.next_expiry())
        now, seq = end, seq + 1
        number += what == "restart"
        tag += what == "record"
        record = Record(name="web1", tags={"n": str(tag)})
        if what == "pong":
            row = row_of(table, number)
            events += () if row is None else table.answered(row, HERE, 0.001, 0.1, two_way=tag % 2 == 0, now=now)
        elif what != "nothing":
            events += table.heard(hello(number, seq=seq, record=record, goodbye=what == "goodbye"), HERE, now)
    assert len(events) <= EVENT_BURST + now / EVENT_GAP + 2
    for _ in range(30):  # it goes on to speak
        now, seq = now + 1.5, seq + 1
        events += table.heard(hello(number, seq=seq), HERE, now)
        events += table.expire(now)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for event in events:
        follow(mirror, event.kind, event.peer)
    assert mirror == {peer.boot: peer.state for peer in table.peers(now)}
    assert not table.event_log.suppressed
