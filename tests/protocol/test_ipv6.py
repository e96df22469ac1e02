"""Nodes that speak IPv4 and IPv6 on one cable: which beats go where, one row of two paths, and what hides neither."""

import json

import pytest

from discoveryd.protocol.ipv6 import Ipv6Pace, at_pace, is_served
from discoveryd.protocol.link import LinkState
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ETH1, boot, hello, source
from tests.protocol.two_families import Ipv6Segment, TwoFamilies, four, six

RING = Keyring(keys=(Key(bytes(32)),), mode="require", send_with=Key(bytes(32)).id)


def lost(lan, family, sender=None, receiver=None, *, to_all_alone=False):
    """Lose from now on what one sends to another by a family; None for any."""

    def loses(source, to, is_to_all):
        place = {"ipv4": four, "ipv6": six}[family]
        return (
            (sender is None or source == place(sender))
            and (receiver is None or to == place(receiver))
            and (is_to_all or not to_all_alone)
        )

    lan.segments[family].loses_of = loses


def healed(lan):
    for segment in lan.segments.values():
        segment.loses_of = lambda *_: False


@pytest.fixture
def pair():
    """Two nodes that have found each other by both families."""
    return TwoFamilies(2).run(30.0)


def test_both_families_are_one_peer(pair):
    a = pair.machines[0]
    [peer] = a.peers().values()
    assert (peer.address, peer.addresses, peer.state) == (four(2), (four(2), six(2)), "up")
    assert [(path.address, path.two_way) for path in peer.paths] == [(four(2), True), (six(2), True)]
    assert (peer.interval_s, peer.ttl_s) == (0.8, 4.0)
    assert a.kinds() == ["joined", "updated"]  # the second address


@pytest.mark.parametrize("count", [2, 12])
def test_ipv6_costs_a_tenth(count):
    lan = TwoFamilies(count).run(70.0)
    assert 1.1 <= lan.four.rate(10, 70) / count <= 1.4
    assert 0.1 <= lan.six.rate(10, 70) / count <= 0.15
    for machine in lan.machines:
        assert (lan.four.rate(10, 70, four(machine.number)) + lan.six.rate(10, 70, six(machine.number))) <= 1.5
        assert {peer.state for peer in machine.peers().values()} == {"up"}
        assert set(machine.kinds()) == {"joined", "updated"}
        assert machine.kinds(since=5.0) == []


def test_a_solicit_by_both_families_is_answered_once():
    lan, asked = TwoFamilies(4), []
    for segment in lan.segments.values():
        arrive = segment.arrive
        segment.arrive = lambda sender, to, datagram, arrive=arrive: (asked.append(datagram), arrive(sender, to, datagram))
    lan.run(0.05)
    answers = [datagram for datagram in asked if datagram.startswith(b"HELLO")]
    assert len(answers) <= 4 * 3 * 1.5  # each of four asks three; where IPv6 is faster by chance it is answered as well


@pytest.mark.parametrize(
    ("address", "ago", "is_it"), [(six(7), 0.01, True), (six(7), 0.06, False), (four(7), 0.01, False)]
)
def test_a_solicit_is_answered_by_the_family_it_came_by_first(address, ago, is_it):
    table = PeerTable()
    table.heard(hello(), source(four(7)), 10.0)
    assert is_served(table.by_key["web1", boot(1)], source(address), 10.0 + ago) is is_it


def test_a_beat_by_ipv6_says_its_pace(pair):
    at, _, datagram = pair.six.said[-1]
    told = decode(datagram)
    assert at > 10
    assert (told.interval_ms, told.ttl_ms, told.lasting, told.seq % 10, told.quiet) == (8000, 40_000, "t", 0, True)
    assert told.record is not None


@pytest.mark.parametrize("families", [("ipv6",), ("ipv4",)])
def test_one_family_alone_has_every_beat(families):
    lan = TwoFamilies(3, families=families).run(70.0)
    [segment] = lan.segments.values()
    assert 1.1 <= segment.rate(10, 70) / 3 <= 1.4
    assert all(len(machine.peers()) == 2 for machine in lan.machines)
    lan.machines[0].act(lan.machines[0].node.goodbye())
    lan.machines[0].end()
    lan.machines[1].end()
    lan.run(75.0)
    assert [kind for _, kind, _ in lan.machines[2].told[-3:]] == ["left", "suspect", "down"]


@pytest.mark.parametrize("keyring", [None, RING], ids=["plain", "sealed"])
def test_a_machine_that_vanishes_is_missed_as_soon(keyring):
    more = {} if keyring is None else {"keyring": keyring}
    both, alone = TwoFamilies(2, **more), TwoFamilies(2, families=("ipv4",), **more)
    took = []
    for lan in (both, alone):
        lan.run(60.0)
        lan.machines[1].end()
        lan.run(70.0)
        [(down, _, _)] = [one for one in lan.machines[0].told if one[1] == "down"]
        took.append(down - 60.0)
        assert "probes unanswered" in lan.machines[0].reasons[-1]  # before the ttl is over
    assert took[0] <= took[1] + 0.8  # the last beat was at another moment
    assert took[0] < 4.0


def test_a_goodbye_goes_by_both(pair):
    b = pair.machines[1]
    lost(pair, "ipv4")
    b.act(b.node.goodbye())
    pair.run(30.01)
    assert pair.machines[0].kinds(since=30.0) == ["left"]


def test_ipv4_lost_in_one_direction_hides_nobody(pair):
    a, b = pair.machines
    lost(pair, "ipv4", sender=1)
    pair.run(60.0)
    assert "down" not in a.kinds(since=30.0) + b.kinds(since=30.0)
    assert a.paths("n2")[four(2)].two_way is False  # it hears b, but b does not hear it
    assert a.paths("n2")[six(2)].two_way is True
    assert list(b.paths("n1")) == [six(1)]
    assert b.peers()["n1"].address == six(1)
    assert b.peers()["n1"].interval_s == 0.8
    for machine in (a, b):  # each beat goes by IPv6 now
        assert pair.six.rate(50, 60, six(machine.number)) >= 1.1
    events = len(a.told + b.told)
    pair.run(160.0)
    assert len(a.told + b.told) == events  # and it stays like that
    healed(pair)
    pair.run(260.0)
    assert b.peers()["n1"].address == four(1)
    assert pair.six.rate(240, 260, six(1)) <= 0.15


def test_ipv4_lost_while_each_beat_goes_by_both_is_noticed():
    lan = TwoFamilies(2).run(1.2)
    a, b = lan.machines
    lost(lan, "ipv4", sender=1)
    lan.run(15.0)
    assert a.paths("n2")[four(2)].two_way is False
    assert lan.six.rate(10, 15, six(1)) >= 1
    assert b.peers()["n1"].interval_s == 0.8


def test_ipv4_cut_off_hides_nobody_and_ipv6_keeps_every_beat(pair):
    lost(pair, "ipv4")
    pair.run(40.0)
    for machine, other in zip(pair.machines, (2, 1), strict=True):
        [peer] = machine.peers().values()
        assert (peer.address, peer.state, peer.interval_s) == (six(other), "up", 0.8)
        assert "down" not in machine.kinds()
        assert pair.six.rate(34, 40, six(machine.number)) >= 1
    pair.machines[1].end()
    pair.run(45.0)
    assert pair.machines[0].kinds(since=40.0) == ["suspect", "down"]


def test_the_text_that_is_kept_is_true_at_each_moment(pair):
    [row] = pair.machines[0].node.table.rows(30.0)
    seen = set()
    for step in range(400):
        pair.run(now := 30.0 + step * 0.1)
        told, peer = json.loads(row.text(now) + "}"), row.peer(now)
        assert (told["address"], told["addresses"], told["state"]) == (peer.address, [*peer.addresses], peer.state)
        seen.add(peer.address)
        if step in (50, 250):
            lost(pair, "ipv4", sender=2 if step == 50 else 99)
    assert seen == {four(2), six(2)}


def test_the_text_tells_a_path_that_fell_silent_without_a_timer():
    table = PeerTable()
    for beat in range(1, 6):
        for where in (source("10.0.0.7"), source("10.1.0.7", ETH1))[beat > 3 :]:
            table.heard(hello(seq=beat), where, beat * 0.8, proved=True)
    row = table.by_key["web1", boot(1)]
    told = [json.loads(row.text(now) + "}")["address"] for now in (4.1, 4.2)]
    assert told == ["10.0.0.7", "10.1.0.7"]  # stale after 2.2 intervals, and the other is not


def test_a_switch_that_eats_broadcasts_hides_nobody():
    lan = TwoFamilies(3)
    lost(lan, "ipv4", to_all_alone=True)
    lan.run(30.0)
    for machine in lan.machines:
        assert {peer.address for peer in machine.peers().values()} == {six(n) for n in (1, 2, 3) if n != machine.number}
        assert set(machine.kinds()) == {"joined"}
        assert lan.six.rate(10, 30, six(machine.number)) >= 1.1


def test_broadcasts_lost_in_one_direction_are_noticed(pair):
    a, b = pair.machines
    lost(pair, "ipv4", sender=1, to_all_alone=True)  # what is for one passes
    pair.run(120.0)
    assert (a.paths("n2")[four(2)].two_way, b.peers()["n1"].address) == (False, six(1))
    assert pair.six.rate(100, 120, six(1)) >= 1.1
    assert b.peers()["n1"].interval_s == 0.8


def test_ipv6_lost_changes_nothing_but_an_address(pair):
    lost(pair, "ipv6")
    pair.run(120.0)
    a = pair.machines[0]
    assert a.peers()["n2"].addresses == (four(2),)
    assert a.kinds(since=30.0) == ["updated"]
    assert pair.six.rate(60, 120, six(1)) <= 0.15


@pytest.mark.parametrize("seed", range(2))
def test_loss_on_both_families_gives_no_false_alarm(seed):
    lan = TwoFamilies(3, loss=0.2, seed=seed).run(300.0)
    for machine in lan.machines:
        assert "down" not in machine.kinds()
        assert len(machine.peers()) == 2
        for peer in machine.peers().values():
            assert {path.address for path in peer.paths} >= {peer.address}
            assert all(path.loss is None or 0.0 <= path.loss < 0.6 for path in peer.paths)


def test_what_is_said_beside_the_beats_has_the_pace_of_its_way(pair):
    a = pair.machines[0].node
    a.set_record(Record(name="other"), 30.0)
    pair.machines[0].poll()
    for segment, told in ((pair.four, (800, "")), (pair.six, (8000, "t"))):
        burst = decode(segment.said[-1][2])
        assert (burst.interval_ms, burst.lasting) == told
        source = next(path.source for path in a.table.by_key[pair.machines[1].node.id, pair.machines[1].node.boot].paths
                      if path.link and path.is_of_family(segment.link(1).address))  # fmt: skip
        assert (decode(a.outbox.hello_to(source, full=True).datagram).interval_ms) == told[0]


def test_the_loss_of_a_slow_path_is_counted_in_tens(pair):
    for until in range(40, 310, 10):
        pair.run(until)
        assert all(path.two_way for machine in pair.machines for peer in machine.peers().values() for path in peer.paths)
    for machine in pair.machines:
        assert machine.node.sent["ping"] <= 2 * 7  # each path in its turn, none in doubt: that comes each 5 s
    losses = {address: path.loss for address, path in pair.machines[0].paths("n2").items()}
    assert losses == {four(2): 0.0, six(2): 0.0}


def test_a_slow_path_is_two_way_for_its_own_ttl(pair):
    """A PONG by IPv6 says when a HELLO came by IPv6: each tenth, and some are lost."""
    pair.run(60.0)
    a, b = pair.machines
    for heard_s, is_it in ((39.0, True), (41.0, False)):
        [path] = [path for path in row_of(a, b).paths if path.address == six(2)]
        asked = decode(a.node.prober.ask(path, pair.clock.now).datagram)
        said = Pong(realm="default", boot=b.node.boot, nonce=asked.nonce, heard_ms=round(heard_s * 1000))
        a.node.receive(said.encode(), path.source, pair.clock.now)
        assert path.two_way is is_it


@pytest.mark.parametrize("is_late", [True, False])
def test_of_a_suspect_the_fast_path_is_asked_first(is_late):
    lan = TwoFamilies(2)
    lan.segments["ipv4"].loses_of = lambda *_: is_late  # then the path of IPv6 is the older one
    lan.run(5.0)
    healed(lan)
    lan.run(60.0)
    a, b = lan.machines
    assert next(path.address for path in row_of(a, b).paths) == (six(2) if is_late else four(2))
    asked = []
    for segment in (lan.four, lan.six):
        segment.loses_of = lambda sender, to, _: sender in (four(2), six(2)) or asked.append((lan.clock.now, to))
    while a.peers()["n2"].state == "up":
        asked.clear()
        lan.run(lan.clock.now + 0.05)
    assert asked[0][1] == four(2)


def row_of(machine, other):
    return machine.node.table.by_key[other.node.id, other.node.boot]


def test_two_links_with_one_address_are_two_paths():
    lan = TwoFamilies(2, families=("ipv6",))
    second = lan.segment(Ipv6Segment, 1)
    for machine in lan.machines:
        machine.set_links({**machine.at, second: second.link(machine.number)})
    lan.run(30.0)
    [peer] = lan.machines[0].peers().values()
    assert sorted(peer.addresses) == ["fe80::2%eth0", "fe80::2%eth1"]
    assert {(path.address, path.link) for path in peer.paths} == {("fe80::2%eth0", "eth0"), ("fe80::2%eth1", "eth1")}


# --- which beats go by IPv6 -------------------------------------------------------------------------


def states(*links, since=0.0):
    return {link: LinkState(link, (link.broadcast,), since) for link in links}


def paced(links, *, interval=0.8, now=100.0, rows=()):
    pace = Ipv6Pace(lambda _: rows)
    pace.set_paces(links, interval, now)
    return [state.every for state in links.values()], round(pace.spread, 3)


def test_every_beat_goes_by_ipv6_where_it_is_needed():
    lan = TwoFamilies(1)
    here = {"four": lan.four.link(1), "six": lan.six.link(1)}
    assert paced(states(here["four"])) == ([1], 1.0)
    assert paced(states(here["six"])) == ([1], 1.0)  # alone
    assert paced(states(here["four"], here["six"])) == ([1, 10], 1.1)
    assert paced(states(here["four"], here["six"], since=97.1)) == ([1, 1], 2.0)  # just come
    assert paced(states(here["four"], here["six"]), interval=61.0) == ([1, 1], 2.0)  # too long to be told in tens


def test_a_pace_that_cannot_be_told_is_capped():
    state = states(TwoFamilies(1).six.link(1)).popitem()[1]
    assert at_pace(hello(ttl=4), state) == hello(ttl=4)
    state.every = 10
    told = at_pace(hello(interval=60.0, ttl=3000.0), state)
    assert (told.interval_ms, told.ttl_ms) == (600_000, 3_600_000)


def test_both_families_share_the_budget():
    lan = TwoFamilies(4, parameters=Parameters(budget=4))
    lan.run(120.0)
    total = sum(segment.rate(60, 120) for segment in lan.segments.values())
    assert 3.3 <= total <= 4.2
