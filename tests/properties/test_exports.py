"""Whatever peers say of themselves is a value in every format for other programs, and nothing more."""

from hypothesis import given
from hypothesis import strategies as st

from discoveryd.query.formats.exports import EXPORT_FORMATS
from tests.query.formats.contracts import HOSTILE, text_of
from tests.query.samples import peer

evil = st.sampled_from(HOSTILE) | st.text(max_size=40)
addresses = st.ip_addresses().map(str) | st.sampled_from(["fe80::1%eth0", "fe80::2%", "fe80::3", "10.0.0.1%eth0"]) | evil
tags = st.dictionaries(evil, evil, max_size=4)


@st.composite
def peers(draw):
    where = draw(st.lists(addresses, max_size=3))
    services = st.fixed_dictionaries(
        {"name": evil, "port": st.integers(0, 65535), "proto": st.sampled_from(("tcp", "udp")) | evil, "tags": tags}
    )
    return peer(
        id=draw(evil), name=draw(st.none() | evil), boot=draw(evil), link=draw(evil), address=draw(addresses),
        addresses=where, kind=draw(st.sampled_from(("node", "bare"))), tags=draw(tags), key=draw(st.none() | evil),
        services=draw(st.lists(services, max_size=3)), state=draw(st.sampled_from(("up", "suspect", "down")) | evil),
        first_seen_s=draw(st.floats(0, 1e6)),
    )  # fmt: skip


@given(found=st.lists(peers(), max_size=4), own=st.none() | peers())
def test_what_a_peer_says_is_no_more_than_a_value(found, own):
    are_told_apart = len({(one["id"], one["boot"]) for one in found}) == len(found)
    for name in EXPORT_FORMATS:
        text = text_of(name, found, own)
        assert not are_told_apart or text == text_of(name, found[::-1], own)
