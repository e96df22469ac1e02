"""What was sealed once counts once, and who is not known must prove to live."""

from itertools import count

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.replay import AGAIN, LIFE, WIDTH, Challenges, Window, Windows
from discoveryd.protocol.seal import MAX_COUNTER, MAX_SEALED_PING, Opened

B, U = False, True


def opened(counter, is_unicast=B, boot="b1"):
    return Opened(b"", "66b37b47", "web1", boot, is_unicast, counter)


# --- one window ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "steps"),
    [
        (0, [(0, False), (1, True), (1, False), (2, True)]),
        (10, [(0, False), (9, False), (10, False), (11, True)]),  # what was before counts as taken
        (0, [(5, True), (3, True), (4, True), (3, False), (5, False), (1, True), (2, True), (0, False)]),
        (0, [(WIDTH, True), (1, True), (1, False), (WIDTH - 1, True)]),  # the last that is remembered
        (0, [(WIDTH + 1, True), (1, False), (2, True), (2, False)]),  # the first that is not
        (0, [(2 * WIDTH, True), (WIDTH + 1, True), (WIDTH, False), (2 * WIDTH, False), (2 * WIDTH - 1, True)]),
        (7, [(7 + WIDTH, True), (8, True), (7, False)]),  # moved by just its width
        (7, [(6 + WIDTH, True), (7, False), (8, True)]),  # and by one less: 7 is still known to be taken
        (0, [(MAX_COUNTER - 1, True), (MAX_COUNTER - 1, False), (MAX_COUNTER - WIDTH, True), (MAX_COUNTER - WIDTH - 1, False)]),
    ],
)  # fmt: skip
def test_window(top, steps):
    window = Window(top)
    assert [(counter, window.take(counter)) for counter, _ in steps] == steps


def test_a_window_stays_small():
    window = Window(0)
    for counter in (1, 5000, 5001, 2**63, 2**63 + 900, MAX_COUNTER - 1):
        assert window.take(counter)
        assert window._taken.bit_length() <= WIDTH


# --- the windows of all -------------------------------------------------------------------------------


def test_an_unknown_boot_is_not_listened_to():
    windows = Windows(8)
    assert not windows.take(opened(5))
    assert not windows.take(opened(5))  # asking is no taking
    assert len(windows) == 0
    assert "b1" not in windows


def test_after_its_proof_a_boot_is_heard_once_for_each_counter():
    windows = Windows(8)
    windows.admit(opened(7, U))
    assert "b1" in windows
    assert windows.take(opened(8))
    with pytest.raises(WireError) as caught:
        windows.take(opened(8))
    assert (caught.value.reason, caught.value.detail) == ("replayed", "broadcast 8 of web1 (b1)")


@pytest.mark.parametrize("is_unicast", [B, U])
def test_what_was_sealed_before_the_proof_is_void(is_unicast):
    windows = Windows(8)
    windows.admit(opened(7, U))
    for counter in range(8):
        with pytest.raises(WireError, match=r"^replayed: (broadcast|unicast)"):
            windows.take(opened(counter, is_unicast))


def test_broadcast_and_unicast_do_not_overtake_each_other():
    windows = Windows(8)
    windows.admit(opened(0, U))
    assert windows.take(opened(5000, U))
    assert windows.take(opened(3))  # held back by an access point while 5,000 unicasts passed
    assert windows.take(opened(2))
    with pytest.raises(WireError, match="replayed: unicast 3 of web1"):
        windows.take(opened(3, U))


def test_a_second_proof_opens_nothing_again():
    windows = Windows(8)
    windows.admit(opened(1, U))
    assert windows.take(opened(9))
    windows.admit(opened(2, U))
    with pytest.raises(WireError, match="replayed"):
        windows.take(opened(9))


def test_boots_do_not_share_windows():
    windows = Windows(8)
    for boot in ("b1", "b2"):
        windows.admit(opened(0, U, boot))
        assert windows.take(opened(1, B, boot))


def test_the_boot_silent_longest_is_forgotten_and_recordings_stay_worthless():
    windows = Windows(2)
    windows.admit(opened(0, U, "b1"))
    windows.admit(opened(0, U, "b2"))
    assert windows.take(opened(1, B, "b1"))
    with pytest.raises(WireError, match="replayed"):
        windows.take(opened(0, B, "b2"))  # who repeats a recording does not keep it alive
    windows.admit(opened(0, U, "b3"))
    assert ("b1" in windows, "b2" in windows, "b3" in windows) == (True, False, True)
    assert (len(windows), windows.forgotten) == (2, 1)
    assert not windows.take(opened(1, B, "b2"))


# --- asking -------------------------------------------------------------------------------------------


def make(**more):
    numbers = count(1)
    return Challenges(lambda: f"{next(numbers):016x}", **{"rate": 8, **more})


def ask(challenges, now, boot="b1", address="10.0.0.7", size=MAX_SEALED_PING):
    return challenges.ask(boot, address, size, now)


def answer(challenges, now, nonce, boot="b1", address="10.0.0.7"):
    return challenges.answer(boot, address, nonce, now)


N1, N2 = "0" * 15 + "1", "0" * 15 + "2"


def test_who_answers_lives():
    challenges = make()
    assert ask(challenges, 10.0) == N1
    assert len(challenges) == 1
    assert answer(challenges, 10.001, N1)
    assert not answer(challenges, 10.002, N1)
    assert (len(challenges), challenges.asked, challenges.answered) == (0, 1, 1)
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
    assert answer(challenges, 10.2, N1) is (now < 10.2)


def test_it_is_asked_again_but_not_at_once():
    challenges = make()
    times = [10.0, 10.1, 10.0 + AGAIN - 0.001, 10.0 + AGAIN, 10.4, 10.8, 10.0 + LIFE]
    assert [ask(challenges, now) for now in times] == [N1, None, None, N1, None, N1, N2]
    assert (challenges.asked, challenges.expired, len(challenges)) == (4, 1, 1)


def test_nothing_longer_is_sent_than_what_came():
    challenges = make()
    assert ask(challenges, 10.0, size=MAX_SEALED_PING - 1) is None
    assert (challenges.too_short, challenges.asked, len(challenges)) == (1, 0, 0)
    assert ask(challenges, 10.0) == N1


def test_one_address_is_asked_so_often_and_all_together():
    challenges = make(rate=2, total=5)
    asked = [ask(challenges, 10.0, f"b{boot}", f"10.0.0.{host}") is not None for host in range(4) for boot in range(3)]
    assert asked == [True, True, False, True, True, False, True, False, False, False, False, False]
    assert (challenges.asked, challenges.refused, len(challenges)) == (5, 7, 5)
    assert ask(challenges, 10.5, "b9", "10.0.0.0") is not None


def test_the_oldest_question_makes_room():
    challenges = make(rate=9, total=9, limit=2)
    nonces = [ask(challenges, 10.0 + boot / 100, f"b{boot}") for boot in range(3)]
    assert (len(challenges), challenges.forgotten, challenges.expired) == (2, 1, 0)
    assert [answer(challenges, 10.1, nonce, f"b{boot}") for boot, nonce in enumerate(nonces)] == [False, True, True]


def test_questions_expire_in_the_order_they_were_put():
    challenges = make()
    for number in range(3):
        ask(challenges, 10.0 + number, f"b{number}")
    ask(challenges, 11.5, "b0")
    assert not answer(challenges, 11.0 + LIFE, "x")
    assert (len(challenges), challenges.expired) == (1, 2)
