"""A peer whose HELLOs do not arrive but which answers PINGs: it is up, and said to be heard by its answers alone."""

import pytest

from discoveryd.protocol.table.liveness import UNHEARD
from tests.protocol.segment import K1, fleet, ring


def told(station, since=0.0):
    return [(kind, who) for at, kind, who in station.told if at >= since]


def reasons(segment, station, run):
    """Give the reasons of the events while `run` runs."""
    found, act = [], station.act

    def spy(outcome):
        found.extend((event.kind, event.reason) for event in outcome.events)
        act(outcome)

    station.act = spy
    run()
    station.act = act
    return found


@pytest.mark.parametrize("keys", [(), (K1,)])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_peer_with_filtered_broadcasts_stays_up_quietly(keys, loss):
    segment, (observer, mute) = fleet(2, ring(*keys)) if keys else fleet(2)
    segment.mute.add(mute.address)
    segment.run(2.0)
    segment.loss = loss
    segment.run(58.0)
    assert [kind for kind, _ in told(observer)] == ["joined", "updated"]
    [peer] = observer.node.peers(segment.now)
    assert (peer.state, peer.loss, peer.two_way, peer.hellos_arrive) == ("up", 1.0, True, False)
    asked = [at for at, who, to, _ in segment.tape if who == observer.address and to == mute.address and at > 20.0]
    assert 50 <= len(asked) <= 100  # a PING each 0.8 s, a few more where some are lost, and a PONG each 2 s


def test_broadcasts_that_stop_and_return_are_one_event_each():
    segment, (observer, mute) = fleet(2)
    segment.run(60.0)
    segment.mute.add(mute.address)
    found = reasons(segment, observer, lambda: segment.run(60.0))
    assert found == [
        ("suspect", "2 HELLOs missed"),
        ("recovered", "answered a PING"),
        ("updated", "its HELLOs do not arrive, it answers PINGs"),
    ]
    assert observer.node.peers(segment.now)[0].loss == 1.0
    segment.mute.clear()
    assert reasons(segment, observer, lambda: segment.run(5.0)) == [("updated", "its HELLOs arrive again")]
    segment.run(20.0)
    [peer] = observer.node.peers(segment.now)
    assert (peer.loss, peer.hellos_arrive) == (0.0, True)
    observer.told.clear()
    segment.run(120.0)
    assert observer.told == []


def test_the_loss_of_an_unheard_peer_grows_with_time():
    segment, (observer, mute) = fleet(2)
    segment.run(60.0)
    segment.mute.add(mute.address)
    losses = []
    for _ in range(UNHEARD):
        segment.run(0.88)
        losses.append(observer.node.peers(segment.now)[0].loss)
    assert losses[0] == 0.0
    assert losses == sorted(losses)
    assert 0.1 < losses[-3] < 0.3
    segment.run(3.0)
    assert observer.node.peers(segment.now)[0].loss == 1.0


def test_an_unheard_peer_that_dies_is_down_in_time():
    segment, (observer, mute) = fleet(2)
    segment.mute.add(mute.address)
    segment.run(60.0)
    mute.crash()
    observer.told.clear()
    segment.run(4.1)
    assert told(observer) == [("suspect", "n2"), ("down", "n2")]
    asked = len(segment.recorded(sender=observer.address, to=mute.address))
    segment.run(60.0)
    assert len(segment.recorded(sender=observer.address, to=mute.address)) == asked


def test_a_peer_cut_off_both_ways_is_not_unheard():
    segment, (observer, _) = fleet(2)
    segment.run(30.0)
    segment.loss = 1.0
    segment.run(30.0)
    segment.loss = 0.0
    observer.told.clear()
    segment.run(60.0)
    assert told(observer) == [("recovered", "n2")]


def test_a_node_without_broadcasts_keeps_all_by_their_answers():
    segment, (observer, *others) = fleet(20)
    segment.mute.update(one.address for one in others)
    segment.run(8.0)
    observer.told.clear()
    segment.run(40.0)
    assert sorted(told(observer)) == sorted(("updated", one.name) for one in others)
    assert [peer.hellos_arrive for peer in observer.node.peers(segment.now)] == [False] * 19
