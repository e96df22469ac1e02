"""Two live nodes with one address: marked and reported once, and again when it is over."""

import pytest

from discoveryd.protocol.table.peer import peer_json
from discoveryd.protocol.table.shared_addresses import CALM
from discoveryd.protocol.table.table import MAX_PATHS, PeerTable
from tests.protocol.samples import ETH0, ETH1, WEB, boot, hello, kinds, source

LOOPBACK = source("127.0.0.2", ETH0)
ROUTED = source("10.9.0.7", None)


class Lan:
    """A table that hears nodes each 0.8 s, and what it reports."""

    def __init__(self):
        self.table = PeerTable()
        self.now = 0.0
        self.seq = 0
        self.events = []

    def talk(self, seconds, **where):
        """Let nodes speak (id -> source), node n1 with boot 1 and so on."""
        for _ in range(round(seconds / 0.8)):
            self.seq += 1
            for id, place in where.items():
                said = hello(int(id[1:]), id, seq=self.seq, record=WEB)
                self.events += self.table.heard(said, place, self.now + int(id[1:]) / 1000)
            self.now = round(self.now + 0.8, 3)
            self.events += self.table.expire(self.now)

    def take(self):
        """Give what was reported of shared addresses since the last call."""
        found, self.events = self.events, []
        return [(one.kind, one.peer.id, one.reason) for one in found if "address" in one.reason]

    def marked(self):
        return [peer.id for peer in self.table.peers(self.now) if peer.shares_address]

    def shared(self):
        return {place: [row.id for row in rows] for place, rows in self.table.shared_addresses(self.now).items()}


@pytest.fixture
def lan():
    return Lan()


def test_a_shared_address_is_reported_at_begin_and_end(lan):
    lan.talk(8.0, n1=source(), n2=source())
    assert lan.take() == [
        ("updated", "n1", "10.0.0.7 is the address of web1 too"),
        ("updated", "n2", "10.0.0.7 is the address of web1 too"),
    ]
    assert lan.marked() == ["n1", "n2"]
    lan.talk(40.0, n1=source(), n2=source())
    assert lan.take() == []
    lan.talk(8.0, n1=source())
    assert lan.take() == [("updated", "n1", "its address is its own again")]
    assert lan.marked() == []


def test_a_prepared_view_follows_a_shared_address(lan):
    both = {"n1": source(), "n2": source()}
    marked = []
    for speakers in [both] * 10 + [{"n1": both["n1"]}] * 10:
        lan.talk(0.8, **speakers)
        marked.append(lan.marked())
        rows = list(lan.table.rows(lan.now))
        assert [row.id for row in rows if row.lasting(lan.now).shares_address] == marked[-1]
    assert ["n1", "n2"] in marked
    assert marked[-1] == []


def test_the_mark_of_a_shared_address_is_in_the_json(lan):
    lan.talk(8.0, n1=source(), n2=source())
    assert [peer_json(one.peer)["shares_address"] for one in lan.events if "too" in one.reason] == [True, True]
    assert [peer_json(peer)["shares_address"] for peer in lan.table.peers(lan.now)] == [True, True]


def test_sharing_ends_within_a_second_of_a_goodbye(lan):
    lan.talk(8.0, n1=source(), n2=source())
    lan.take()
    goodbye = hello(2, "n2", seq=1000, full=False, goodbye=True)
    assert kinds(lan.table.heard(goodbye, source(), lan.now)) == ["left"]
    [event] = lan.table.expire(lan.now + 0.001)
    assert (event.kind, event.peer.id, event.peer.shares_address) == ("updated", "n1", False)


def test_sharing_ends_when_one_node_moves_to_another_address(lan):
    lan.talk(8.0, n1=source(), n2=source())
    lan.take()
    lan.talk(8.0, n1=source(), n2=source("10.0.0.8"))
    assert [(kind, id) for kind, id, why in lan.take() if "own" in why] == [("updated", "n1"), ("updated", "n2")]


def test_an_address_passed_on_by_a_dead_node_is_not_shared(lan):
    lan.talk(8.0, n1=source())
    lan.talk(16.0, n2=source())
    assert (lan.take(), lan.marked(), lan.shared()) == ([], [], {})


def test_a_restart_at_the_same_address_is_not_shared(lan):
    lan.talk(8.0, n1=source())
    for seq in range(1, 20):
        said = hello(9, "n1", seq=seq, record=WEB)
        lan.events += lan.table.heard(said, source(), lan.now)
        lan.now += 0.8
        lan.events += lan.table.expire(lan.now)
    assert (lan.take(), lan.marked()) == ([], [])


def test_a_restart_keeps_the_mark_and_reports_nothing(lan):
    lan.talk(8.0, n1=source(), n2=source())
    lan.take()
    for seq in range(1, 20):
        lan.events += lan.table.heard(hello(9, "n2", seq=seq, record=WEB), source(), lan.now)
        lan.talk(0.8, n1=source())
    assert (lan.take(), lan.marked()) == ([], ["n1", "n2"])
    assert {peer.boot for peer in lan.table.peers(lan.now)} == {boot(1), boot(9)}


@pytest.mark.parametrize("place", [LOOPBACK, ROUTED], ids=["loopback", "routed"])
def test_loopback_and_routed_addresses_may_be_shared(lan, place):
    lan.talk(16.0, n1=place, n2=place)
    assert (lan.take(), lan.marked(), lan.shared()) == ([], [], {})


def test_one_address_on_two_links_is_not_shared(lan):
    """Two networks may use the same range."""
    lan.talk(16.0, n1=source("10.0.0.7", ETH0), n2=source("10.0.0.7", ETH1))
    assert (lan.take(), lan.marked(), lan.shared()) == ([], [], {})


def test_bare_peers_share_nothing(lan):
    for _ in range(20):
        lan.table.heard_bare(source(), 4.0, lan.now)
        lan.talk(0.8, n1=source())
    assert (lan.take(), lan.marked()) == ([], [])


def test_sharing_that_comes_and_goes_is_reported_once_a_minute(lan):
    begun = []
    for _ in range(15):
        lan.talk(8.0, n1=source(), n2=source())
        begun += [id for _, id, why in lan.take() if "too" in why]
        lan.talk(6.4, n1=source())
    assert begun.count("n1") <= 1 + 15 * 14.4 / CALM


def test_sharing_is_reported_again_after_the_minute(lan):
    lan.talk(8.0, n1=source(), n2=source())
    lan.talk(8.0, n1=source())
    lan.take()
    lan.talk(CALM, n1=source(), n2=source())
    assert [id for _, id, why in lan.take() if "too" in why] == ["n1", "n2"]


def test_no_deadline_where_no_address_is_shared(lan):
    lan.talk(8.0, **{f"n{number}": source(f"10.0.0.{number}") for number in range(2, 40)})
    assert lan.table.shared.due == float("inf")


def test_paths_that_are_gone_are_not_remembered(lan):
    for number in range(3 * MAX_PATHS):
        lan.talk(0.8, n1=source(f"10.0.0.{number + 1}"), n2=source(f"10.0.0.{number + 1}"))
    assert len(lan.table.shared) <= 2 * MAX_PATHS
    lan.table.expire(lan.now + 3700)
    lan.table.expire(lan.now + 7400)
    assert (len(lan.table), len(lan.table.shared), lan.table.shared.due) == (0, 0, float("inf"))
