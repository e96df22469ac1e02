"""The virtual network does what it says, or the other tests say nothing."""

import pytest

from discoveryd.simulation.network import Plug
from tests.simulation.medium import Medium, Segment


class Listener:
    """A host that records each datagram with its source and time."""

    def __init__(self, segment, number):
        self.heard = []
        self.plug = Plug(segment.link(number), lambda *datagram: self.heard.append(datagram), lambda *_: None)
        segment.plug_in(self.plug)


def broadcast(segment, count, listeners=20):
    """Let the first of some listeners broadcast a numbered HELLO each second."""
    ears = [Listener(segment, number) for number in range(1, listeners + 1)]
    for number in range(count):
        hello = f"HELLO|2|default|a|{1:016x}|800|4000||{0:016x}|{number}".encode()
        segment.medium.at(float(number), lambda hello=hello: segment.send(ears[0].plug, segment.broadcast, hello))
    segment.medium.run(count + 10.0)
    return ears


@pytest.mark.parametrize("scattered", [False, True])
def test_each_receiver_loses_its_share_on_its_own(scattered):
    ears = broadcast(Segment(Medium(1), loss=0.2, scattered=scattered), 1000)
    for ear in ears:
        assert 740 < len(ear.heard) < 860
    assert len({tuple(datagram for datagram, _, _ in ear.heard) for ear in ears}) == len(ears)


def test_scattered_datagrams_overtake_and_come_twice():
    [ear, *_] = broadcast(Segment(Medium(1), delay=(0.0, 3.0), scattered=True, duplicated=0.1), 1000)
    numbers = [int(datagram.rpartition(b"|")[2]) for datagram, _, _ in ear.heard]
    assert numbers != sorted(numbers)
    assert set(numbers) == set(range(1000))
    assert 1050 < len(numbers) < 1150


def test_a_sender_has_one_source_object():
    [ear, *_] = broadcast(Segment(Medium(1)), 10)
    assert len({id(source) for _, source, _ in ear.heard}) == 1


def test_islands_do_not_hear_each_other():
    segment = Segment(Medium(1))
    here, there = Listener(segment, 1), Listener(segment, 2)
    segment.part(["10.0.0.1"])
    segment.send(here.plug, segment.broadcast, b"all")
    segment.send(here.plug, "10.0.0.2", b"one")
    segment.medium.run(1.0)
    assert (len(here.heard), len(there.heard)) == (1, 0)
    segment.heal()
    segment.send(here.plug, "10.0.0.2", b"one")
    segment.medium.run(2.0)
    assert len(there.heard) == 1


def test_the_flow_log_is_the_same_for_one_seed_only():
    digests = []
    for seed in (1, 1, 2):
        segment = Segment(Medium(seed), loss=0.2)
        broadcast(segment, 20)
        digests.append(segment.medium.digest())
    assert digests[0] == digests[1] != digests[2]


def test_a_failure_tells_the_seed_and_what_came_before():
    segment = Segment(Medium("of this test"))
    segment.medium.at(100.0, lambda: 1 / 0)
    broadcast(segment, 1, listeners=2)
    with pytest.raises(ZeroDivisionError) as caught:
        segment.medium.run(100.0)
    [note] = caught.value.__notes__
    assert "10.0.0.1 > 10.0.255.255 HELLO|2|default|a|" in note
    assert note.endswith("seed of this test, 100.0 s")
