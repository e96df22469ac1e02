"""Envelopes: what is opened is what was sealed, and nothing else is opened."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.addresses import pack_address
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.sealed import envelope
from discoveryd.protocol.sealed.envelope import (
    BEYOND,
    MAX_CIPHERS,
    MAX_COUNTER,
    TO_ALL,
    TO_ONE,
    Opened,
    Sealer,
    derive,
    pack,
)
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import (
    MAX_DATAGRAM,
    MAX_SEALED_PING,
    MAX_SEALED_PONG,
    MAX_SEALED_STEADY,
    Hello,
    Ping,
    Pong,
)
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import boot

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
RING = Keyring(keys=(KEY,), mode="require")
WEB1, WEB2, WEB3 = "5f0c8b1e2d3a4f60", "a3d1e00942bb7c15", "0123456789abcdef"

STEADY = b"HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|41"
FULL = b'HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|50||{"name":"web1","tags":{"rack":"b2"}}|'
PING = b"PING|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|a3d1e00942bb7c15|"
PONG = b"PONG|2|default|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|312|85|"

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
HERE = ETH0.packed
THERE = Source("10.0.0.1", ETH0)
"""As the receiver sees the sender: the names of links are each one's own business."""
ROUTED = Source("10.0.0.1", None)

# computed once with an implementation of RFC 8439 written for it, from the text of the docstring alone
KNOWN = [
    (STEADY, HERE, "", (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|"
     b"U8U/YrC1ziyx3TyZNLUaNMXJPk5fO62VtfAXcsV7H6d8h1wXtkutd9ocPNXNMDKXnA0BEzLqNY6lSHasfZwZXnDwJxZC56u96C3vQJSTwtGbFp9m8sqI|b0")),
    (PING, HERE, WEB2, (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|1|"
     b"L5vtTQtG5Z5NUmcaNacmWIefEIM40pTaP4Kz+L4mdxI94lOS4O3C/grULJ+jBc3eM929w3Ih87J1dmef79IQwXAn+JGdqnLoFJ98VZQIsKVvYGHS|u")),
    (PONG, HERE, WEB2, b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|2|0FJ8HmUd8CL7BgMr5cKyZFvjWsqWyT7gpaURanPxCJLLWG1bACwgAOw=|u"),
    (FULL, HERE, "", (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|3|"
     b"Sh/7Ih7dWo+t/OaMX4WMwmhAabNGFpIiCvShVURyo+OPDYolzYt6J2h/2WtGZPX8dutTCPx0kDLRKdobQpTyMAxnvy2YlyZOGA5NEZcduDue+bAEyhkM|b")),
    (PING, b"", "", (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|4|"
     b"MWEdOIS/5TgHXQe2rK50Gw7X6jTWZzcO0xhvOTZdlJp1/jso62ipvXep2WFqYCc7mpoP7BJUL44F0Qu/rsu//kdUZzZJ5x2bPrqKbdoSnpQwF1Ys|s")),
]  # fmt: skip


def make(id="web1", boot=WEB1, ring=RING, realm="default", **more):
    return Sealer(ring, realm=realm, id=id, boot=boot, **more)


def sealed(datagram=STEADY, to="", key=KEY, here=HERE, **more):
    return make(ring=Keyring(keys=(key,)), **more).seal(datagram, key=key.id, here=here, to=to)


def refusal(sealer, datagram, source=THERE):
    with pytest.raises(WireError) as caught:
        sealer.open(datagram, source)
    return caught.value.reason


# --- what comes out -----------------------------------------------------------------------------------


def test_envelopes_are_the_known_answers():
    sealer, receiver = make(), make("web2", WEB2)
    for counter, (plain, here, to, known) in enumerate(KNOWN):
        assert sealer.seal(plain, key=KEY.id, here=here, to=to) == known
        scope = (TO_ONE if to else TO_ALL) if here else BEYOND
        opened = receiver.open(known, THERE if here else ROUTED)
        assert opened == Opened(plain, KEY.id, "web1", WEB1, scope, counter, plain == STEADY)


def test_only_a_sealed_steady_hello_ends_in_a_digit():
    for plain, _, _, datagram in KNOWN:
        assert datagram.isascii()
        assert datagram.count(b"|") == 7
        assert datagram[-1:].isdigit() is (plain == STEADY)


def test_all_keys_and_receivers_share_one_counter():
    ring = Keyring(keys=(KEY, OTHER))
    sealer, receiver = make(ring=ring), make("web2", WEB2, ring=ring)
    sent = [(STEADY, KEY, ""), (STEADY, OTHER, ""), (PING, KEY, WEB2), (PONG, OTHER, WEB2), (STEADY, KEY, "")]
    opened = [receiver.open(sealer.seal(plain, key=key.id, here=HERE, to=to), THERE) for plain, key, to in sent]
    assert [one.counter for one in opened] == [0, 1, 2, 3, 4]
    assert [(one.datagram, one.key) for one in opened] == [(plain, key.id) for plain, key, _ in sent]


def test_a_datagram_sealed_twice_never_looks_the_same():
    sealer = make()
    bodies = {sealer.seal(STEADY, key=KEY.id, here=HERE).split(b"|")[6] for _ in range(50)}
    bodies |= {sealed(boot=WEB2, datagram=STEADY.replace(WEB1.encode(), WEB2.encode())).split(b"|")[6]}
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
def test_the_longest_hello_fits_into_an_envelope(id):
    sealer = make(id, realm="r" * 16, counter=2**48 - 1)
    plain = hello(id, longest_record())
    datagram = sealer.seal(plain, key=KEY.id, here=HERE)
    assert len(datagram) <= MAX_DATAGRAM
    assert datagram.split(b"|")[6].startswith(b":")
    assert make("web2", WEB2, realm="r" * 16).open(datagram, THERE).datagram == plain
    assert decode(plain).record == longest_record().encoded


def test_base_85_is_used_where_base_64_is_too_long():
    lengths = {False: [], True: []}
    for size in range(610, 697):
        record = Record(name="x", tags={"a": "y" * 255, "b": "y" * 255, "c": "y" * (size - 548)})
        datagram = make("i" * 32, realm="r" * 16).seal(hello("i" * 32, record), key=KEY.id, here=HERE)
        lengths[datagram.split(b"|")[6].startswith(b":")].append((len(record.encoded), len(datagram)))
        assert make("web2", WEB2, realm="r" * 16).open(datagram, THERE).datagram == hello("i" * 32, record)
    assert max(lengths[False]) < min(lengths[True])
    assert 1020 < lengths[False][-1][1] <= 1024


def test_a_datagram_too_long_for_an_envelope_is_refused():
    sealer = make("i" * 32, realm="r" * 16, counter=2**48)  # after 8,000 years of 1,100 datagrams a second
    with pytest.raises(SealError, match="1025 bytes when sealed, at most 1024"):
        sealer.seal(hello("i" * 32, longest_record()), key=KEY.id, here=HERE)


@pytest.mark.parametrize("asker", ["a", "a" * 16, "a" * 32])
@pytest.mark.parametrize("answerer", ["b", "b" * 16, "b" * 32])
@pytest.mark.parametrize("counters", [(0, 0), (0, MAX_COUNTER - 5), (MAX_COUNTER - 5, 0)])
def test_no_sealed_answer_is_longer_than_its_question(asker, answerer, counters):
    one, other = make(asker, WEB1, counter=counters[0]), make(answerer, WEB2, counter=counters[1])
    short = Hello(realm="default", id=asker, boot=WEB1, interval_ms=1, ttl_ms=1, digest="0" * 16, seq=0)
    greeting = one.seal(short.encode(), key=KEY.id, here=HERE)
    for to, here, bound in ((WEB1, HERE, WEB1), ("0" * 16, HERE, ""), (WEB1, b"", ""), ("0" * 16, b"", "")):
        ping = Ping(realm="default", id=answerer, boot=WEB2, nonce="1" * 16, to=to)
        question = other.seal(ping.encode(), key=KEY.id, here=here, to=bound)
        assert MAX_SEALED_PONG <= len(question) <= MAX_SEALED_PING <= len(greeting)
    for heard, held in ((None, 0), (0, 0), (9_999_999, 9_999_999)):
        pong = Pong(realm="default", boot=WEB1, nonce="1" * 16, heard_ms=heard, held_us=held)
        assert len(make(asker, WEB1).seal(pong.encode(), key=KEY.id, here=HERE, to=WEB2)) <= len(question)


@pytest.mark.parametrize("id", ["i", "i" * 16, "i" * 32])
def test_a_sealed_steady_hello_is_short(id):
    sealer = make(id, realm="r" * 16, counter=MAX_COUNTER - 1)
    assert len(sealer.seal(hello(id), key=KEY.id, here=HERE)) <= 178 < MAX_SEALED_STEADY


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("datagram", [known for *_, known in KNOWN], ids=["steady", "ping", "pong", "full", "beyond"])
def test_each_byte_of_an_envelope_counts(datagram):
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


def test_each_byte_of_an_envelope_in_base_85_counts():
    datagram = make("i" * 32, realm="r" * 16).seal(hello("i" * 32, longest_record()), key=KEY.id, here=HERE)
    receiver = make("web2", WEB2, realm="r" * 16)
    assert receiver.open(datagram, THERE)
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
        (sealed(PING, WEB2)[:-1] + b"b", "bad-seal"),
        (sealed(STEADY)[:-2] + b"u0", "bad-seal"),
        (sealed(STEADY)[:-2] + b"s0", "bad-seal"),
        (sealed(STEADY)[:-1], "bad-seal"),
        (sealed(FULL) + b"0", "bad-seal"),
        (sealed(STEADY)[:-2] + b"w0", "malformed"),
        (sealed(STEADY)[:-2] + b"w", "malformed"),
        (sealed(STEADY, here=b""), "unbound"),
        (sealed(STEADY, here=pack_address("10.0.0.2")), "bad-seal"),
        (sealed(PING, WEB2, here=pack_address("10.0.0.2")), "bad-seal"),
        (sealed(STEADY).replace(b"|0|", b"|1|"), "bad-seal"),
        (sealed(STEADY).replace(b"|web1|", b"|web3|"), "bad-seal"),
        (sealed(STEADY).replace(WEB1.encode(), WEB3.encode()), "bad-seal"),
        (sealed(boot=WEB2, datagram=STEADY.replace(WEB1.encode(), WEB2.encode())), "own-echo"),
        (b"SEALED|", "version"),
        (b"SEALED|1|x", "version"),
        (b"SEALED|2", "malformed"),
        (b"SEALED|2|" + b"|" * 1000, "malformed"),
        (b"SEALED", "malformed"),
        (b"", "malformed"),
        (b"HELLO|", "malformed"),
        (KNOWN[0][3] + b"|later", "malformed"),
        (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0||b0", "malformed"),
        (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|:|b0", "malformed"),
        (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|AAAAAAAAAAAAAAAAAAAAAA==|b0", "malformed"),  # a tag and nothing else
        (b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|AAAAAAAAAAAAAAAAAAAAAAA=|b0", "bad-seal"),
        (KNOWN[0][3] + b"A" * 1024, "too-long"),
        (KNOWN[0][3].replace(b"|66b37b47|", b"|\xff|"), "unknown-key"),
        (KNOWN[0][3].replace(b"|web1|", b"||"), "malformed"),
        (KNOWN[0][3].replace(b"|web1|", b"|" + b"w" * 33 + b"|"), "malformed"),
        (KNOWN[0][3].replace(b"5f0c", b"5F0C"), "malformed"),
        *[(KNOWN[0][3].replace(b"|0|", b"|" + place + b"|"), "malformed")
          for place in (b"", b"00", b"0x1", b"-1", b"1_0", b" 1", b"A", b"g", b"1" * 17, b"8" + b"0" * 15, b"f" * 16)],
        *[(KNOWN[0][3][:-2] + scope, "malformed") for scope in (b"", b"0", b"c0", b"B0", b"b1", b"b00", b"bu", b"b0\n")],
        (KNOWN[0][3].replace(b"|0|", b"|7" + b"f" * 15 + b"|"), "bad-seal"),
    ],
)  # fmt: skip
def test_a_wrong_envelope_is_refused(datagram, reason):
    assert refusal(make("web2", WEB2), datagram) == reason


def test_an_envelope_for_a_link_is_worthless_beyond_it():
    for datagram in (sealed(), sealed(PING, WEB2)):
        assert refusal(make("web2", WEB2), datagram, ROUTED) == "unbound"
        assert refusal(make("web2", WEB2), datagram, Source("10.0.0.2", None)) == "bad-seal"


def test_an_envelope_for_beyond_comes_from_any_address():
    datagram = sealed(PING, here=b"")
    assert make("web2", WEB2).open(datagram, Source("192.0.2.7", None)).datagram == PING


def test_a_unicast_is_worthless_for_the_receivers_next_boot():
    datagram = sealed(PING, WEB2)
    assert make("web2", WEB2).open(datagram, THERE).scope == TO_ONE
    assert refusal(make("web2", WEB3), datagram) == "bad-seal"


def test_without_keys_nothing_is_sealed_or_opened():
    sealer = make("web2", WEB2, ring=NO_KEYS)
    assert refusal(sealer, KNOWN[0][3]) == "sealed"
    assert refusal(sealer, b"SEALED|2|whatever") == "sealed"
    with pytest.raises(SealError, match="no key '66b37b47' in the ring"):
        make(ring=NO_KEYS).seal(PING, key=KEY.id, here=HERE)


def test_without_keys_cryptography_is_not_imported():
    code = (
        "import sys\nfrom discoveryd.protocol.sealed.envelope import Sealer\nfrom discoveryd.protocol.sealed.keyring import NO_KEYS\n"
        "Sealer(NO_KEYS, realm='r', id='i', boot='0' * 16)\nprint('cryptography' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"


def sealed_inside(inside, scope):
    header = b"SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|"
    cipher = ChaCha20Poly1305(derive(KEY.secret, b"default", b"web1", WEB1.encode()))
    return header + pack(cipher.encrypt(bytes(12), inside, header + b"|%b|" % scope + HERE), is_long=False) + b"|" + scope


@pytest.mark.parametrize(
    "inside",
    [b"", b"H", b"HELLO|1", b"BYE|1", b"SEALED|2|x", b"\0\0\0", b"\xff" * 40, b"h|800", b"H|1|2|3||4||{}|x", b"P", b"P|", b"A", b"A|1"],
)
def test_an_envelope_of_an_insider_is_plain_or_malformed(inside):
    """Who has the key may seal anything; it must be fit to be parsed, or refused."""
    datagram = sealed_inside(inside, b"b")
    kind = {b"H": b"HELLO|2|default|", b"P": b"PING|2|default|", b"A": b"PONG|2|default|"}.get(inside.split(b"|")[0])
    if kind:
        plain = make("web2", WEB2).open(datagram, THERE).datagram
        assert plain.startswith(kind)
        assert len(plain) < 1024
    else:
        assert refusal(make("web2", WEB2), datagram) == "malformed"


@pytest.mark.parametrize("inside", [b"H|800|4000|||1|s", b"P|1", b"A|1|2|3", b"H|800|4000|||1||{}", b"H|800|4000||x"])
def test_only_a_steady_hello_may_have_the_steady_mark(inside):
    assert refusal(make("web2", WEB2), sealed_inside(inside, b"b0")) == "malformed"


def test_a_steady_hello_needs_the_steady_mark():
    assert refusal(make("web2", WEB2), sealed_inside(b"H|800|4000||40438a3c69897b62|41", b"b")) == "malformed"
    assert make("web2", WEB2).open(sealed_inside(b"H|800|4000||40438a3c69897b62|41", b"b0"), THERE).datagram == STEADY


# --- keys that change ---------------------------------------------------------------------------------


def test_the_counter_outlives_a_change_of_keys():
    sealer, receiver = make(), make("web2", WEB2)
    first = sealer.seal(STEADY, key=KEY.id, here=HERE)
    assert receiver.open(first, THERE).counter == 0
    both = Keyring(keys=(KEY, OTHER), send_with=OTHER.id, mode="accept")
    for one in (sealer, receiver):
        one.set_keyring(both)
        assert one.keyring is both
    assert receiver.open(sealer.seal(STEADY, key=both.sends, here=HERE), THERE)[1:] == (OTHER.id, "web1", WEB1, TO_ALL, 1, True)
    sealer.set_keyring(RING)
    assert sealer.seal(STEADY, key=KEY.id, here=HERE).split(b"|")[5] == b"2"


def test_a_removed_key_opens_nothing():
    sealer, receiver = make(), make("web2", WEB2)
    assert receiver.open(sealer.seal(STEADY, key=KEY.id, here=HERE), THERE)
    receiver.set_keyring(Keyring(keys=(OTHER,)))
    assert refusal(receiver, sealer.seal(STEADY, key=KEY.id, here=HERE)) == "unknown-key"
    receiver.set_keyring(NO_KEYS)
    assert refusal(receiver, sealer.seal(STEADY, key=KEY.id, here=HERE)) == "sealed"


def test_derived_keys_are_bounded_and_closed_to_strangers(monkeypatch):
    derived = []
    monkeypatch.setattr(envelope, "derive", lambda *whose: derived.append(whose[3].decode()) or derive(*whose))
    receiver = make("web2", WEB2)
    plain = Ping(realm="default", id="web1", boot=WEB1, nonce="1" * 16).encode()
    sent = [sealed(plain.replace(WEB1.encode(), boot(number).encode()), boot=boot(number)) for number in range(MAX_CIPHERS + 3)]
    for number, datagram in enumerate(sent):
        assert receiver.open(datagram, THERE).boot == boot(number)
    derived.clear()
    for _ in range(MAX_CIPHERS):
        assert refusal(receiver, KNOWN[0][3].replace(WEB1.encode(), WEB3.encode())) == "bad-seal"
    assert set(derived) == {WEB3}
    derived.clear()
    for datagram in sent[3:]:  # the strangers took no place
        assert receiver.open(datagram, THERE)
    assert derived == []
    assert receiver.open(sent[2], THERE).boot == boot(2)
    assert derived == [boot(2)]


# --- what is not sealed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "datagram",
    [b"", b"HELLO|", b"HELLO|2|other" + STEADY[15:], STEADY.replace(b"web1", b"web2"), STEADY.replace(b"5f0c", b"0000"), b"SEALED|2|",
     PING.replace(b"|2|", b"|1|"), PONG.replace(b"5f0c", b"0000"), b"HELLO"],
)  # fmt: skip
def test_only_messages_of_this_node_are_sealed(datagram):
    sealer = make()
    with pytest.raises(SealError, match="not a message of this node"):
        sealer.seal(datagram, key=KEY.id, here=HERE)
    assert sealer.seal(STEADY, key=KEY.id, here=HERE).split(b"|")[5] == b"0"


def test_after_the_last_nonce_nothing_is_sealed():
    sealer = make(counter=MAX_COUNTER - 1)
    last = sealer.seal(STEADY, key=KEY.id, here=HERE)
    assert make("web2", WEB2).open(last, THERE).counter == 2**63 - 1
    for _ in range(2):
        with pytest.raises(SealError, match=r"all 2\^63 nonces of this boot are used: restart the node"):
            sealer.seal(STEADY, key=KEY.id, here=HERE)


def test_a_fork_does_not_seal():
    process = 7
    sealer = make(process=lambda: process)
    assert sealer.seal(STEADY, key=KEY.id, here=HERE)
    process = 8
    with pytest.raises(SealError, match="forked"):
        sealer.seal(STEADY, key=KEY.id, here=HERE)
    assert refusal(sealer, KNOWN[0][3]) == "own-echo"  # it may still listen


def test_no_repr_or_error_shows_a_secret():
    sealer = make()
    shown = repr(sealer) + repr(RING) + repr(replace(RING, mode="off")) + repr(make("web2", WEB2).open(KNOWN[0][3], THERE))
    for error in (lambda: sealer.seal(b"x", key=KEY.id, here=HERE), lambda: sealer.seal(STEADY, key="x", to=None)):
        with pytest.raises(SealError) as caught:
            error()
        shown += str(caught.value)
    for secret in (KEY.secret, KEY.secret[:8]):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
