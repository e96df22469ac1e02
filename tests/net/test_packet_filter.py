"""Programs in the kernel, as it understands them: those of a flood here, the parts in tests/netns/test_quiet.py."""

import socket

import pytest

from discoveryd.net import packet_filter as module
from discoveryd.net.packet_filter import MAX_KNOWN, code_of, set_filter

MANY = [f"10.{number // 250}.{number % 250}.1" for number in range(MAX_KNOWN - 1)]


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def passed(receiver, source, count=200):
    """Count the datagrams of a source that get through."""
    got = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for _ in range(count):
            sender.sendto(b"HELLO|", receiver.getsockname())
            try:
                receiver.recv(16)
            except BlockingIOError:
                continue
            got += 1
    return got


@pytest.mark.parametrize(
    "known",
    [["127.0.0.5"], [*MANY[:249], "127.0.0.5"], [*MANY[:250], "127.0.0.5"], ["127.0.0.5", *MANY], [*MANY, "127.0.0.5"]],
    ids=["one", "end of a block", "begin of a block", "first of all", "last of all"],
)
def test_those_known_pass_and_no_others(receiver, known):
    set_filter(receiver, known, 0.0)
    assert passed(receiver, "127.0.0.5") == 200
    assert passed(receiver, "127.0.0.6") == 0


def test_of_strangers_a_share_passes(receiver):
    set_filter(receiver, ["127.0.0.5"], 0.5)
    assert 150 < passed(receiver, "127.0.0.6", 500) < 350
    assert passed(receiver, "127.0.0.5", 500) == 500


def test_more_than_fit_are_left_to_chance(receiver):
    set_filter(receiver, [*MANY, "127.0.0.4", "127.0.0.5"], 0.0)
    assert passed(receiver, "127.0.0.4") == 200
    assert passed(receiver, "127.0.0.5") == 0


def test_another_program_takes_the_place_and_none_lets_all_pass(receiver):
    set_filter(receiver, ["127.0.0.5"], 0.0)
    set_filter(receiver, ["127.0.0.6"], 0.0)
    assert (passed(receiver, "127.0.0.5"), passed(receiver, "127.0.0.6")) == (0, 200)
    set_filter(receiver, [], 1.0)
    set_filter(receiver, [], 1.0)  # there is none any more
    assert (passed(receiver, "127.0.0.5"), passed(receiver, "127.0.0.6")) == (200, 200)


def test_what_the_kernel_does_not_take_is_an_error(receiver, monkeypatch):
    monkeypatch.setattr(module, "code_of", lambda *given, **more: code_of(*given, **more)[:-8])  # falls off its end
    with pytest.raises(OSError, match="Invalid argument"):
        set_filter(receiver, [], 0.0)
