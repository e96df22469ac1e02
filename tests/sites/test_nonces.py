"""Freshness: what an echo proves, by our own clock alone."""

from random import Random

from discoveryd.sites.nonces import MAX_NONCES, Echoes, Nonces
from discoveryd.sites.values import Speaker
from discoveryd.sites.wire import MAX_ECHOES


def nonces():
    return Nonces(Random(1).randbytes)


def test_an_echo_is_as_old_as_its_nonce_at_most():
    ours = nonces()
    first, second = ours.own(10.0, 30.0), ours.own(12.0, 30.0)
    assert ours.age([first], 13.0) == 3.0
    assert ours.age(["unknown!", first, second], 13.0) == 1.0
    assert ours.age(["unknown!"], 13.0) is None
    assert ours.age([ours.draw()], 13.0) is None
    assert ours.age([first], 40.0) is None


def test_a_nonce_of_a_gateway_is_dated_by_its_hellos():
    ours = nonces()
    for seq in range(5):
        ours.survey([Speaker("gate", "b", seq, 100.0 + seq, 1.0)])
    assert ours.made_after("gate", "b", 3) == 103.0
    assert ours.made_after("gate", "b", 9) == 104.0  # HELLOs that we missed: older than it is, never younger
    assert ours.made_after("gate", "b", -1) is None
    assert ours.made_after("gate", "another boot", 3) is None
    assert ours.hello_gap() == 1.0
    ours.learn("theirs12", 103.0, 105.0, 30.0)
    assert ours.age(["theirs12"], 106.0) == 3.0


def test_nonces_are_bounded():
    ours = nonces()
    first = ours.own(0.0, 1e9)
    for _ in range(MAX_NONCES):
        last = ours.own(1.0, 1e9)
    assert ours.age([first], 2.0) is None
    assert ours.age([last], 2.0) == 1.0


def test_a_recording_takes_no_place_of_a_live_nonce():
    echoes = Echoes()
    echoes.hear("paris", "live1234", 10.0, is_proved=True)
    echoes.hear("paris", "recorded", 11.0, is_proved=False)
    assert echoes.next(0.0) == {"paris": ("live1234", "recorded")} == echoes.of("paris")
    assert echoes.next(10.5) == {"paris": ("recorded",)}
    assert echoes.of("rome") == {}


def test_many_sites_are_echoed_in_turn():
    echoes = Echoes()
    for number in range(100):
        echoes.hear(f"site{number:03}", "nonce123", 1.0, is_proved=True)
    turns = [echoes.next(0.0) for _ in range(2)]
    assert [len(turn) for turn in turns] == [MAX_ECHOES] * 2
    assert len({*turns[0], *turns[1]}) == 100
