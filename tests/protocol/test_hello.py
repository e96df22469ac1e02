import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.wire.hello import BARE, MAX_DATAGRAM, MAX_STEADY, Hello, decode_hello
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
    """Give the steady HELLO with some of its ten fields changed, by position: f3=b"x"."""
    parts = STEADY.split(b"|")
    for key, value in changed.items():
        parts[int(key[1:])] = value
    return b"|".join(parts)


def reason(datagram):
    with pytest.raises(WireError) as caught:
        decode_hello(datagram)
    return caught.value.reason


def test_steady():
    assert Hello(**VALUES).encode() == STEADY
    assert decode_hello(STEADY) == Hello(**VALUES)


def test_only_a_steady_one_ends_in_a_digit():
    assert Hello(**VALUES, lasting="qw").encode() == fields(f7=b"qw")
    for more in ({"solicit": True}, {"goodbye": True}, {"record": b'{"name":"a"}'}):
        assert Hello(**VALUES, lasting="qw", **more).encode().endswith(b"|")
    for end in (b"|", b"|1", b"|s|1", b"||{}|1", b"||{}", b"|s", b"|s|{}||41"):
        assert reason(STEADY + end) == "malformed"


def test_flags_and_record():
    hello = Hello(**VALUES, solicit=True, goodbye=True, record=b'{"name":"a"}')
    assert hello.encode() == STEADY + b'|sg|{"name":"a"}|'
    assert decode_hello(hello.encode()) == hello


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\0", b"\0\0\0\n"])
def test_bare_with_what_echo_and_c_strings_add(end):
    assert decode_hello(BARE + end) is None


def test_longest_forms_stay_within_their_limits():
    assert len(Hello(**LONGEST).encode()) == 118 <= MAX_STEADY
    flagged = Hello(**LONGEST, solicit=True, goodbye=True)
    assert len(flagged.encode()) == 122 <= MAX_STEADY
    full = Hello(**LONGEST, solicit=True, goodbye=True, record=b"x" * MAX_RECORD).encode()
    assert len(full) == 823 <= MAX_DATAGRAM
    assert decode_hello(full).record == b"x" * MAX_RECORD


@pytest.mark.parametrize(
    "datagram",
    [
        STEADY + b"|zsQ7|",
        STEADY + b"|s||",
        STEADY + b"|s||later|fields|",
    ],
)
def test_what_a_later_version_may_add_is_passed_over(datagram):
    hello = decode_hello(datagram)
    assert hello == Hello(**VALUES, solicit=True)


def test_lasting_flags_that_are_not_known_leave_it_steady():
    assert decode_hello(fields(f7=b"qW")) == Hello(**VALUES, lasting="qW")


def test_fields_after_the_record_are_passed_over():
    assert decode_hello(STEADY + b"||{}|more|").record == b"{}"


@pytest.mark.parametrize("version", [b"", b"0", b"1", b"3", b"02", b"2 ", b"x" * 900])
def test_another_version(version):
    assert reason(fields(f1=version)) == "version"


def test_too_long_by_one():
    assert decode_hello(STEADY + b"||" + b"x" * (MAX_DATAGRAM - len(STEADY) - 3) + b"|").seq == 41
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
def test_malformed(datagram):
    assert reason(datagram) == "malformed"


def test_the_ttl_may_be_one_interval():
    assert decode_hello(fields(f6=b"800")).ttl_ms == 800
