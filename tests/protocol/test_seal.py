"""Envelopes: what is opened is what was sealed, and nothing else is opened."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from discoveryd.errors import SealError, WireError
from discoveryd.protocol import seal
from discoveryd.protocol.hello import MAX_DATAGRAM, Hello, decode_hello
from discoveryd.protocol.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.probe import Ping, Pong
from discoveryd.protocol.record import Record
from discoveryd.protocol.seal import (
    MAX_CIPHERS,
    MAX_COUNTER,
    MAX_SEALED_PING,
    MAX_SEALED_PONG,
    MAX_SEALED_STEADY,
    Opened,
    Sealer,
)
from tests.protocol.samples import boot

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
RING = Keyring(keys=(KEY,), mode="require")
WEB1, WEB2, WEB3 = "5f0c8b1e2d3a4f60", "a3d1e00942bb7c15", "0123456789abcdef"

STEADY = b"HELLO|1|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|41"
FULL = b'HELLO|1|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|50|{"name":"web1","tags":{"rack":"b2"}}'
PING = b"PING|1|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|a3d1e00942bb7c15"
PONG = b"PONG|1|default|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|312"

# computed once with an implementation of RFC 8439 written for it, from the text of the docstring alone
KNOWN = [
    (STEADY, None, (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|"
     b"U/xLHs+1wiyxkXTVMLVSe8mYOR5RY6bPtKsZeY4tGJUAs20Xtkutd9ocPNXNMDKXnA0BEzLqNY6lSHasfZwZXnCH9K2uJmWETEE8OaiXbLqN")),
    (PING, WEB2, (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|u1|"
     b"L66TaEETtM4RADYUN6F1CYbPXrMMrpTaP4Kz+L4mdxI94lOS4O3C/grULJ+jBc3eM929w3Ih87J1dmef79IXMgATrGAj1nFBwQDgspKE")),
    (PONG, WEB2, b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|u2|wWECOy9IoXKnVFIl58ThNVqzFMmTh3HpomLZJpV3vbN2VJmaSXG3gfg="),
    (FULL, None, (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b3|"
     b"SiaPXmHdVo+tsK7AE4DAwmgOe6FcWZlhXbP0CgQ05K2cW8dgysgnL2g3wypfJ6y1NuNTF7NW7U/RKdobQpTyMAyAyMdH+VIha+V4ARwj9AAu")),
]  # fmt: skip


def make(id="web1", boot=WEB1, ring=RING, realm="default", **more):
    return Sealer(ring, realm=realm, id=id, boot=boot, **more)


def sealed(datagram=STEADY, to=None, key=KEY, **more):
    return make(ring=Keyring(keys=(key,)), **more).seal(datagram, key=key.id, to=to)


def refusal(sealer, datagram):
    with pytest.raises(WireError) as caught:
        sealer.open(datagram)
    return caught.value.reason


# --- what comes out -----------------------------------------------------------------------------------


def test_the_known_answers():
    sealer, receiver = make(), make("web2", WEB2)
    for counter, (plain, to, known) in enumerate(KNOWN):
        assert sealer.seal(plain, key=KEY.id, to=to) == known
        assert receiver.open(known) == Opened(plain, KEY.id, "web1", WEB1, to is not None, counter)


def test_the_examples_of_the_docstring_are_known_answers():
    shown = seal.__doc__.replace("\n        ", "").split("\n    ")
    found = [line.split("\n")[0].encode() for line in shown if line.startswith("SEALED|1|6")]
    assert found == [KNOWN[2][2], KNOWN[0][2]]


def test_it_is_ascii_of_seven_fields():
    for _, _, datagram in KNOWN:
        assert datagram.isascii()
        assert datagram.count(b"|") == 6


def test_one_counter_for_all_that_is_sealed():
    ring = Keyring(keys=(KEY, OTHER))
    sealer, receiver = make(ring=ring), make("web2", WEB2, ring=ring)
    sent = [(STEADY, KEY, None), (STEADY, OTHER, None), (PING, KEY, WEB2), (PONG, OTHER, WEB2), (STEADY, KEY, None)]
    opened = [receiver.open(sealer.seal(plain, key=key.id, to=to)) for plain, key, to in sent]
    assert [one.counter for one in opened] == [0, 1, 2, 3, 4]
    assert [(one.datagram, one.key) for one in opened] == [(plain, key.id) for plain, key, _ in sent]


def test_the_same_datagram_never_looks_the_same():
    sealer = make()
    bodies = {sealer.seal(STEADY, key=KEY.id, to=None).rpartition(b"|")[2] for _ in range(50)}
    bodies |= {sealed(boot=WEB2, datagram=STEADY.replace(WEB1.encode(), WEB2.encode())).rpartition(b"|")[2]}
    assert len({body[:8] for body in bodies}) == 51


# --- its size -----------------------------------------------------------------------------------------


def hello(id, record=None, **values):
    values = {"interval_ms": 600_000, "ttl_ms": 3_600_000, "seq": 2**32 - 1, "solicit": True, "goodbye": True, **values}
    digest = "0" * 16 if record is None else record.digest
    return Hello(realm="r" * 16, id=id, boot=WEB1, digest=digest, record=record and record.encoded, **values).encode()


def longest_record():
    record = Record(name="x", tags={"a": "\\" * 255, "b": "y" * 155})
    assert len(record.encoded) == 700
    return record


@pytest.mark.parametrize("id", ["i", "i" * 16, "i" * 32])
def test_the_longest_hello_fits(id):
    sealer = make(id, realm="r" * 16)
    sealer._counter = 2**52 - 1
    plain = hello(id, longest_record())
    datagram = sealer.seal(plain, key=KEY.id, to=None)
    assert len(datagram) <= MAX_DATAGRAM
    assert datagram.split(b"|")[6].startswith(b":")
    assert make("web2", WEB2, realm="r" * 16).open(datagram).datagram == plain
    assert decode_hello(plain).record == longest_record().encoded


def test_base_85_is_for_what_base_64_cannot_hold():
    lengths = {False: [], True: []}
    for size in range(610, 697):
        record = Record(name="x", tags={"a": "y" * 255, "b": "y" * 255, "c": "y" * (size - 548)})
        datagram = make("i" * 32, realm="r" * 16).seal(hello("i" * 32, record), key=KEY.id, to=None)
        lengths[datagram.split(b"|")[6].startswith(b":")].append((len(record.encoded), len(datagram)))
        assert make("web2", WEB2, realm="r" * 16).open(datagram).datagram == hello("i" * 32, record)
    assert max(lengths[False]) < min(lengths[True])
    assert 1020 < lengths[False][-1][1] <= 1024


def test_what_does_not_fit_is_refused():
    sealer = make("i" * 32, realm="r" * 16)
    sealer._counter = 2**52  # after 130,000 years of 1,100 datagrams a second
    with pytest.raises(SealError, match="1025 bytes when sealed, at most 1024"):
        sealer.seal(hello("i" * 32, longest_record()), key=KEY.id, to=None)


@pytest.mark.parametrize("asker", ["a", "a" * 16, "a" * 32])
@pytest.mark.parametrize("answerer", ["b", "b" * 16, "b" * 32])
@pytest.mark.parametrize("counters", [(0, 0), (0, MAX_COUNTER - 3), (MAX_COUNTER - 3, 0)])
def test_no_answer_is_longer_than_its_question(asker, answerer, counters):
    one, other = make(asker, WEB1), make(answerer, WEB2)
    one._counter, other._counter = counters
    short = Hello(realm="default", id=asker, boot=WEB1, interval_ms=1, ttl_ms=1, digest="0" * 16, seq=0)
    greeting = one.seal(short.encode(), key=KEY.id, to=None)
    for to, bound in ((WEB1, WEB1), ("0" * 16, None)):
        ping = Ping(realm="default", id=answerer, boot=WEB2, nonce="1" * 16, to=to)
        question = other.seal(ping.encode(), key=KEY.id, to=bound)
        assert MAX_SEALED_PONG <= len(question) <= MAX_SEALED_PING <= len(greeting)
    for heard in (None, 0, 9_999_999):
        pong = Pong(realm="default", boot=WEB1, nonce="1" * 16, heard_ms=heard)
        assert len(make(asker, WEB1).seal(pong.encode(), key=KEY.id, to=WEB2)) <= len(question)


@pytest.mark.parametrize("id", ["i", "i" * 16, "i" * 32])
def test_a_steady_hello_is_short(id):
    sealer = make(id, realm="r" * 16)
    sealer._counter = MAX_COUNTER - 1
    assert len(sealer.seal(hello(id), key=KEY.id, to=None)) <= 178 < MAX_SEALED_STEADY


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("plain", "to", "datagram"), KNOWN, ids=["steady", "ping", "pong", "full"])
def test_every_byte_counts(plain, to, datagram):
    receiver = make("web2", WEB2)
    reasons = set()
    for at in range(len(datagram)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128):
            changed = datagram[:at] + bytes([datagram[at] ^ flip]) + datagram[at + 1 :]
            reasons.add(refusal(receiver, changed))
    assert reasons == {"malformed", "version", "unknown-key", "bad-seal"}
    for at in range(len(datagram)):
        assert refusal(receiver, datagram[:at]) in {"malformed", "version", "bad-seal"}
        assert refusal(receiver, datagram[:at] + datagram[at + 1 :]) in {"malformed", "version", "unknown-key", "bad-seal"}
    for more in (b"A", b"=", b"\n", b"\0", b"|", b"AAAA"):
        assert refusal(receiver, datagram + more) in {"malformed", "bad-seal"}


def test_every_byte_of_base_85_counts():
    datagram = make("i" * 32, realm="r" * 16).seal(hello("i" * 32, longest_record()), key=KEY.id, to=None)
    receiver = make("web2", WEB2, realm="r" * 16)
    assert receiver.open(datagram)
    for at in range(len(datagram)):
        for flip in (1, 2, 16):
            changed = datagram[:at] + bytes([datagram[at] ^ flip]) + datagram[at + 1 :]
            assert refusal(receiver, changed) in {"malformed", "version", "unknown-key", "bad-seal"}
        assert refusal(receiver, datagram[:at]) in {"malformed", "version", "bad-seal"}


IMPOSTOR = Key(b"x" * 32)
object.__setattr__(IMPOSTOR, "id", KEY.id)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (sealed(realm="other", datagram=STEADY.replace(b"default", b"other")), "bad-seal"),
        (sealed(key=OTHER), "unknown-key"),
        (sealed(key=IMPOSTOR), "bad-seal"),
        (sealed(PING, WEB3), "bad-seal"),
        (sealed(PING, WEB2).replace(b"|u0|", b"|b0|"), "bad-seal"),
        (sealed(STEADY).replace(b"|b0|", b"|u0|"), "bad-seal"),
        (sealed(STEADY).replace(b"|b0|", b"|b1|"), "bad-seal"),
        (sealed(STEADY).replace(b"|web1|", b"|web3|"), "bad-seal"),
        (sealed(STEADY).replace(WEB1.encode(), WEB3.encode()), "bad-seal"),
        (sealed(boot=WEB2, datagram=STEADY.replace(WEB1.encode(), WEB2.encode())), "own-echo"),
        (b"SEALED|", "version"),
        (b"SEALED|2|x", "version"),
        (b"SEALED|1", "malformed"),
        (b"SEALED|1|" + b"|" * 1000, "malformed"),
        (b"SEALED", "malformed"),
        (b"", "malformed"),
        (b"HELLO|", "malformed"),
        (KNOWN[0][2] + b"|later", "malformed"),
        (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|", "malformed"),
        (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|:", "malformed"),
        (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|AAAAAAAAAAAAAAAAAAAAAA==", "malformed"),  # a tag and nothing else
        (b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|AAAAAAAAAAAAAAAAAAAAAAA=", "bad-seal"),
        (KNOWN[0][2] + b"A" * 1024, "too-long"),
        (KNOWN[0][2].replace(b"|66b37b47|", b"|\xff|"), "unknown-key"),
        (KNOWN[0][2].replace(b"|web1|", b"||"), "malformed"),
        (KNOWN[0][2].replace(b"|web1|", b"|" + b"w" * 33 + b"|"), "malformed"),
        (KNOWN[0][2].replace(b"5f0c", b"5F0C"), "malformed"),
        *[(KNOWN[0][2].replace(b"|b0|", b"|" + place + b"|"), "malformed")
          for place in (b"", b"b", b"0", b"b00", b"b0x1", b"b-1", b"b1_0", b"b 1", b"bA", b"c0", b"B0", b"b" + b"1" * 17)],
        (KNOWN[0][2].replace(b"|b0|", b"|b" + b"f" * 16 + b"|"), "bad-seal"),
    ],
)  # fmt: skip
def test_refused(datagram, reason):
    assert refusal(make("web2", WEB2), datagram) == reason


def test_a_unicast_is_worthless_for_the_next_run_of_its_receiver():
    datagram = sealed(PING, WEB2)
    assert make("web2", WEB2).open(datagram).is_unicast
    assert refusal(make("web2", WEB3), datagram) == "bad-seal"


def test_without_keys_it_is_said_so():
    sealer = make("web2", WEB2, ring=NO_KEYS)
    assert refusal(sealer, KNOWN[0][2]) == "sealed"
    assert refusal(sealer, b"SEALED|2|whatever") == "sealed"
    with pytest.raises(SealError, match="no key '66b37b47' in the ring"):
        make(ring=NO_KEYS).seal(PING, key=KEY.id, to=None)


def test_without_keys_cryptography_is_not_imported():
    code = (
        "import sys\nfrom discoveryd.protocol.seal import Sealer\nfrom discoveryd.protocol.keyring import NO_KEYS\n"
        "Sealer(NO_KEYS, realm='r', id='i', boot='0' * 16)\nprint('cryptography' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "inside", [b"", b"HELLO", b"BYE|1", b"SEALED|1|x", b"\0\0\0", b"\xff" * 40, b"hello|800", b"HELLO|1|2|3||4|{}|x", b"PING", b"PING|", b"PONG"]
)
def test_what_an_insider_seals_is_plain_or_malformed(inside):
    """Who has the key may seal anything; it must be fit to be parsed, or refused."""
    sealer = make()
    header = b"SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|"
    raw = sealer._own_cipher(KEY.id).encrypt(bytes(12), inside, header)
    datagram = header + seal.pack(raw, is_long=False)
    if len(raw) > 16 and inside[:4] in (b"HELL", b"PING", b"PONG"):
        plain = make("web2", WEB2).open(datagram).datagram
        assert plain.startswith(inside.split(b"|")[0] + b"|1|default|")
        assert len(plain) < 1024
    else:
        assert refusal(make("web2", WEB2), datagram) == "malformed"


# --- keys that change ---------------------------------------------------------------------------------


def test_the_counter_outlives_a_change_of_keys():
    sealer, receiver = make(), make("web2", WEB2)
    first = sealer.seal(STEADY, key=KEY.id, to=None)
    assert receiver.open(first).counter == 0
    both = Keyring(keys=(KEY, OTHER), send_with=OTHER.id, mode="accept")
    for one in (sealer, receiver):
        one.set_keyring(both)
        assert one.keyring is both
    assert receiver.open(sealer.seal(STEADY, key=both.sends, to=None))[1:] == (OTHER.id, "web1", WEB1, False, 1)
    sealer.set_keyring(RING)
    assert sealer.seal(STEADY, key=KEY.id, to=None).split(b"|")[5] == b"b2"


def test_a_key_that_was_removed_opens_nothing():
    sealer, receiver = make(), make("web2", WEB2)
    assert receiver.open(sealer.seal(STEADY, key=KEY.id, to=None))
    receiver.set_keyring(Keyring(keys=(OTHER,)))
    assert refusal(receiver, sealer.seal(STEADY, key=KEY.id, to=None)) == "unknown-key"
    receiver.set_keyring(NO_KEYS)
    assert refusal(receiver, sealer.seal(STEADY, key=KEY.id, to=None)) == "sealed"


def test_derived_keys_are_bounded_and_strangers_cannot_fill_them():
    receiver = make("web2", WEB2)
    plain = Ping(realm="default", id="web1", boot=WEB1, nonce="1" * 16).encode()
    for number in range(MAX_CIPHERS + 3):
        datagram = sealed(plain.replace(WEB1.encode(), boot(number).encode()), boot=boot(number))
        assert receiver.open(datagram).boot == boot(number)
    assert len(receiver._ciphers) == MAX_CIPHERS
    assert (KEY.id, b"web1", boot(2).encode()) not in receiver._ciphers
    assert receiver.open(sealed(plain.replace(WEB1.encode(), boot(0).encode()), boot=boot(0)))
    kept = dict(receiver._ciphers)
    assert refusal(receiver, KNOWN[0][2].replace(WEB1.encode(), WEB3.encode())) == "bad-seal"
    assert receiver._ciphers == kept


# --- what is not sealed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "datagram",
    [b"", b"HELLO|", b"HELLO|1|other" + STEADY[15:], STEADY.replace(b"web1", b"web2"), STEADY.replace(b"5f0c", b"0000"), b"SEALED|1|",
     PING.replace(b"|1|", b"|2|"), PONG.replace(b"5f0c", b"0000"), b"HELLO"],
)  # fmt: skip
def test_only_messages_of_this_node_are_sealed(datagram):
    sealer = make()
    with pytest.raises(SealError, match="not a message of this node"):
        sealer.seal(datagram, key=KEY.id, to=None)
    assert sealer.seal(STEADY, key=KEY.id, to=None).split(b"|")[5] == b"b0"


def test_the_last_nonce():
    sealer = make()
    sealer._counter = MAX_COUNTER - 1
    last = sealer.seal(STEADY, key=KEY.id, to=None)
    assert make("web2", WEB2).open(last).counter == 2**64 - 1
    for _ in range(2):
        with pytest.raises(SealError, match=r"all 2\^64 nonces of this boot are used: restart the node"):
            sealer.seal(STEADY, key=KEY.id, to=None)


def test_a_fork_does_not_seal():
    process = 7
    sealer = make(process=lambda: process)
    assert sealer.seal(STEADY, key=KEY.id, to=None)
    process = 8
    with pytest.raises(SealError, match="forked"):
        sealer.seal(STEADY, key=KEY.id, to=None)
    assert refusal(sealer, KNOWN[0][2]) == "own-echo"  # it may still listen


def test_nothing_shows_a_secret():
    sealer = make()
    shown = repr(sealer) + repr(RING) + repr(replace(RING, mode="off")) + repr(make("web2", WEB2).open(KNOWN[0][2]))
    for error in (lambda: sealer.seal(b"x", key=KEY.id, to=None), lambda: sealer.seal(STEADY, key="x", to=None)):
        with pytest.raises(SealError) as caught:
            error()
        shown += str(caught.value)
    for secret in (KEY.secret, KEY.secret[:8]):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
