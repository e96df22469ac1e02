"""What was sealed once counts once."""

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.sealed.channel import WIDTH, Window, Windows
from discoveryd.protocol.sealed.envelope import BEYOND, MAX_COUNTER, TO_ALL, TO_ONE, Opened

B, U = TO_ALL, TO_ONE


def opened(counter, scope=B, boot="b1"):
    return Opened(b"", "66b37b47", "web1", boot, scope, counter)


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
def test_a_window_takes_each_counter_once(top, steps):
    window = Window(top)
    assert [(counter, window.take(counter)) for counter, _ in steps] == steps


def test_a_window_stays_small():
    window = Window(0)
    for counter in (1, 5000, 5001, 2**62, 2**62 + 900, MAX_COUNTER - 1):
        assert window.take(counter)
        assert window.taken.bit_length() <= WIDTH


# --- the windows of all -------------------------------------------------------------------------------


def test_nothing_of_an_unknown_boot_is_taken():
    windows = Windows(8)
    assert not windows.take(opened(5))
    assert not windows.take(opened(5))  # asking is no taking
    assert len(windows) == 0


def test_after_its_proof_each_counter_of_a_boot_is_taken_once():
    windows = Windows(8)
    windows.admit(opened(7, U))
    assert len(windows) == 1
    assert windows.take(opened(8))
    with pytest.raises(WireError) as caught:
        windows.take(opened(8))
    assert (caught.value.reason, caught.value.detail) == ("replayed", "broadcast 8 of web1 (b1)")


@pytest.mark.parametrize("scope", [B, U, BEYOND])
def test_envelopes_sealed_before_the_proof_are_void(scope):
    windows = Windows(8)
    windows.admit(opened(7, U))
    for counter in range(8):
        with pytest.raises(WireError, match=r"^unproven: \d of web1 \(b1\) is older than its proof"):
            windows.take(opened(counter, scope))


def test_broadcasts_and_unicasts_have_windows_of_their_own():
    windows = Windows(8)
    windows.admit(opened(0, U))
    assert windows.take(opened(5000, U))
    assert windows.take(opened(3))  # held back by an access point while 5,000 unicasts passed
    assert windows.take(opened(2))
    with pytest.raises(WireError, match="replayed: unicast 3 of web1"):
        windows.take(opened(3, U))


def test_a_second_proof_makes_no_old_counter_valid():
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


def test_the_boot_silent_longest_is_forgotten_first():
    windows = Windows(2)
    windows.admit(opened(0, U, "b1"))
    windows.admit(opened(0, U, "b2"))
    assert windows.take(opened(1, B, "b1"))
    with pytest.raises(WireError, match="unproven"):
        windows.take(opened(0, B, "b2"))  # who repeats a recording does not keep it alive
    windows.admit(opened(0, U, "b3"))
    assert [windows.take(opened(2, B, boot)) for boot in ("b1", "b2", "b3")] == [True, False, True]
    assert len(windows) == 2


def test_a_forgotten_boot_has_to_prove_again_that_it_lives():
    windows = Windows(8)
    windows.admit(opened(7, U))
    windows.forget("b1")
    windows.forget("b2")
    assert not windows.take(opened(8))


# --- PINGs of boots that did not prove to live ----------------------------------------------------------


def test_a_ping_of_an_unproven_boot_is_taken_once():
    windows = Windows(8)
    for counter in (3, 9):
        windows.take_question(opened(counter, U))
    for counter in (9, 3, 8):
        with pytest.raises(WireError) as caught:
            windows.take_question(opened(counter, U))
        assert caught.value.reason == "replayed"
    windows.take_question(opened(3, U, "b2"))


def test_a_counter_the_windows_took_is_no_question_later():
    windows = Windows(8)
    windows.admit(opened(7, U))
    windows.take(opened(20, U))
    windows.forget("b1")
    with pytest.raises(WireError):
        windows.take_question(opened(20, U))
    windows.take_question(opened(21, U))


def test_unproven_boots_with_a_ping_are_bounded():
    windows = Windows(4)
    for number in range(9):
        windows.take_question(opened(1, U, f"b{number}"))
        windows.admit(opened(2, U, f"c{number}"))
        windows.forget(f"c{number}")
    for boot in ("c8", "b8", "c7", "b7"):
        with pytest.raises(WireError):
            windows.take_question(opened(1, U, boot))
    windows.take_question(opened(1, U, "c6"))  # forgotten
