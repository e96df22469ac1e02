"""Grace: the absence of a peer that is given time is told late or never; the table has the truth at once."""

import pytest

from discoveryd.errors import ConfigError
from discoveryd.protocol.table import grace as module
from discoveryd.protocol.table.grace import LONGEST, Grace, GraceRule
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import boot, hello, make_node, row_of, source

HERE = source("10.0.0.9")
PHONE = Record(name="phone", tags={"role": "phone"})
MINUTE = 60.0


@pytest.fixture
def node():
    made = make_node(proved=True)
    made.set_grace((GraceRule(tags={"role": "phone"}, seconds=20 * MINUTE),))
    return made


class Told:
    """What a table tells of one peer, as time goes on."""

    def __init__(self, node, record=PHONE):
        self.table, self.node, self.record, self.seq, self.events = node.table, node, record, 0, []

    def hear(self, now, number=1, **more):
        self.seq += 1
        said = hello(number, "phone", self.seq, self.record, **more)
        self.events += self.table.heard(said, HERE, now, proved=True)

    def wait(self, until):
        """Let time pass as a driver does, from one thing that is due to the next."""
        while (due := self.table.next_expiry()) <= until:
            self.events += self.table.expire(due)
        self.events += self.table.expire(until)

    def kinds(self):
        found, self.events = [event.kind for event in self.events], []
        return found

    def state(self, now):
        return row_of(self.table).state_at(now)


def test_a_phone_that_sleeps_for_ten_minutes_is_down_and_silent(node):
    told = Told(node)
    told.hear(0.0)
    told.wait(10 * MINUTE)
    assert told.state(10 * MINUTE) == "down"
    assert node.peers(10 * MINUTE) == ()
    told.hear(10 * MINUTE)
    assert told.state(10 * MINUTE) == "up"
    told.wait(10 * MINUTE + 1)
    assert told.kinds() == ["joined"]
    told.wait(40 * MINUTE)
    assert told.kinds() == ["down"]


def test_one_that_stays_away_for_25_minutes_is_told_once(node):
    told = Told(node)
    told.hear(0.0)
    told.wait(20 * MINUTE - 0.1)
    assert told.kinds() == ["joined"]
    told.wait(20 * MINUTE)
    [event] = told.events
    assert (event.kind, event.peer.last_heard_s) == ("down", 20 * MINUTE)
    assert event.reason == "not heard for its ttl of 4 s; its grace is over"
    told.wait(25 * MINUTE)
    told.hear(25 * MINUTE)
    assert told.kinds() == ["down", "recovered"]


def test_a_goodbye_waits_too(node):
    told = Told(node)
    told.hear(0.0)
    told.hear(1.0, goodbye=True)
    told.wait(19 * MINUTE)
    assert told.kinds() == ["joined"]
    told.wait(21 * MINUTE)
    assert told.kinds() == ["left"]


def test_one_that_comes_back_with_a_new_boot_was_restarted(node):
    told = Told(node)
    told.hear(0.0)
    told.wait(10 * MINUTE)
    told.hear(10 * MINUTE, 2)
    [_, event] = told.events
    assert (event.kind, event.former, event.peer.boot, event.reason) == ("restarted", boot(1), boot(2), "back with a new boot on eth0")


def test_a_grace_longer_than_the_memory_of_the_table_holds():
    node = make_node(proved=True)
    told = Told(node)
    told.hear(0.0)
    node.maintain("phone", 3 * 3600.0, 1.0)
    told.wait(3 * 3600.0)
    assert row_of(node.table).state == "down"
    assert told.kinds() == ["joined"]
    told.wait(3 * 3600.0 + 2)
    assert told.kinds() == ["down"]
    assert row_of(node.table) is None


def test_a_peer_that_no_rule_covers_is_told_at_once(node):
    told = Told(node, Record(name="server", tags={"role": "db"}))
    told.hear(0.0)
    told.wait(5.0)
    assert told.kinds() == ["joined", "suspect", "down"]


def test_what_never_answered_is_given_no_time():
    node = make_node()
    node.set_grace((GraceRule(name="*", seconds=600.0),))
    events = [*node.table.heard(hello(1, "phone", record=PHONE), HERE, 0.0), *node.table.expire(30.0)]
    assert [event.kind for event in events][-1] == "down"


def test_maintenance_waits_for_one_peer_until_its_end(node):
    told = Told(node, Record(name="server"))
    told.hear(0.0)
    node.maintain("phone", 3600.0, 1.0)
    told.wait(30 * MINUTE)
    assert told.kinds() == ["joined"]
    told.wait(3601.0)
    assert told.kinds() == ["down"]


def test_maintenance_that_is_ended_early_tells_what_waits(node):
    told = Told(node, Record(name="server"))
    told.hear(0.0)
    node.maintain("phone", 3600.0, 1.0)
    told.wait(30.0)
    assert [event.kind for event in node.maintain("phone", 0.0, 31.0).events] == ["down"]
    assert told.kinds() == ["joined"]


def test_other_rules_hold_for_what_waits(node):
    told = Told(node)
    told.hear(0.0)
    told.wait(60.0)
    node.set_grace((GraceRule(name="ph*", seconds=120.0),))
    told.wait(119.0)
    assert told.kinds() == ["joined"]
    told.wait(120.0)
    assert told.kinds() == ["down"]
    told.hear(121.0)
    told.wait(180.0)
    node.set_grace(())
    told.wait(181.0)
    assert told.kinds() == ["recovered", "down"]


def test_a_forgotten_peer_is_told_to_be_gone_first(node):
    told = Told(node)
    told.hear(0.0)
    told.wait(60.0)
    assert [event.kind for event in node.forget("phone", 61.0).events] == ["down"]
    assert row_of(node.table) is None
    told.hear(62.0, 2)
    assert node.forget("phone", 63.0).events == ()
    assert row_of(node.table, 2).state == "up"


def test_those_who_begin_to_follow_are_told_what_others_were(node):
    """A peer whose absence waits is in the snapshot, else its return would never be told to that reader."""
    told = Told(node)
    told.hear(0.0)
    told.wait(60.0)
    assert node.peers(60.0) == ()
    [peer] = node.told_peers(60.0)
    assert (peer.id, peer.state, peer.last_heard_s) == ("phone", "up", 60.0)
    told.hear(61.0)
    assert [one.state for one in node.told_peers(61.0)] == ["up"]


def test_an_engine_with_much_that_waits_is_never_busy(node):
    for number in range(1, 51):
        node.table.heard(hello(number, f"p{number}", record=PHONE), source(f"10.0.1.{number}"), 0.0, proved=True)
    node.table.expire(2.2)
    node.table.expire(5.0)
    assert node.table.next_expiry() == pytest.approx(20 * MINUTE)
    assert len(node.table.expire(20 * MINUTE)) == 50
    assert node.table.next_expiry() > 20 * MINUTE


def test_findings_about_a_peer_wait_as_well():
    grace = Grace()
    grace.rules = (GraceRule(name="phone", seconds=600.0),)
    node = make_node(proved=True)
    node.table.heard(hello(1, "phone", record=PHONE), HERE, 100.0, proved=True)
    row = row_of(node.table)
    assert [grace.spares(row, now) for now in (100.0, 699.0, 701.0)] == [True, True, False]
    grace.maintain("phone", 900.0, 700.0)
    assert [grace.spares(row, now) for now in (701.0, 899.0, 901.0)] == [True, True, False]


def test_peers_under_maintenance_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_MAINTAINED", 3)
    grace = Grace()
    for number in range(5):
        grace.maintain(f"n{number}", 100.0, 0.0)
    assert list(grace.maintained) == ["n2", "n3", "n4"]
    grace.maintain("n4", 0.0, 50.0)
    assert list(grace.maintained) == ["n2", "n3"]
    grace.maintain("n9", 300.0, 150.0)
    assert list(grace.maintained) == ["n9"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"seconds": 5.0}, "which peers"), ({"seconds": 0.5, "name": "a"}, "for: must be 1s"), ({"seconds": LONGEST + 1, "name": "a"}, "168h")],
)
def test_a_rule_that_means_nothing_is_refused(given, problem):
    with pytest.raises(ConfigError, match=problem):
        GraceRule(**given)


def test_each_condition_of_a_rule_must_hold():
    rule = GraceRule(tags={"role": "phone"}, name="ph*", seconds=5.0)
    node = make_node(proved=True)
    for number, record in enumerate((PHONE, Record(name="phone"), Record(name="tablet", tags={"role": "phone"})), 1):
        node.table.heard(hello(number, f"n{number}", record=record), source(f"10.0.1.{number}"), 0.0, proved=True)
    assert [rule.covers(row_of(node.table, number)) for number in (1, 2, 3)] == [True, False, False]
