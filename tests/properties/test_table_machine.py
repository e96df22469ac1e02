"""PeerTable against a model that anyone can check by reading: a dict of what was heard last.

Each node keeps to its own address here, and a boot that was replaced says nothing any more but late
goodbyes; clones have tests of their own. Events are held back of a name that flaps: the mirror that
follows them alone is right about all others at every moment, and about all of them in the end.
"""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from discoveryd.errors import WireError
from discoveryd.protocol.table.liveness import SUSPECT_INTERVALS
from discoveryd.protocol.table.standing import DOUBT, LEAST_LIFE
from tests.protocol.samples import ProvedTable, boot, hello, source

NAMES = ("a", "b", "c", "d", "e", "f")
SUSPECT_AFTER = SUSPECT_INTERVALS * 0.8
LIMIT = 4
REMEMBER = 8.0

names = st.sampled_from(NAMES)
TTLS = (1.5, 4.0, 6.5)
ttls = st.sampled_from(TTLS)  # like the pauses exact in binary: the model need not round


@dataclass
class Heard:
    """What the model knows of one name: the last thing heard, and from which boot."""

    key: str
    ttl: float
    at: float
    agreed: float  # the ttl it had when it answered last: another one waits for an answer, a shorter one that long
    announced_at: float
    seq: int = 0
    state: str = "up"
    is_leaving: bool = False  # it is asked whether a goodbye is its own
    doubted_until: float = 0.0  # a goodbye that comes before that is asked about

    @property
    def over(self):
        """Give the end of what was heard last."""
        return self.at + max(self.ttl, self.agreed)

    def announce(self, ttl, now):
        """Take another ttl."""
        if ttl != self.ttl:
            self.ttl, self.announced_at = ttl, now

    def answer(self, now):
        """Take an answer."""
        if now >= self.announced_at + min(self.agreed, LEAST_LIFE):
            self.agreed = self.ttl
        if self.state == "left" or self.is_leaving:
            self.doubted_until = now + DOUBT
        self.at, self.state, self.is_leaving = now, "up", False

    def state_at(self, now):
        """Give the state; one that is up is suspect after a while, and while it is asked whether it leaves."""
        is_suspect = self.is_leaving or now >= self.at + SUSPECT_AFTER
        return "suspect" if self.state == "up" and is_suspect else self.state


class TableMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.table = ProvedTable(limit=LIMIT, remember=REMEMBER)
        self.now = 0.0
        self.model = {}
        self.gone = []  # names, the longest gone first
        self.boots = {name: 100 * number for number, name in enumerate(NAMES, 1)}
        self.mirror = {}  # kept by events alone
        self.count = 0

    # --- the model -------------------------------------------------------------------------------

    def tidy(self):
        """Let the model forget what is over; those that fell silent go in that order."""
        silent = [name for name, one in self.model.items() if one.state == "up" and self.now >= one.over]
        for name in sorted(silent, key=lambda name: self.model[name].over):
            self.model[name].state = "down"
            self.gone.append(name)
        for name in list(self.gone):
            if self.now >= self.model[name].at + max(REMEMBER, self.model[name].ttl):
                self.forget(name)

    def forget(self, name):
        del self.model[name]
        self.gone.remove(name)

    def has_room(self):
        while len(self.model) >= LIMIT:
            if not self.gone:
                return False
            self.forget(self.gone[0])
        return True

    # --- the table -------------------------------------------------------------------------------

    def expire(self):
        self.apply(self.table.expire(self.now))
        assert self.table.next_expiry() > self.now
        assert self.table.expire(self.now) == ()
        self.tidy()

    def hear(self, said, name):
        self.expire()
        self.apply(self.table.heard(said, self.source(name), self.now))

    def source(self, name):
        return source(f"10.0.0.{NAMES.index(name) + 1}")

    def apply(self, events):
        for event in events:
            self.count += 1
            assert event.seq == self.count
            key, peer = event.peer.boot or event.peer.address, event.peer
            if event.kind == "restarted":
                assert [event.former] == [boot for boot, one in self.mirror.items() if one.id == peer.id]
                del self.mirror[event.former]
            else:
                assert event.former not in self.mirror
            if event.kind in ("down", "left"):
                assert event.kind == peer.state
                del self.mirror[key]
                continue
            if event.kind in ("joined", "restarted"):
                assert key not in self.mirror
            elif event.kind == "recovered":
                assert key not in self.mirror or self.mirror[key].state == "suspect"
            else:
                assert key in self.mirror
            assert peer.state in ("up", "suspect") or event.kind == "restarted"
            self.mirror[key] = peer

    def told(self):
        """Give what the mirror knows for sure: all but those whose events are held back."""
        held = {one.row.id for one in self.table.event_log.suppressed.values()}
        return {key: peer.state for key, peer in self.mirror.items() if peer.id not in held}, held

    # --- what may happen -------------------------------------------------------------------------

    @rule(pause=st.sampled_from((0.0625, 0.5, 0.75, 1.5, 4.0, 9.0)))
    def time_passes(self, pause):
        self.now += pause

    @rule()
    def the_timer_runs(self):
        self.expire()

    @rule(name=names, ttl=ttls, full=st.booleans())
    def a_hello_comes(self, name, ttl, full):
        self.expire()
        one = self.model.get(name)
        said = hello(self.boots[name], name, one.seq + 1 if one else 1, full=full, ttl=ttl)
        if one is None and not self.has_room():
            self.is_refused(said, name, "table-full")
            return
        self.hear(said, name)
        if one is None:
            one = self.model[name] = Heard(boot(self.boots[name]), ttl, self.now, ttl, self.now)
        elif one.state != "up":
            self.gone.remove(name)
        one.announce(ttl, self.now)
        one.at, one.seq, one.state, one.is_leaving = self.now, said.seq, "up", False

    @rule(name=names, back=st.sampled_from((0, 1)), ttl=ttls)
    def a_hello_comes_again_or_was_overtaken(self, name, back, ttl):
        self.expire()
        one = self.model.get(name)
        if one is None or one.seq < 1:
            return
        said = hello(self.boots[name], name, one.seq - back, ttl=ttl)
        if one.state == "up":
            self.hear(said, name)
            one.announce(one.ttl if back else ttl, self.now)  # what the same beat says anew is not older than it
            self.expire()
        else:
            self.is_refused(said, name, "stale")

    @rule(name=names)
    def a_goodbye_comes(self, name):
        self.expire()
        one = self.model.get(name)
        self.hear(hello(self.boots[name], name, one.seq if one else 1, full=False, goodbye=True), name)
        if one is None or one.state != "up":
            return
        if self.now < one.doubted_until:
            one.is_leaving = True
            return
        one.state, one.at = "left", self.now
        self.gone.append(name)

    @rule(name=names, ttl=ttls)
    def a_node_restarts(self, name, ttl):
        self.expire()
        one = self.model.get(name)
        if one is None:
            return
        if one.state != "up":
            self.forget(name)
        elif not self.has_room():  # its former boot stays, unseen, until its ttl is over
            return
        self.boots[name] += 1
        self.hear(hello(self.boots[name], name, 1, ttl=ttl), name)
        if one.state == "up":
            # the model knows of no unseen rows: a late goodbye makes this one go at once
            self.hear(hello(self.boots[name] - 1, name, 99, full=False, goodbye=True), name)
            del self.model[name]  # a new row, hence the last among those that fall silent at one moment
        self.model[name] = Heard(boot(self.boots[name]), ttl, self.now, ttl, self.now, seq=1)

    @rule(name=names)
    def the_goodbye_of_a_former_boot_comes_late(self, name):
        self.hear(hello(self.boots[name] - 1, name, 99, full=False, goodbye=True), name)

    @rule(name=names, rtt=st.sampled_from((0.001, 0.001, 100.0)))
    def a_pong_comes(self, name, rtt):
        self.expire()
        one, row = self.model.get(name), self.table.get(name, boot(self.boots[name]))
        if row is not None:
            self.apply(self.table.answered(row, self.source(name), rtt, 0.1, two_way=True, now=self.now))
        # what was asked before the goodbye says nothing of what came after it
        if one is not None and (one.state != "left" or self.now - rtt > one.at - 1e-6):
            if one.state != "up":
                self.gone.remove(name)
            one.answer(self.now)

    def is_refused(self, said, name, reason):
        with pytest.raises(WireError, match=reason):
            self.hear(said, name)

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def those_up_are_those_heard_within_their_ttl(self):
        up = {one.key for one in self.model.values() if one.state == "up" and self.now < one.over}
        assert {peer.boot for peer in self.table.peers(self.now)} == up
        assert self.table.live_count(self.now) == len(up)
        counts = self.table.counts(self.now)
        assert counts["up"] + counts["suspect"] == len(up)
        for peer in self.table.peers(self.now):
            assert 0 < peer.expires_s <= max(TTLS)

    @invariant()
    def nothing_is_due_before_the_next_expiry(self):
        due = [one.over for one in self.model.values() if one.state == "up"]
        assert self.table.next_expiry() <= min(due, default=float("inf"))

    @invariant()
    def after_the_timer_all_states_are_right_and_events_told_them(self):
        self.expire()
        states = {peer.boot: peer.state for peer in self.table.peers(self.now, gone=True)}
        assert states == {one.key: one.state_at(self.now) for one in self.model.values()}
        told, held = self.told()
        live = {one.key for name, one in self.model.items() if one.state == "up" and name not in held}
        assert told == {key: states[key] for key in live}
        assert len(self.table) <= LIMIT
        assert self.table.next_expiry() > self.now
        expected = {path.row.boot for path in self.table.steady.values() if path.stamp == path.row.stamp}
        assert expected <= {key for key in states if states[key] == "up"}
        paths = [path for row in self.table.rows(self.now, gone=True) for path in row.paths]
        assert len(self.table.steady) <= len(paths)

    def teardown(self):
        """In the end all is told."""
        if not hasattr(self, "table"):
            return
        self.now += 100.0
        self.expire()
        assert self.mirror == {}
        assert self.table.event_log.suppressed == {}


TestTable = TableMachine.TestCase


# --- what hypothesis found once, and would have to find again --------------------------------------


def play(*steps):
    """Run rules of the machine in this order, and hold its invariants after each of them."""
    machine = TableMachine()
    machine.begin()
    for rule_name, *arguments in steps:
        getattr(machine, rule_name)(*arguments)
        machine.those_up_are_those_heard_within_their_ttl()
        machine.nothing_is_due_before_the_next_expiry()
        machine.after_the_timer_all_states_are_right_and_events_told_them()
    return machine


def test_one_expiry_ends_and_forgets_a_flapping_peer():
    hello_a, goodbye, restart = ("a_hello_comes", "a", 1.5, False), ("a_goodbye_comes", "a"), ("a_node_restarts", "a", 1.5)
    four = [goodbye] * 4
    flaps = [hello_a, restart, *four, restart, *four, restart, goodbye, restart, goodbye, hello_a, *four, restart]
    machine = play(*flaps, ("time_passes", 9.0))
    assert len(machine.table) == 0
    assert machine.mirror == {}  # the two events that were held back came with the expiry that forgot the row


def test_a_goodbye_after_a_forged_one_is_asked_about():
    goodbye = ("a_goodbye_comes", "b")
    machine = play(("a_hello_comes", "b", 1.5, False), goodbye, ("time_passes", 0.0625), ("a_pong_comes", "b", 0.001), goodbye)
    assert [peer.state for peer in machine.table.peers(machine.now)] == ["suspect"]


def test_of_rows_gone_together_the_oldest_makes_room():
    machine = play(
        ("a_hello_comes", "a", 1.5, False),
        ("a_hello_comes", "c", 1.5, False),
        ("a_node_restarts", "a", 1.5),  # from here on its row is newer than that of c
        ("time_passes", 1.5),
        ("a_hello_comes", "b", 1.5, False),
        ("a_hello_comes", "d", 1.5, False),
        ("a_node_restarts", "b", 1.5),  # both boots are kept until the goodbye: one row more than there is room for
    )
    assert [peer.id for peer in machine.table.peers(machine.now, gone=True)] == ["a", "d", "b"]
    machine.teardown()
