"""Who is not known must prove to live."""

from itertools import count, pairwise
from random import Random

import pytest

from discoveryd.protocol import challenges as module
from discoveryd.protocol.challenges import (
    AGAIN,
    AGAIN_TIMES,
    FIRST_TIMES,
    HOPEFUL,
    LIFE,
    MAX_HOPES,
    SELDOM,
    Challenges,
)
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Claim
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire import messages
from discoveryd.protocol.wire.messages import ANYONE, Ping
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ETH0, source

ME = "5f0c8b1e2d3a4f60"
LONGEST = len(Ping(realm="default", id="me", boot=ME, nonce=ANYONE).encode())
MAX_SEALED_PING = messages.MAX_SEALED_PING


def make(rate=8):
    numbers = count(1)
    outbox = Outbox(Parameters(), Record(name="me"), Random(1), "me")
    outbox.boot = ME
    outbox.nonce = lambda: f"{next(numbers):016x}"
    outbox.links[ETH0] = outbox.routed
    return Challenges(outbox, rate)


def ask(challenges, now, boot="b1", address="10.0.0.7", size=MAX_SEALED_PING, *, is_sealed=False, solicits=False):
    """Challenge a boot; return the nonce, None where nothing is sent."""
    there = source(address, key="k" if is_sealed else "", boot=boot if is_sealed else "")
    sends = challenges.ask(Claim(there, ("web1", boot), size, solicits), now)
    return sends[0].datagram.split(b"|")[5].decode() if sends else None


def answer(challenges, now, nonce, boot="b1", address="10.0.0.7"):
    return challenges.answer(boot, address, nonce, now)


N1, N2, N3 = ("0" * 15 + digit for digit in "123")


def test_who_answers_lives():
    challenges = make()
    assert ask(challenges, 10.0) == N1
    assert len(challenges.questions) == 1
    assert answer(challenges, 10.001, N1)
    assert not answer(challenges, 10.002, N1)
    assert (len(challenges.questions), challenges.asked, challenges.answered) == (0, 1, 1)
    assert ask(challenges, 10.003) == N2  # for whatever reason: with another nonce


@pytest.mark.parametrize(
    ("boot", "address", "nonce", "now"),
    [("b2", "10.0.0.7", N1, 10.1), ("b1", "10.0.0.8", N1, 10.1), ("b1", "10.0.0.7", N2, 10.1), ("b1", "10.0.0.7", N1, 10.0 + LIFE)],
)  # fmt: skip
def test_what_is_no_answer(boot, address, nonce, now):
    challenges = make()
    assert ask(challenges, 10.0) == N1
    assert not answer(challenges, now, nonce, boot, address)
    assert challenges.answered == 0
    assert (answer(challenges, 10.2, N1) is not None) is (now < 10.2)


def test_it_is_asked_again_but_not_at_once():
    challenges = make()
    times = [10.0, 10.1, 10.0 + AGAIN - 0.001, 10.0 + AGAIN, 10.4, 10.8, 10.0 + LIFE]
    assert [ask(challenges, now) for now in times] == [N1, None, None, N1, None, N1, N2]
    assert (challenges.asked, challenges.expired, len(challenges.questions)) == (4, 1, 1)


def test_nothing_longer_is_sent_than_what_came():
    challenges = make()
    assert ask(challenges, 10.0, size=LONGEST - 1) is None
    assert (challenges.too_short, challenges.asked, len(challenges.questions)) == (1, 0, 0)
    assert ask(challenges, 10.0, size=LONGEST) == N1
    assert ask(challenges, 10.0, "b2", size=MAX_SEALED_PING - 1, is_sealed=True) is None
    assert ask(challenges, 10.0, "b2", is_sealed=True) == N2


def test_one_address_is_asked_so_often_and_all_together(monkeypatch):
    monkeypatch.setattr(module, "TOTAL", 5)
    challenges = make(rate=2 / FIRST_TIMES)
    asked = [ask(challenges, 10.0, f"b{boot}", f"10.0.0.{host}") is not None for host in range(4) for boot in range(3)]
    assert asked == [True, True, False, True, True, False, True, False, False, False, False, False]
    assert (challenges.asked, challenges.refused, len(challenges.questions)) == (5, 7, 5)
    assert ask(challenges, 10.5, "b9", "10.0.0.0") is not None


def test_boots_that_were_asked_before_leave_room_for_new_ones():
    challenges = make(rate=8 / FIRST_TIMES)
    old = [f"b{number}" for number in range(8)]
    assert all(ask(challenges, 10.0, boot) for boot in old)
    challenges.set_rate(2 / AGAIN_TIMES)
    assert [ask(challenges, 11.0, boot) is not None for boot in old] == [True] * 2 + [False] * 6
    assert ask(challenges, 11.0, "new") is not None


def test_who_does_not_answer_is_asked_ever_more_seldom():
    challenges = make()
    moments = [now / 10 for now in range(6000)]
    asked = [now for now in moments if ask(challenges, now, address=f"10.0.0.{now * 10 % 2}", is_sealed=True)]
    pauses = [round(after - before, 1) for before, after in pairwise(asked)]
    assert pauses[: HOPEFUL + 4] == [0.3] * HOPEFUL + [0.6, 1.2, 2.4, 4.8]
    assert max(pauses) == pauses[-1] == SELDOM


def test_without_a_seal_nobody_else_makes_a_boot_wait():
    challenges = make()
    assert ask(challenges, 10.0, address="10.0.0.66")
    assert ask(challenges, 10.0)
    assert ask(challenges, 10.1) is None


def test_who_answered_is_asked_at_once_the_next_time():
    challenges = make()
    asked = [now for now in range(100, 200) if ask(challenges, now / 10, is_sealed=True)]
    assert asked[-1] - asked[-2] > 20
    nonces = [f"{number:016x}" for number in range(1, 50)]
    assert any(answer(challenges, 20.0, nonce) for nonce in nonces)
    assert ask(challenges, 20.1, is_sealed=True)


def test_those_who_do_not_answer_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(module, "MAX_SILENT", 4)
    challenges = make(rate=100)
    for number in range(9):
        ask(challenges, 10.0, f"b{number}")
    assert ask(challenges, 10.0, "b8") is None
    assert ask(challenges, 10.0, "b0") is not None


def test_the_oldest_question_makes_room(monkeypatch):
    monkeypatch.setattr(module, "TOTAL", 9)
    monkeypatch.setattr(module, "MAX_QUESTIONS", 2)
    challenges = make(rate=9)
    nonces = [ask(challenges, 10.0 + boot / 100, f"b{boot}") for boot in range(3)]
    assert (len(challenges.questions), challenges.forgotten, challenges.expired) == (2, 1, 0)
    answers = [answer(challenges, 10.1, nonce, f"b{boot}") for boot, nonce in enumerate(nonces)]
    assert [found and found.nonce for found in answers] == [None, N2, N3]


def test_questions_expire_in_the_order_they_were_put():
    challenges = make()
    for number in range(3):
        ask(challenges, 10.0 + number, f"b{number}")
    ask(challenges, 11.5, "b0")
    assert not answer(challenges, 11.0 + LIFE, "x")
    assert (len(challenges.questions), challenges.expired) == (1, 2)


def test_a_solicit_is_remembered_whenever_it_came():
    challenges = make()
    ask(challenges, 10.0)
    assert ask(challenges, 10.1, solicits=True) is None
    ask(challenges, 10.5)
    assert answer(challenges, 10.6, N1).solicits
    ask(challenges, 10.7)
    assert not answer(challenges, 10.8, N2).solicits


def test_whether_an_answer_is_waited_for():
    challenges = make()
    ask(challenges, 10.0)
    assert challenges.waits_for("b1", "10.0.0.7", N1)
    assert not challenges.waits_for("b1", "10.0.0.7", N2)
    assert not challenges.waits_for("b1", "10.0.0.8", N1)


def test_the_last_addresses_asked():
    challenges = make()
    for number in range(MAX_HOPES + 5):
        ask(challenges, 10.0, f"b{number}", f"10.0.0.{number}")
    hopes = challenges.hopes()
    assert (len(hopes), hopes[0], hopes[-1]) == (MAX_HOPES, f"10.0.0.{MAX_HOPES + 4}", "10.0.0.5")


def test_another_rate():
    challenges = make(rate=1 / FIRST_TIMES)
    asked = [ask(challenges, 10.0, f"b{number}") for number in range(3)]
    challenges.set_rate(2 / FIRST_TIMES)
    asked += [ask(challenges, 10.0, f"b{number}") for number in range(3, 6)]
    assert [one is not None for one in asked] == [True, False, False, True, True, False]
