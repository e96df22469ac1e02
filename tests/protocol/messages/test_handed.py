"""Messages of other sites as gateways hand them over: who is told to have sent them, and which rules are about them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import WireError
from discoveryd.protocol.messages.handed import HANDED, MAX_HANDED, FarSender, hand_over, handed
from discoveryd.protocol.messages.values import MAX_PAYLOAD, AllowRule, IncomingMessage
from tests.runtime.test_message_handlers import peer

ANNA = FarSender("paris", "9f86d081884c7d65", "anna")


def coming(payload, name=HANDED, **more):
    given = {"is_question": True, "wants_handled": False, "is_sealed": True, "room": MAX_PAYLOAD, **more}
    return IncomingMessage(key=("b" * 16, 1), sender=peer(), name=name, payload=payload, **given)


def test_the_receiver_is_told_the_true_sender_and_no_other():
    gateway = peer()
    found = handed(coming(hand_over(ANNA, "disk", b"a\nb")))
    assert (found.name, found.payload, found.site) == ("disk", b"a\nb", "paris")
    assert (found.sender.name, found.sender.id, found.sender.address) == ("anna@paris", "9f86d081884c7d65@paris", gateway.address)
    plain = coming(b"x", "disk")
    assert handed(plain) is plain


def test_what_travels_besides_leaves_room_for_a_whole_payload():
    longest = FarSender("x" * 32, "i" * 64, "\U0001f980" * 64)
    found = hand_over(longest, "n" * 32, b"x" * MAX_HANDED)
    assert len(found) <= MAX_PAYLOAD
    assert handed(coming(found)).sender.name == f"{longest.name}@{longest.site}"
    assert len(handed(coming(found)).payload) == MAX_HANDED


@pytest.mark.parametrize("payload", [
    b"", b"{}\nx", b'["paris","i","anna"]\n', b'["pa@ris","i","anna","disk"]\n', b'["paris","i","","disk"]\n', b'["paris","i","a\\u001b","disk"]\n',
    b'["paris","i","anna","' + HANDED.encode() + b'"]\n', b'["paris","i","anna","Disk"]\n', b'["paris",1,"anna","disk"]\n', b"[" * 5000,
])  # fmt: skip
def test_what_no_gateway_writes_is_malformed(payload):
    with pytest.raises(WireError):
        handed(coming(payload))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_an_error(payload):
    with suppress(WireError):
        assert handed(coming(payload)).site


def test_what_came_in_plain_is_not_handed_over():
    with pytest.raises(WireError):
        handed(coming(hand_over(ANNA, "disk", b""), is_sealed=False))


@pytest.mark.parametrize(("sender", "is_far", "is_near"), [
    ("*", False, True), ("anna", False, True), ("anna@paris", True, False), ("*@paris", True, False), ("9f86*@paris", True, False),
    ("*@berlin", False, False), ("anna*", False, True),
])  # fmt: skip
def test_a_rule_is_about_one_network_or_about_others(sender, is_far, is_near):
    """A node of this network may call itself whatever it likes."""
    rule = AllowRule(name="disk", sender=sender)
    assert rule.allows(handed(coming(hand_over(ANNA, "disk", b"")))) == is_far
    near = [IncomingMessage(key=("b", 1), sender=peer(name=name), name="disk", payload=b"", is_question=True, wants_handled=False, is_sealed=True, room=9)
            for name in ("anna", "anna@paris")]  # fmt: skip
    assert any(rule.allows(one) for one in near) == is_near
    assert not rule.allows(near[1]) or "@" not in sender
