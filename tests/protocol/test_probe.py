import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.probe import ANYONE, Ping, Pong, decode_probe

PING = Ping(realm="default", id="web1", boot="a" * 16, nonce="b" * 16, to="c" * 16)
PONG = Pong(realm="default", boot="c" * 16, nonce="b" * 16, heard_ms=312)


def test_ping():
    datagram = b"PING|1|default|web1|aaaaaaaaaaaaaaaa|bbbbbbbbbbbbbbbb|cccccccccccccccc"
    assert PING.encode() == datagram
    assert decode_probe(datagram) == PING


def test_a_ping_for_whoever_has_the_address():
    assert Ping(realm="r", id="i", boot="a" * 16, nonce="b" * 16).to == ANYONE


def test_pong():
    datagram = b"PONG|1|default|cccccccccccccccc|bbbbbbbbbbbbbbbb|312"
    assert PONG.encode() == datagram
    assert decode_probe(datagram) == PONG


@pytest.mark.parametrize(
    ("heard_ms", "text", "read"),
    [(None, b"-", None), (0, b"0", 0), (9_999_999, b"9999999", 9_999_999), (10**9, b"9999999", 9_999_999)],
)
def test_heard(heard_ms, text, read):
    datagram = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=heard_ms).encode()
    assert datagram.rpartition(b"|")[2] == text
    assert decode_probe(datagram).heard_ms == read


def test_further_fields_are_passed_over():
    assert decode_probe(PING.encode() + b"|later") == PING
    assert decode_probe(PONG.encode() + b"|later") == PONG


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"P", "malformed"),
        (b"PING", "malformed"),
        (b"PING|1", "malformed"),
        (b"PONG|1", "malformed"),
        (b"POST|1|x", "malformed"),
        (PING.encode().rpartition(b"|")[0], "malformed"),
        (PONG.encode().rpartition(b"|")[0], "malformed"),
        (PONG.encode() + b"x", "malformed"),
        (PONG.encode() + b"00000", "malformed"),
        (PING.encode() + b"0", "malformed"),
        (b"PING|2|x", "version"),
        (b"PONG||x", "version"),
        (PING.encode() + b"|" + b"x" * 1024, "too-long"),
    ],
)
def test_refused(datagram, reason):
    with pytest.raises(WireError) as caught:
        decode_probe(datagram)
    assert caught.value.reason == reason
