"""Up to 600 bytes of any bytes fit into one datagram, plain and sealed, whatever the lengths of the ids."""

from random import Random

import pytest

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.messages.pending import first_room
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_SEALED_ACK
from discoveryd.protocol.wire.talk import MAX_FILTER, MAX_NAME, MAX_PART, MAX_PARTS, Ack, MessagePart

RING = Keyring(keys=(Key(bytes(range(32))),))
LINK = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
ALL_PARTS = (1 << MAX_PARTS) - 1
PAYLOADS = (bytes(MAX_PART), b"\xff" * MAX_PART, b"|" * MAX_PART, b"\0" * (MAX_PART - 1) + b"|", Random(1).randbytes(MAX_PART))


def message(id, realm="r" * MAX_REALM, filter="", payload=b"", **more):
    more = {"part": 0, "parts": MAX_PARTS, "flags": "qha", "have": ALL_PARTS, "name": "n" * MAX_NAME, **more}
    return MessagePart(realm=realm, id=id, boot="b" * 16, number=0xFFFFFFFF, filter=filter, payload=payload, **more)


def ack(payload=b"", **more):
    more = {"bitmap": ALL_PARTS, "part": MAX_PARTS - 1, "parts": MAX_PARTS, **more}
    return Ack(realm="r" * MAX_REALM, boot="b" * 16, to="c" * 16, number=0xFFFFFFFF, status="h", payload=payload, **more)


def sealer(id, boot="b"):
    return Sealer(RING, realm="r" * MAX_REALM, id=id, boot=boot * 16, counter=2**63 - 1000)


def seal(said, id, to="d" * 16):
    """Return a datagram sealed under the longest counter, after it was opened again."""
    sealed = sealer(id).seal(said.encode(), key=RING.send_with, here=LINK.packed, to=to)
    opened = sealer("e", "d").open(sealed, Source("10.0.0.1", LINK))
    assert decode(opened.datagram) == said
    return sealed


@pytest.mark.parametrize("payload", PAYLOADS, ids=["NULs", "ones", "bars", "a bar at the end", "random"])
def test_600_bytes_fit_whatever_the_length_of_the_id(payload):
    for length in range(1, MAX_ID + 1):
        for said in (message("i" * length, payload=payload), ack(payload)):
            assert len(said.encode()) <= MAX_DATAGRAM
            assert len(seal(said, "i" * length)) <= MAX_DATAGRAM


@pytest.mark.parametrize("length", range(0, MAX_FILTER + 1, 7))
def test_a_filter_leaves_room_for_the_first_part(length):
    said = message("i" * MAX_ID, filter="f" * length, payload=bytes(first_room("f" * length)))
    assert len(said.encode()) <= MAX_DATAGRAM
    assert len(seal(said, "i" * MAX_ID, to="")) <= MAX_DATAGRAM


def test_no_empty_acknowledgement_is_longer_than_its_message():
    lengths = [len(seal(ack(part=0, parts=0), "i" * length)) for length in range(1, MAX_ID + 1)]
    assert max(lengths) == MAX_SEALED_ACK
    for length in range(1, MAX_ID + 1):
        shortest = MessagePart(realm="r", id="i" * length, boot="b" * 16, number=1, name="n")
        sealed = Sealer(RING, realm="r", id="i" * length, boot="b" * 16).seal(shortest.encode(), key=RING.send_with, here=LINK.packed)
        assert MAX_SEALED_ACK <= len(sealed) < MAX_SEALED_ACK + 4


@pytest.mark.parametrize("number", [1, 12345, 0xFFFFFFFF])
@pytest.mark.parametrize("payload", [b"", b"x", b"xy", bytes(MAX_PART)])
def test_a_plain_acknowledgement_is_no_longer_than_its_message(number, payload):
    """With a payload of the same length, whatever the lengths of id and name."""
    for length in range(1, MAX_ID + 1):
        for name in ("n", "n" * 9, "n" * MAX_NAME):
            said = MessagePart(realm="r", id="i" * length, boot="b" * 16, number=number, name=name, payload=payload)
            answer = Ack(realm="r", boot="c" * 16, to="d" * 16, number=number, status="h", bitmap=1, parts=1, payload=payload)
            assert len(answer.encode()) <= len(said.encode())
            assert decode(said.encode()) == said
