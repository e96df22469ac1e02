"""Payloads by way of a broker: sealed, bound to their subject, under keys that no datagram has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.sealed.envelope import derive
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.sealed.payload import MAX_PAYLOADS, Payload, PayloadSealer, derive_run

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
RING = Keyring(keys=(KEY,), mode="require")
RUN, THEIRS = "0" * 15 + "1", "0" * 15 + "2"
SUBJECT = "discoveryd.lab.berlin.beat"


def sealer(ring=RING, *, run=RUN, realm="lab", id="web1", **more):
    return PayloadSealer(ring, realm=realm, id=id, run=run, **more)


READER = sealer(id="web2", run=THEIRS)


def reason(payload, subject=SUBJECT, reader=READER):
    with pytest.raises(WireError) as caught:
        reader.open(payload, subject)
    return caught.value.reason


def test_a_payload_is_opened_as_it_was_sealed():
    ours = sealer()
    for counter, body in enumerate((b"", b"a|b\n\0", bytes(range(256)) * 400)):
        payload = ours.seal(body, SUBJECT)
        assert READER.open(payload, SUBJECT) == Payload(KEY.id, "web1", RUN, counter, body)
        assert body[:3] not in payload[40:] or not body


def test_a_payload_opens_nowhere_else():
    payload = sealer().seal(b"body", SUBJECT)
    assert reason(payload, "discoveryd.lab.paris.beat") == "bad-seal"
    assert reason(payload, "discoveryd.lab.berlin.delta") == "bad-seal"
    assert reason(payload, reader=sealer(id="web2", run=THEIRS, realm="home")) == "bad-seal"
    assert reason(payload.replace(b"web1", b"web3")) == "bad-seal"
    assert reason(payload.replace(b"|0|", b"|1|")) == "bad-seal"
    assert reason(payload[:-1]) == "bad-seal"


def test_keys_decide_what_is_opened():
    payload, plain = sealer().seal(b"body", SUBJECT), sealer(NO_KEYS).seal(b"body", SUBJECT)
    assert reason(payload, reader=sealer(NO_KEYS)) == "sealed"
    assert reason(payload, reader=sealer(Keyring(keys=(OTHER,), mode="accept"))) == "unknown-key"
    assert reason(plain) == "plain"
    assert sealer(Keyring(keys=(OTHER, KEY), mode="accept")).open(payload, SUBJECT).key == KEY.id
    assert sealer(NO_KEYS).open(plain, SUBJECT) == Payload("", "web1", RUN, 0, b"body")


def test_a_fleet_changes_its_key_in_two_steps():
    ours, reader = sealer(), sealer(Keyring(keys=(KEY, OTHER), mode="require"), run=THEIRS)
    ours.set_keyring(Keyring(keys=(KEY, OTHER), send_with=OTHER.id, mode="require"))
    assert reader.open(ours.seal(b"body", SUBJECT), SUBJECT).key == OTHER.id


def test_no_key_of_a_run_is_that_of_a_boot_or_another_run():
    names = (b"lab", b"web1", RUN.encode())
    derived = [derive(KEY.secret, *names), derive_run(KEY.secret, *names)]
    derived += [derive_run(KEY.secret, b"lab", b"web1", THEIRS.encode()), derive_run(OTHER.secret, *names)]
    assert len(set(derived)) == 4


def test_counters_grow_and_end():
    ours = sealer()
    assert [READER.open(ours.seal(b"same", SUBJECT), SUBJECT).counter for _ in range(3)] == [0, 1, 2]
    ours.counter = MAX_PAYLOADS - 1
    ours.seal(b"last", SUBJECT)
    with pytest.raises(SealError, match="nonces"):
        ours.seal(b"one more", SUBJECT)


def test_a_forked_process_does_not_seal():
    process = [1]
    ours = sealer(process=lambda: process[0])
    process[0] = 2
    with pytest.raises(SealError, match="forked"):
        ours.seal(b"body", SUBJECT)


@pytest.mark.parametrize("payload", [b"", b"HELLO|", b"SITE|1|-|web1|", b"SITE|1|-|we b|" + RUN.encode() + b"|0|x"])
def test_what_is_no_payload_is_malformed(payload):
    assert reason(payload) == "malformed"


def test_a_later_version_is_told():
    assert reason(sealer().seal(b"body", SUBJECT).replace(b"SITE|1|", b"SITE|2|")) == "version"


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_a_payload_or_a_wire_error(rest, has_head):
    head = b"SITE|1|%b|web1|%b|0|" % (KEY.id.encode(), RUN.encode()) if has_head else b""
    try:
        READER.open(head + rest, SUBJECT)
    except WireError as error:
        if error.reason not in ("malformed", "bad-seal", "unknown-key", "plain", "version"):
            raise
