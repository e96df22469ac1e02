"""A sealed answer is never longer than its question, whatever the lengths of ids and fields."""

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.why import (
    MAX_ABOUT,
    MAX_ADDRESS,
    MAX_DROPS,
    MAX_RELEASE,
    MAX_SAY,
    MAX_SEALED_SAY,
    MOST_SENT,
    Say,
    Why,
)
from tests.protocol.segment import K1, ring

LINK = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
LONGEST = Say(
    realm="r" * MAX_REALM, boot="b" * 16, nonce="c" * 16, heard_ms=9_999_999, release="1" * MAX_RELEASE,
    network="1" * MAX_ADDRESS, broadcast="1" * MAX_ADDRESS, sent=MOST_SENT, echoed=MOST_SENT, drops="d" * MAX_DROPS,
    state="suspectx", address="1" * MAX_ADDRESS, last_ms=9_999_999,
)  # fmt: skip


def sealer(id, boot="b"):
    return Sealer(ring(K1), realm="r" * MAX_REALM, id=id, boot=boot * 16, counter=2**63 - 1000)


def seal(said, id, to=""):
    """Return a datagram sealed under the longest counter, after it was opened again."""
    sealed = sealer(id).seal(said.encode(), key=K1.id, here=LINK.packed, to=to)
    assert decode(sealer("e", "d").open(sealed, Source("10.0.0.1", LINK)).datagram) == said
    return len(sealed)


def test_the_longest_answer_has_the_length_of_the_specification():
    assert len(LONGEST.encode()) <= MAX_SAY
    assert max(seal(LONGEST, "i" * length, to="d" * 16) for length in range(1, MAX_ID + 1)) <= MAX_SEALED_SAY


def test_a_question_is_as_long_as_its_answer_may_be():
    for length in range(1, MAX_ID + 1):
        for about in ("", "a" * MAX_ABOUT):
            why = Why(realm="r" * MAX_REALM, id="i" * length, boot="b" * 16, nonce="c" * 16, about=about)
            assert len(why.encode()) == MAX_SAY
            assert MAX_SEALED_SAY <= seal(why, why.id) <= MAX_SEALED_SAY + 8
