"""The shortcut for steady HELLOs is one: a node that is made to forget it knows and says just the same.

The same run checks what a driver relies on: before `next_deadline` there is nothing to do.
"""

from math import nextafter
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.wire.messages import Pong
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import boot, hello, row_of

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
ETH1 = Link("eth1", 3, "10.1.0.1", 24, "10.1.0.255")
LINKS = ((ETH0, ETH1), (ETH0, ETH1), (ETH0, ETH1), (ETH0,))
# each boot may be heard by each of them: several paths, clones and moves come out of that
SOURCES = (
    Source("10.0.0.7", ETH0),
    Source("10.0.0.7", ETH0, unicast=True),
    Source("10.1.0.7", ETH1),
    Source("10.0.0.8", ETH0),
    Source("192.0.2.7", None),
)
RECORDS = (Record(name="a"), Record(name="a", tags={"x": "y"}))

says = st.fixed_dictionaries(
    {
        "number": st.sampled_from((1, 1, 1, 2, 3)),
        "seq": st.sampled_from((0, 1, 1, 1, 1, 1, -1, -2)),  # to the one before
        "record": st.sampled_from((0, 0, 0, 1)),
        "full": st.sampled_from((False, False, False, True)),
        "ttl": st.sampled_from((4.0, 4.0, 4.0, 2.0)),
        "flag": st.sampled_from(("",) * 8 + ("solicit", "goodbye")),
        "end": st.sampled_from((b"",) * 12 + (b"0", b"0", b"x", b"99999999")),
    }
)
steps = st.tuples(
    st.sampled_from((0.0, 0.05, 0.4, 0.8, 0.8, 1.7, 3.9)),
    st.sampled_from((0, 0, 0, 1, 2, 2, 3, 4)),
    says | st.sampled_from(("bare", "ping", "pong", "links")),
)


def make_node():
    parameters = Parameters(limits=Limits(peers=4, answers=5, newcomers=3, remember=6.0))
    node = Node(parameters, Record(name="me"), node_id="me", random=Random(0))
    node.set_links(LINKS[0], now=0.0)
    return node


def forget_shortcuts(node):
    for path in node.table.steady.values():
        path.row.changed()


class Pair:
    """A node, and one without shortcuts, that live through the same."""

    def __init__(self):
        self.fast, self.slow = make_node(), make_node()
        for node in (self.fast, self.slow):  # what comes by the short way fills no account of bytes, so there is none
            node.credit.spend = lambda *_: True
        self.now = 0.0
        self.seqs = {1: 5, 2: 5, 3: 5}
        self.nonce = ""

    def both(self, act):
        forget_shortcuts(self.slow)
        fast, slow = act(self.fast), act(self.slow)
        assert fast == slow
        self.compare()
        return fast

    def compare(self):
        for gone in (False, True):
            assert self.fast.peers(self.now, gone=gone) == self.slow.peers(self.now, gone=gone)
        assert self.fast.received == self.slow.received
        assert self.fast.drops == self.slow.drops
        assert self.fast.sent == self.slow.sent
        counters = [[(o.name, o.received, o.last_heard) for o in node.outlets] for node in (self.fast, self.slow)]
        assert counters[0] == counters[1]

    def advance(self, until):
        """Poll at each deadline; before it there is nothing to do, and what was told holds."""
        while (due := min(self.fast.next_deadline(), self.slow.next_deadline())) <= until:
            before = nextafter(due, -1.0)
            if before > self.now:
                self.now = before
                check_told(self.fast, before)
                assert self.both(lambda node, at=before: node.poll(at)) is NOTHING
            self.now = due
            self.both(lambda node, at=due: node.poll(at))
        self.now = until
        check_told(self.fast, until)
        self.compare()

    def step(self, what, source):
        match what:
            case "bare":
                self.both(lambda node: node.receive(b"HELLO|", source, self.now))
            case "ping":
                rows = [row_of(node.table, 1) for node in (self.fast, self.slow)]
                if None not in rows:
                    self.nonce = self.both(lambda node: node.ping(row_of(node.table, 1), self.now))[0]
            case "pong":
                for number in (1, 2):
                    pong = Pong(realm="default", boot=boot(number), nonce=self.nonce or boot(0), heard_ms=5)
                    self.both(lambda node, pong=pong: node.receive(pong.encode(), source, self.now))
            case "links":
                for links in (LINKS[3], LINKS[0]):
                    self.both(lambda node, links=links: node.set_links(links, self.now))
            case _:
                datagram = self.hello(**what)
                self.both(lambda node: node.receive(datagram, source, self.now))

    def hello(self, number, seq, record, full, ttl, flag, end):
        self.seqs[number] = max(0, self.seqs[number] + seq)
        flags = {flag: True} if flag else {"quiet": full and self.seqs[number] % 2 == 0}
        said = hello(number, "a", self.seqs[number], RECORDS[record], full=full, ttl=ttl, **flags)
        return said.encode() + (end if not full else b"")


def check_told(node, now):
    """Without an event since, nothing has changed that an event would tell."""
    for row in node.table.rows(now, gone=True):
        assert row.state_at(now) == row.state
        if row.state in LIVE and row.key not in node.table.event_log.suppressed:
            seen = row.lasting(now)
            digest = row.record.digest if row.record else ""
            assert row.announced == (row.state, row.boot, row.clone, digest, seen.addresses, seen.two_way is False, "", False, row.shared, row.record)
            assert row.peer(now).addresses == seen.addresses


SAID = {"number": 1, "seq": 0, "record": 0, "full": False, "ttl": 4.0, "flag": "", "end": b""}
AGAIN = SAID | {"full": True, "ttl": 2.0}


@given(st.lists(steps, min_size=10, max_size=80))
# a sender beyond our links that never answered: each of its HELLOs is a reason to ask
@example([(0.0, 0, SAID), (0.0, 0, SAID), (0.0, 4, AGAIN), (0.4, 4, AGAIN), (0.0, 0, "bare")])
def test_the_fast_path_equals_the_slow_path(script):
    play(script)


def play(script):
    pair = Pair()
    for pause, source, what in script:
        pair.advance(pair.now + pause)
        pair.step(what, SOURCES[source])
    pair.advance(pair.now + 30.0)
    assert pair.fast.peers(pair.now, gone=True) == ()
    assert pair.fast.table.steady == {}
    assert pair.fast.table.next_expiry() == NEVER


def says_steadily(number=1, seq=1, **other):
    return {"number": number, "seq": seq, "record": 0, "full": False, "ttl": 4.0, "flag": "", "end": b""} | other


def test_loss_measured_on_the_fast_path_changes_the_best_path():
    script = [(0.0, 0, says_steadily(full=True)), (0.0, 2, says_steadily(seq=0))]
    for beat in range(20):  # eth1 hears each, eth0 every other one
        script.append((0.8, 2, says_steadily()))
        if beat % 2:
            script.append((0.0, 0, says_steadily(seq=0)))
    play(script)


def test_a_suppressed_event_has_one_moment():
    play(
        [
            (0.0, 0, says_steadily(2)),
            (0.4, 0, says_steadily(full=True)),
            (0.4, 3, says_steadily(2)),
            (0.8, 3, says_steadily(2)),
            (0.4, 0, "bare"),
            (0.8, 3, says_steadily(2)),
            (0.4, 3, says_steadily(3)),
            (0.4, 0, says_steadily()),
            (0.8, 2, says_steadily()),
            (0.05, 2, says_steadily()),
        ]
    )


def test_a_restored_boot_becomes_suspect_in_time():
    play(
        [
            (0.0, 0, says_steadily(2)),
            (0.0, 0, says_steadily()),
            (0.0, 0, says_steadily(3)),
            (0.4, 0, says_steadily(2)),
            (0.8, 0, says_steadily()),
            (0.8, 0, says_steadily()),
        ]
    )


def test_the_comparison_takes_the_fast_path():
    pair = Pair()
    for _ in range(20):
        pair.advance(pair.now + 0.8)
        pair.step({"number": 1, "seq": 1, "record": 0, "full": False, "ttl": 4.0, "flag": "", "end": b""}, SOURCES[0])
        if pair.now < 1:
            pair.step({"number": 1, "seq": 0, "record": 0, "full": True, "ttl": 4.0, "flag": "", "end": b""}, SOURCES[0])
    assert pair.fast.hello_rate.steady >= 18
    assert pair.slow.hello_rate.steady == 0
