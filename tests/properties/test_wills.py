"""No will takes down a peer that answers, whoever forges or repeats it, and whenever."""

from hypothesis import given
from hypothesis import strategies as st

from discoveryd.protocol.wire.messages import Will
from tests.protocol.segment import K1, NO_KEYS, fleet, ring

MOMENTS = st.lists(st.tuples(st.floats(0.0, 1.5), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20)


@given(MOMENTS, st.booleans(), st.floats(0.0, 0.3))
def test_no_will_takes_down_who_answers(moments, is_sealed, loss):
    """Each is of one of the nodes, from one of their addresses, forged or (sealed) written by it and never meant."""
    segment, stations = fleet(3, ring(K1) if is_sealed else NO_KEYS)
    segment.run(4)
    segment.loss = loss
    wills = [
        next(send.datagram for send in one.node.will()) if is_sealed
        else Will(realm="default", id=one.node.id, boot=one.node.boot).encode()
        for one in stations
    ]  # fmt: skip
    pings = [one.node.sent["ping"] for one in stations]
    for at, whose, sender in moments:
        for station in stations:
            segment.deliver(wills[whose], f"10.0.0.{sender + 1}", station, after=at)
    segment.run(2)
    assert [one.lost() for one in stations] == [[], [], []]
    if not loss:
        assert all(one.node.sent["ping"] - before <= 2 * 2 + 6 for one, before in zip(stations, pings, strict=True))
