"""The bodies of messages between sites, and of what became of them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import WireError
from discoveryd.protocol.messages.handed import MAX_HANDED
from discoveryd.sites.far_messages import (
    FarMessage,
    FarOutcome,
    decode_far_message,
    decode_far_outcome,
    encode_far_message,
    encode_far_outcome,
)
from discoveryd.sites.wire import MAX_BODY

WHOLE = FarMessage(peer="id1", name="disk", payload=b"\n\0", is_question=True, wants_handled=False, timeout=5.0, sender="anna")


def test_messages_and_outcomes_come_back_as_they_were():
    assert decode_far_message(encode_far_message(WHOLE)) == WHOLE
    for outcome in (FarOutcome(status="answered", answer=b"\n1"), FarOutcome(status="refused", reason="busy"), FarOutcome(error="denied", text="no")):
        assert decode_far_outcome(encode_far_outcome(outcome)) == outcome
    longest = FarMessage(peer="i" * 64, name="n" * 32, payload=b"x" * MAX_HANDED, is_question=True, wants_handled=True, timeout=60.0, sender="n" * 64)
    assert len(encode_far_message(longest)) <= MAX_BODY


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"peer":"a","message":"disk","ms":0,"from":"b"}', b'{"peer":"a","message":"disk","ms":60001,"from":"b"}',
    b'{"peer":"a","message":"Disk","ms":1,"from":"b"}', b'{"peer":"a","message":"disk","ms":true,"from":"b"}',
    b'{"peer":"","message":"disk","ms":1,"from":"b"}', b'{"peer":"a","message":"disk","ms":1,"from":"\\u001b"}', b"[" * 4000,
    encode_far_message(WHOLE) + b"x" * MAX_HANDED,
])  # fmt: skip
def test_what_is_no_message_is_malformed(body):
    with pytest.raises(WireError):
        decode_far_message(body)


@pytest.mark.parametrize("body", [
    b"{}", b'{"status":"odd"}', b'{"status":"refused","reason":"odd"}', b'{"error":"denied","text":"\\u001b[2J"}', b'{"error":"x","text":1}', b'{"status":[]}',
])  # fmt: skip
def test_what_is_no_outcome_is_malformed(body):
    with pytest.raises(WireError):
        decode_far_outcome(body)


def test_an_error_of_a_later_release_is_one_of_ours():
    assert decode_far_outcome(b'{"error":"odd","text":"so"}') == FarOutcome(error="failed", text="so")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_an_error(body):
    for read in (decode_far_message, decode_far_outcome):
        with suppress(WireError):
            assert read(body)
