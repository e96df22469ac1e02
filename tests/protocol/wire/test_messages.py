"""Each message kind is written and read; any other bytes are refused with a reason."""

from dataclasses import dataclass

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.kinds import KINDS, LETTERS, Kind, decode, is_of_node
from discoveryd.protocol.wire.messages import ANYONE, BARE, MAX_DATAGRAM, MAX_STEADY, BareHello, Hello, Ping, Pong
from discoveryd.protocol.wire.record import MAX_RECORD

STEADY = b"HELLO|2|default|web1|00000000000000aa|800|4000||00000000000000bb|41"
VALUES = {
    "realm": "default",
    "id": "web1",
    "boot": "00000000000000aa",
    "interval_ms": 800,
    "ttl_ms": 4000,
    "digest": "00000000000000bb",
    "seq": 41,
}
LONGEST = {
    "realm": "r" * 16,
    "id": "i" * 32,
    "boot": "f" * 16,
    "interval_ms": 600_000,
    "ttl_ms": 3_600_000,
    "digest": "f" * 16,
    "seq": 0xFFFFFFFF,
}


def fields(**changed):
    """Return the steady HELLO with some of its ten fields changed, by position: f3=b"x"."""
    parts = STEADY.split(b"|")
    for key, value in changed.items():
        parts[int(key[1:])] = value
    return b"|".join(parts)


def reason(datagram):
    with pytest.raises(WireError) as caught:
        decode(datagram)
    return caught.value.reason


def test_a_steady_hello():
    assert Hello(**VALUES).encode() == STEADY
    assert decode(STEADY) == Hello(**VALUES)


def test_a_quiet_hello_ends_in_a_digit():
    hello = Hello(**VALUES, record=b'{"name":"a"}', quiet=True)
    assert hello.encode() == STEADY + b'||{"name":"a"}|0'
    assert decode(hello.encode()) == hello
    assert decode(STEADY + b'||{"name":"a"}|later|0') == hello, "fields of a later version"
    for end in (b'|s|{"name":"a"}|0', b'|g|{"name":"a"}|0', b"|||0", b'||{"name":"a"}|1', b'||{"name":"a"}|00', b"||0", b"|0"):
        assert reason(STEADY + end) == "malformed"


def test_no_other_hello_ends_in_a_digit():
    assert Hello(**VALUES, lasting="qw").encode() == fields(f7=b"qw")
    for more in ({"solicit": True}, {"goodbye": True}, {"record": b'{"name":"a"}'}):
        assert Hello(**VALUES, lasting="qw", **more).encode().endswith(b"|")
    for end in (b"|", b"|1", b"|s|1", b"||{}|1", b"||{}", b"|s", b"|s|{}||41"):
        assert reason(STEADY + end) == "malformed"


def test_a_hello_with_flags_and_record():
    hello = Hello(**VALUES, solicit=True, goodbye=True, record=b'{"name":"a"}')
    assert hello.encode() == STEADY + b'|sg|{"name":"a"}|'
    assert decode(hello.encode()) == hello


@pytest.mark.parametrize(("reason", "once"), [
    ("stop", b"g"), ("restart", b"gr"), ("upgrade", b"gu"), ("reboot", b"gb"), ("poweroff", b"gp"),
])  # fmt: skip
def test_a_goodbye_says_why_in_a_letter(reason, once):
    hello = Hello(**VALUES, goodbye=True, goodbye_reason=reason)
    assert hello.encode() == STEADY + b"|" + once + b"|"
    assert decode(hello.encode()) == hello
    assert b"g" in once, "what a release looks for that knows no reasons: it passes over the other letters"


@pytest.mark.parametrize(("once", "reason"), [(b"gZ", "stop"), (b"Zbg", "reboot"), (b"rubpg", "restart")])
def test_letters_of_a_later_release_are_no_reason(once, reason):
    hello = decode(STEADY + b"|" + once + b"|")
    assert (hello.goodbye, hello.goodbye_reason) == (True, reason)


def test_a_reason_without_a_goodbye_means_nothing():
    assert decode(STEADY + b"|b|") == Hello(**VALUES)
    assert Hello(**VALUES, goodbye_reason="reboot").encode() == STEADY


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\0", b"\0\0\0\n"])
def test_a_bare_hello_with_what_echo_and_c_strings_add(end):
    assert decode(BARE + end) == BareHello()


def test_the_longest_hellos_stay_within_their_limits():
    assert len(Hello(**LONGEST).encode()) == 118 <= MAX_STEADY
    flagged = Hello(**LONGEST, solicit=True, goodbye=True, goodbye_reason="reboot")
    assert len(flagged.encode()) == 123 <= MAX_STEADY
    full = Hello(**LONGEST, solicit=True, goodbye=True, record=b"x" * MAX_RECORD).encode()
    assert len(full) == 823 <= MAX_DATAGRAM
    assert decode(full).record == b"x" * MAX_RECORD


@pytest.mark.parametrize(
    "datagram",
    [
        STEADY + b"|zsQ7|",
        STEADY + b"|s||",
        STEADY + b"|s||later|fields|",
    ],
)
def test_flags_and_fields_of_a_later_release_are_ignored(datagram):
    hello = decode(datagram)
    assert hello == Hello(**VALUES, solicit=True)


def test_a_hello_with_unknown_lasting_flags_is_steady():
    assert decode(fields(f7=b"qW")) == Hello(**VALUES, lasting="qW")


def test_fields_after_the_record_are_ignored():
    assert decode(STEADY + b"||{}|more|").record == b"{}"


@pytest.mark.parametrize("version", [b"", b"0", b"1", b"3", b"02", b"2 ", b"x" * 900])
def test_a_hello_of_another_version_is_dropped(version):
    assert reason(fields(f1=version)) == "version"


def test_a_hello_one_byte_too_long_is_dropped():
    assert decode(STEADY + b"||" + b"x" * (MAX_DATAGRAM - len(STEADY) - 3) + b"|").seq == 41
    assert reason(STEADY + b"||" + b"x" * (MAX_DATAGRAM - len(STEADY) - 2) + b"|") == "too-long"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"|",
        b"HELLO",
        b"hello|",
        b" HELLO|",
        b"HELLOS|1",
        b"HELLO|2",
        STEADY.rpartition(b"|")[0],
        STEADY + b"\n",
        fields(f2=b""),
        fields(f2=b"r" * 17),
        fields(f2=b"a b"),
        fields(f2="ä".encode()),
        fields(f3=b""),
        fields(f3=b"i" * 33),
        fields(f3=b"a/b"),
        fields(f3=b"\xff"),
        fields(f4=b"00000000000000A0"),
        fields(f4=b"0" * 15),
        fields(f4=b"0" * 17),
        fields(f4=b"0x" + b"0" * 14),
        fields(f5=b"0"),
        fields(f5=b"-1"),
        fields(f5=b"+5"),
        fields(f5=b"8e2"),
        fields(f5=b" 800"),
        fields(f5=b"1_000"),
        fields(f5=b"600001", f6=b"3600000"),
        fields(f5=b""),
        fields(f5="٣".encode()),
        fields(f6=b"3600001"),
        fields(f6=b"799"),
        fields(f7=b"q" * 17),
        fields(f7=b"q1"),
        fields(f7="ä".encode()),
        fields(f8=b""),
        fields(f8=b"g" * 16),
        fields(f9=b""),
        fields(f9=b"4294967296"),
        fields(f9=b"9" * 400),
    ],
)
def test_a_malformed_hello_is_dropped(datagram):
    assert reason(datagram) == "malformed"


def test_the_ttl_may_be_one_interval():
    assert decode(fields(f6=b"800")).ttl_ms == 800


# --- PING and PONG --------------------------------------------------------------------------------

PING = Ping(realm="default", id="web1", boot="a" * 16, nonce="b" * 16, to="c" * 16)
PONG = Pong(realm="default", boot="c" * 16, nonce="b" * 16, heard_ms=312, held_us=85)


def test_a_ping():
    datagram = b"PING|2|default|web1|aaaaaaaaaaaaaaaa|bbbbbbbbbbbbbbbb|cccccccccccccccc|"
    assert PING.encode() == datagram
    assert decode(datagram) == PING


def test_a_ping_names_no_node_unless_told():
    assert Ping(realm="r", id="i", boot="a" * 16, nonce="b" * 16).to == ANYONE


def test_a_pong():
    datagram = b"PONG|2|default|cccccccccccccccc|bbbbbbbbbbbbbbbb|312|85|"
    assert PONG.encode() == datagram
    assert decode(datagram) == PONG


@pytest.mark.parametrize(
    ("heard_ms", "text", "read"),
    [(None, b"-", None), (0, b"0", 0), (9_999_999, b"9999999", 9_999_999), (10**9, b"9999999", 9_999_999)],
)
def test_a_pong_says_when_a_hello_was_heard(heard_ms, text, read):
    datagram = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=heard_ms).encode()
    assert datagram.split(b"|")[5] == text
    assert decode(datagram).heard_ms == read


@pytest.mark.parametrize(("held_us", "text"), [(0, b"0"), (-3, b"0"), (9_999_999, b"9999999"), (10**9, b"9999999")])
def test_a_pong_says_how_long_the_ping_lay(held_us, text):
    datagram = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=1, held_us=held_us).encode()
    assert datagram.split(b"|")[6] == text
    assert decode(datagram).held_us == int(text)


def test_the_longest_pong_is_shorter_than_its_ping():
    ping = Ping(realm="r", id="i", boot="a" * 16, nonce="b" * 16)
    pong = Pong(realm="r", boot="c" * 16, nonce="b" * 16, heard_ms=9_999_999, held_us=9_999_999)
    assert len(pong.encode()) < len(ping.encode())


def test_a_ping_and_a_pong_end_in_a_bar():
    assert PING.encode().endswith(b"|")
    assert PONG.encode().endswith(b"|")


def test_further_fields_of_a_ping_and_a_pong_are_ignored():
    assert decode(PING.encode() + b"later|") == PING
    assert decode(PONG.encode() + b"later|") == PONG


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
def test_a_wrong_ping_or_pong_is_dropped(datagram, reason):
    with pytest.raises(WireError) as caught:
        decode(datagram)
    assert caught.value.reason == reason


# --- a kind that a later release may add ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Echo:
    realm: str
    id: str
    boot: str
    nonce: str
    to: str

    def encode(self):
        return f"ECHO|2|{self.realm}|{self.id}|{self.boot}|{self.nonce}|{self.to}|".encode()


ECHO = Kind(word=b"ECHO", letter=b"E", message=Echo, fields=("realm", "id", "boot", "nonce", "to"), least=200)


@pytest.fixture
def echo(monkeypatch):
    monkeypatch.setitem(KINDS, ECHO.word, ECHO)
    monkeypatch.setitem(LETTERS, ECHO.letter, ECHO)
    return Echo(realm="default", id="web1", boot="a" * 16, nonce="b" * 16, to="c" * 16)


def test_a_new_kind_is_one_row_to_travel_plain(echo):
    assert decode(echo.encode()) == echo
    assert decode(echo.encode() + b"later|") == echo
    assert reason(echo.encode()[:-1]) == "malformed"
    assert is_of_node(echo.encode())


@pytest.mark.parametrize("to", ["c" * 16, ""])
def test_a_new_kind_is_one_row_to_travel_sealed(echo, to):
    ring = Keyring(keys=(Key(bytes(range(32))),))
    sender, receiver = (Sealer(ring, realm="default", id=id, boot=boot * 16) for id, boot in (("web1", "a"), ("web2", "c")))
    link = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
    sealed = sender.seal(echo.encode(), key=ring.send_with, here=link.packed, to=to)
    opened = receiver.open(sealed, Source("10.0.0.1", link))
    assert decode(opened.datagram) == echo
    assert 200 <= len(sealed) < 204


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_new_kind_is_one_handler_in_the_engine(echo, is_sealed):
    ring = Keyring(keys=(Key(bytes(range(32))),))
    heard, node = [], Node(node_id="web2", keyring=ring)
    link = Link("eth0", 2, "10.0.0.2", 24, "10.0.0.255")
    node.set_links([link], 0.0)
    node.handlers[Echo] = lambda message, incoming, now: heard.append((message, incoming.source.key, now)) or NOTHING
    sender = Sealer(ring, realm="default", id="web1", boot="a" * 16)
    datagram = echo.encode()
    if is_sealed:
        datagram = sender.seal(datagram, key=ring.send_with, here=b"\x0a\0\0\1", to=node.boot)
    assert node.receive(datagram, Source("10.0.0.1", link), 1.0) is NOTHING
    assert heard == [(echo, ring.send_with if is_sealed else "", 1.0)]
    assert not node.drops


def test_without_its_row_a_kind_is_malformed():
    assert reason(b"ECHO|2|default|web1|aaaaaaaaaaaaaaaa|bbbbbbbbbbbbbbbb|cccccccccccccccc|") == "malformed"


@pytest.mark.parametrize(
    ("datagram", "is_so"),
    [(STEADY, True), (b"PING|", True), (b"PONG|2|x", True), (b"SEALED|2|x", True), (b"HELLO|x", True), (b"HELLO|", False),
     (b"HELLO|\n", False), (b"HELLO", False), (b"PING", False), (b"SEALED", False), (b"hello|", False), (b"", False)],
)  # fmt: skip
def test_only_a_node_says_anything_but_a_bare_hello(datagram, is_so):
    assert is_of_node(datagram) is is_so
