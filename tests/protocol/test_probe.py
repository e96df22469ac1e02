import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.wire.probe import ANYONE, Ping, Pong, decode_probe

PING = Ping(realm="default", id="web1", boot="a" * 16, nonce="b" * 16, to="c" * 16)
PONG = Pong(realm="default", boot="c" * 16, nonce="b" * 16, heard_ms=312, held_us=85)


def test_ping():
    datagram = b"PING|2|default|web1|aaaaaaaaaaaaaaaa|bbbbbbbbbbbbbbbb|cccccccccccccccc|"
    assert PING.encode() == datagram
    assert decode_probe(datagram) == PING


def test_a_ping_for_whoever_has_the_address():
    assert Ping(realm="r", id="i", boot="a" * 16, nonce="b" * 16).to == ANYONE


def test_pong():
    datagram = b"PONG|2|default|cccccccccccccccc|bbbbbbbbbbbbbbbb|312|85|"
    assert PONG.encode() == datagram
    assert decode_probe(datagram) == PONG


@pytest.mark.parametrize(
    ("heard_ms", "text", "read"),
    [(None, b"-", None), (0, b"0", 0), (9_999_999, b"9999999", 9_999_999), (10**9, b"9999999", 9_999_999)],
)
def test_heard(heard_ms, text, read):
    datagram = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=heard_ms).encode()
    assert datagram.split(b"|")[5] == text
    assert decode_probe(datagram).heard_ms == read


@pytest.mark.parametrize(("held_us", "text"), [(0, b"0"), (-3, b"0"), (9_999_999, b"9999999"), (10**9, b"9999999")])
def test_held(held_us, text):
    datagram = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=1, held_us=held_us).encode()
    assert datagram.split(b"|")[6] == text
    assert decode_probe(datagram).held_us == int(text)


def test_the_longest_pong_is_shorter_than_its_ping():
    ping = Ping(realm="r", id="i", boot="a" * 16, nonce="b" * 16)
    pong = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=9_999_999, held_us=9_999_999)
    assert len(pong.encode()) < len(ping.encode())


def test_neither_ends_as_a_steady_hello_does():
    assert PING.encode().endswith(b"|")
    assert PONG.encode().endswith(b"|")


def test_further_fields_are_passed_over():
    assert decode_probe(PING.encode() + b"later|") == PING
    assert decode_probe(PONG.encode() + b"later|") == PONG


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"P", "malformed"),
        (b"PING", "malformed"),
        (b"PING|2", "malformed"),
        (b"PONG|2", "malformed"),
        (b"POST|2|x", "malformed"),
        (PING.encode()[:-1], "malformed"),
        (PONG.encode()[:-1], "malformed"),
        (PONG.encode()[:-3], "malformed"),
        (PONG.encode().replace(b"|85|", b"|x|"), "malformed"),
        (PONG.encode().replace(b"|85|", b"|10000000|"), "malformed"),
        (PONG.encode() + b"x", "malformed"),
        (PONG.encode() + b"00000", "malformed"),
        (PING.encode() + b"0", "malformed"),
        (b"PING|1|x", "version"),
        (b"PONG||x", "version"),
        (PING.encode() + b"|" + b"x" * 1024, "too-long"),
    ],
)
def test_refused(datagram, reason):
    with pytest.raises(WireError) as caught:
        decode_probe(datagram)
    assert caught.value.reason == reason
