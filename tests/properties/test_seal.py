"""Sealing: the way there and back, and whatever bytes may come."""

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.errors import WireError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.sealed.channel import WIDTH, Window
from discoveryd.protocol.sealed.envelope import BEYOND, TO_ALL, TO_ONE, Sealer, derive, pack
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_SEALED_PING, MAX_SEALED_PONG, MAX_SEALED_STEADY, Hello
from tests.properties.strategies import FUZZ, hellos, mutated, pings, pongs, words

opening = settings(max_examples=max(100, FUZZ // 10))

KEYS = (Key(bytes(range(32))), Key(bytes(range(1, 33))))
RING = Keyring(keys=KEYS)
ALICE, BOB, CAROL = "a" * 16, "b" * 16, "c" * 16
THERE = Source("10.0.0.7", Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255"))
ROUTED = Source(THERE.address, None)
PLACES = {TO_ALL: (THERE.packed, ""), TO_ONE: (THERE.packed, BOB), BEYOND: (b"", "")}
SCOPES = tuple(PLACES)
messages = hellos() | pings | pongs


def sealer(message, *, id="x", boot, realm=None, counter=0):
    return Sealer(RING, realm=realm or message.realm, id=getattr(message, "id", id), boot=boot, counter=counter)


@given(messages, words, st.integers(0, 2**48 - 1), st.sampled_from(KEYS), st.sampled_from(SCOPES))
def test_what_is_sealed_is_opened(message, id, counter, key, scope):
    if message.boot == BOB:
        return
    sender, receiver = sealer(message, id=id, boot=message.boot, counter=counter), sealer(message, boot=BOB)
    plain = message.encode()
    here, to = PLACES[scope]
    datagram = sender.seal(plain, key=key.id, here=here, to=to)
    opened = receiver.open(datagram, THERE if here else ROUTED)
    is_hello = isinstance(message, Hello)
    is_quiet = is_hello and (message.quiet or not (message.solicit or message.goodbye or message.record))
    assert opened == (plain, key.id, getattr(message, "id", id), message.boot, scope, counter, is_quiet)
    assert datagram[-1:].isdigit() is plain[-1:].isdigit() is is_quiet
    assert datagram.isascii()
    assert len(datagram) <= MAX_DATAGRAM
    if plain.startswith(b"PONG"):
        assert len(datagram) <= MAX_SEALED_PONG
    elif getattr(message, "record", None) is None:
        assert len(datagram) <= MAX_SEALED_STEADY
    if plain.startswith(b"HELLO"):
        assert len(datagram) >= MAX_SEALED_PING


@given(messages, st.data())
def test_an_altered_envelope_is_refused(message, data):
    if message.boot in (BOB, CAROL):
        return
    scope = data.draw(st.sampled_from(SCOPES))
    here, to = PLACES[scope]
    datagram = sealer(message, boot=message.boot).seal(message.encode(), key=KEYS[0].id, here=here, to=to)
    source, elsewhere = (THERE, ROUTED) if here else (ROUTED, THERE)
    at, value = data.draw(st.integers(0, len(datagram) - 1)), data.draw(st.integers(0, 255))
    altered = datagram[:at] + bytes([value]) + datagram[at + 1 :]
    if altered != datagram:
        assert refusal(sealer(message, boot=BOB), altered, source) in {
            "malformed", "version", "unknown-key", "bad-seal", "own-echo",
        }  # fmt: skip
    assert refusal(sealer(message, boot=BOB), datagram[:at], source) in {"malformed", "version", "bad-seal"}
    if to:
        assert refusal(sealer(message, boot=CAROL), datagram, source) == "bad-seal"
    if here:
        assert refusal(sealer(message, boot=BOB), datagram, Source("10.0.0.66", THERE.link)) == "bad-seal"
    assert refusal(sealer(message, boot=BOB), datagram, elsewhere) == "unbound"
    other = "o" if message.realm != "o" else "p"
    assert refusal(sealer(message, boot=BOB, realm=other), datagram, source) == "bad-seal"


def attempt(receiver, datagram, source):
    try:
        return receiver.open(datagram, source), None
    except WireError as error:
        return None, error


def refusal(receiver, datagram, source):
    error = attempt(receiver, datagram, source)[1]
    return error and error.reason


SEEDS = tuple(
    Sealer(RING, realm="default", id="web1", boot=ALICE).seal(datagram % ALICE.encode(), key=KEYS[0].id, here=THERE.packed, to=to)
    for datagram, to in (
        (b"HELLO|2|default|web1|%b|800|4000||40438a3c69897b62|41", ""),
        (b"HELLO|2|default|web1|%b|800|4000||40438a3c69897b62|41||" + b"x" * 700 + b"|", ""),
        (b"PING|2|default|web1|%b|0b6e3f9a77c1d204|a3d1e00942bb7c15|", BOB),
    )
)
ODD = (
    b"", b"|", b":", b"=", b"b0", b"u0", b"b", b"u", b"s", b"s0", b"w", b"f" * 16, b"00", b"A" * 1000, b"A" * 24, b":" + b"0" * 500, b":" + b"~" * 500,
    b"\0", b"\xff", b"\n", b"0" * 16, BOB.encode(), b"66b37b47", b"1",
)  # fmt: skip
RECEIVER = Sealer(RING, realm="default", id="web2", boot=BOB)


@opening
@given(mutated(SEEDS, ODD) | st.binary(max_size=1100) | st.binary(max_size=1000).map(lambda tail: b"SEALED|2|" + tail))
def test_any_bytes_give_a_plain_datagram_or_a_wire_error(data):
    opened, error = attempt(RECEIVER, data, THERE)
    if error:
        assert error.reason in DROP_REASONS
        assert len(str(error)) < 300
    else:
        assert data in SEEDS  # nothing else was ever sealed
        assert opened.id == "web1"


@opening
@given(st.binary(max_size=800))
def test_an_envelope_of_an_insider_is_plain_or_malformed(inside):
    header = b"SEALED|2|66b37b47|web1|" + ALICE.encode() + b"|0|"
    bound = header + b"|b|" + THERE.packed
    raw = ChaCha20Poly1305(derive(KEYS[0].secret, b"default", b"web1", ALICE.encode())).encrypt(bytes(12), inside, bound)
    for is_long in (False, len(raw) % 4 == 0):
        opened, error = attempt(RECEIVER, header + pack(raw, is_long=is_long) + b"|b", THERE)
        if error:
            assert error.reason in {"malformed", "too-long"}
        else:
            assert opened.datagram.split(b"|")[1:3] == [b"2", b"default"]


@given(st.integers(0, 3000), st.lists(st.integers(0, 6000) | st.integers(2**64 - 2000, 2**64 - 1), max_size=60))
def test_a_window_is_a_set_that_forgets_what_is_old(top, counters):
    window, taken, highest = Window(top), set(range(top + 1)), top
    for counter in counters:
        expected = counter not in taken and counter > highest - WIDTH
        assert window.take(counter) is expected
        if expected:
            taken.add(counter)
            highest = max(highest, counter)


