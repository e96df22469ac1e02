"""What is encoded is read back, and any bytes give a message or a WireError."""

from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.errors import WireError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.meet import MAX_INTRO, Meet
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_STEADY
from discoveryd.protocol.wire.record import MAX_RECORD, decode_record
from discoveryd.protocol.wire.why import MAX_SAY, Why
from tests.properties.strategies import (
    FUZZ,
    acks,
    datagrams,
    hellos,
    intros,
    meets,
    mutated,
    parts,
    pings,
    pongs,
    records,
    says,
    whys,
)

# fewer than of the whole way in: test_receive feeds the decoders too
decoding = settings(max_examples=max(100, FUZZ // 10))


@given(hellos())
def test_hello_round_trip(hello):
    datagram = hello.encode()
    assert decode(datagram) == hello
    assert len(datagram) <= (MAX_STEADY if hello.record is None else MAX_DATAGRAM)
    assert datagram.isascii()
    is_steady = not (hello.solicit or hello.goodbye or hello.record)
    assert datagram.count(b"|") == (9 if is_steady else 11 if hello.record is None else 12)
    assert datagram[-1:].isdigit() is (is_steady or hello.quiet)


@given(pings)
def test_ping_round_trip(ping):
    assert decode(ping.encode()) == ping


@given(pongs)
def test_pong_round_trip(pong):
    assert decode(pong.encode()) == pong


@given(parts | acks)
def test_message_and_acknowledgement_round_trip(said):
    assert decode(said.encode()) == said
    assert len(said.encode()) <= MAX_DATAGRAM
    assert said.encode().endswith(b"|")


@given(whys | says)
def test_question_and_its_answer_round_trip(said):
    assert decode(said.encode()) == said
    assert (len(said.encode()) == MAX_SAY) if isinstance(said, Why) else (len(said.encode()) <= MAX_SAY)
    assert said.encode().endswith(b"|")


@given(meets | intros)
def test_question_for_peers_and_its_answer_round_trip(said):
    assert decode(said.encode()) == said
    assert (len(said.encode()) == MAX_INTRO) if isinstance(said, Meet) else (len(said.encode()) <= MAX_INTRO)
    assert said.encode().endswith(b"|")


@given(intros)
def test_any_peers_that_are_named_can_be_read(intro):
    for peer in intro.peers():
        assert ",".join(peer) in intro.named


@given(says)
def test_any_drops_that_are_told_can_be_read(say):
    for dropped in say.why_dropped():
        assert dropped.reason
        assert f"{dropped.reason}:" in say.drops


@given(records())
def test_record_round_trip(record):
    again = decode_record(record.encoded)
    assert again == record
    assert (again.encoded, again.digest) == (record.encoded, record.digest)
    assert record.encoded.isascii()
    assert b"|" not in record.encoded
    assert len(record.encoded) <= MAX_RECORD


def attempt(read, data):
    try:
        return read(data), None
    except WireError as error:
        return None, error


@decoding
@given(datagrams)
def test_any_bytes_give_a_message_or_a_wire_error(data):
    """A message that is decoded encodes to bytes that mean the same."""
    message, refusal = attempt(decode, data)
    if message is not None:
        assert decode(message.encode()) == message
    assert refusal is None or refusal.reason in DROP_REASONS
    assert len(str(refusal)) < 1000


RECORDS = (
    b'{"name":"web1"}',
    b'{"name":"web1","tags":{"rack":"b2"},"services":[{"name":"http","port":80,"proto":"tcp","tags":{"a":"b"}}]}',
    b'{"name":"w","services":[' + b",".join([b'{"name":"s","port":1}'] * 30) + b"]}",
)
JSON = (
    b"null", b"true", b"-0", b"1e400", b"9" * 500, b"NaN", b'""', b"[]", b"{}", b"[" * 600, b'{"":' * 150, b'"\\u202e"', b"\\",
    b'"\\ud83d"', b"\xef\xbb\xbf", b"\0", b'"name"', b":",
)  # fmt: skip


@decoding
@given(mutated(RECORDS, JSON, b",") | mutated(RECORDS, JSON, b":") | st.binary(max_size=720))
def test_any_bytes_give_a_record_or_a_wire_error(data):
    record, refusal = attempt(decode_record, data)
    if record is not None:
        assert record.encoded == data
        assert record.name.isprintable()
    else:
        assert refusal.reason in DROP_REASONS
