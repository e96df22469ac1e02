"""DNS: any bytes get a reply that fits or none, and whatever peers say of themselves gives valid names or none."""

from random import Random

from dnslib import EDNS0, QTYPE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.dns.index import Seen
from discoveryd.dns.message import MOST, PLAIN, WIDE, reply_to
from discoveryd.dns.zone import Zone
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.wire.record import Service
from tests.fuzz.dns_zone import standing
from tests.properties.strategies import FUZZ
from tests.query.formats.contracts import HOSTILE

evil = st.sampled_from(HOSTILE) | st.text(max_size=64)
printable = evil.filter(lambda text: 0 < len(text) <= 64 and text.isprintable())
KINDS = ("A", "AAAA", "TXT", "SRV", "PTR", "SOA", "NS", "ANY", "HTTPS")
NAMES = ("", "bert.", "_http._tcp.", "bert._http._tcp.", "_services._dns-sd._udp.", "discoveryd.", "_tcp.")

STANDING = standing()
"""A zone of peers with names of all kinds, and what looks at them."""

services = st.builds(
    Service, name=printable | st.just("http"), port=st.integers(0, 65535), proto=st.sampled_from(("tcp", "udp")) | st.just("a b"),
    tags=st.dictionaries(printable, printable, max_size=2),
)  # fmt: skip


@st.composite
def peers(draw):
    addresses = tuple(draw(st.lists(st.ip_addresses().map(str) | st.just("fe80::1%eth0"), min_size=1, max_size=3, unique=True)))
    return Peer(
        id=draw(st.text("abc019._-", min_size=1, max_size=32)), name=draw(st.none() | printable | st.just("bert")),
        boot=draw(st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")), kind="node", link="eth0",
        state=draw(st.sampled_from(("up", "suspect"))), address=addresses[0], addresses=addresses,
        services=tuple(draw(st.lists(services, max_size=3))), tags=draw(st.dictionaries(printable, printable, max_size=3)),
        two_way=draw(st.sampled_from((True, False, None))), first_seen_s=0.0, last_heard_s=0.0, expires_s=0.0, interval_s=0.8,
        ttl_s=4.0, rtt_ms=None, loss=None, restarts=0, clone=False, key=None,
    )  # fmt: skip


@st.composite
def zones(draw):
    """Give a zone with peers, and a function that looks at them."""
    zone = Zone(draw(st.sampled_from(("peers.internal", "x"))), draw(st.floats(0, 60)), with_self=False, address="127.0.0.1", random=Random(1))
    found = {(one.id, one.boot): one for one in draw(st.lists(peers(), max_size=3))}
    zone.index.take(list(found.items()))
    ranks = {key: draw(st.integers(0, 3)) for key in found}
    return zone, lambda keys: {key: Seen(found[key], 2.5, ranks[key]) for key in keys}


@st.composite
def questions(draw):
    name = draw(st.sampled_from(NAMES)) + draw(st.sampled_from(("peers.internal", "x", "example.org", "2.0.0.10.in-addr.arpa")))
    asked = DNSRecord(DNSHeader(id=draw(st.integers(0, 65535)), rd=1), q=DNSQuestion(name, getattr(QTYPE, draw(st.sampled_from(KINDS)))))
    if draw(st.booleans()):
        asked.add_ar(EDNS0(udp_len=draw(st.integers(0, 65535))))
    return bytearray(asked.pack())


@st.composite
def damaged(draw):
    data = draw(questions())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(data=damaged() | st.binary(max_size=1300), by_tcp=st.booleans())
def test_any_bytes_get_a_reply_that_fits_or_none(data, by_tcp):
    """tests/fuzz/run.py tries a million of them."""
    zone, look = STANDING
    for answer in (lambda question: zone.answer(question, look), None):
        reply = reply_to(data, answer, by_tcp=by_tcp)
        assert reply is None or len(reply.data) <= (MOST if by_tcp else WIDE)
        if reply is not None:
            assert reply.data[:2] == data[:2]
            assert reply_to(reply.data, answer, by_tcp=by_tcp) is None  # nobody answers an answer
            DNSRecord.parse(reply.data)


@settings(max_examples=max(60, FUZZ // 100))  # each asks for every name of a zone
@given(place=zones(), kind=st.sampled_from(KINDS))
def test_whatever_peers_say_gives_valid_names(place, kind):
    """Each name of the index can be asked for, is answered within its bounds, and leads to names that can be."""
    zone, look = place
    index, domain = zone.index, zone.labels
    for name in (*index.names, *index.types, *index.instances, *index.between, ()):
        data = bytes(DNSRecord(q=DNSQuestion([*name, *domain], getattr(QTYPE, kind))).pack())
        reply = DNSRecord.parse(reply_to(data, lambda question: zone.answer(question, look), by_tcp=True).data)
        assert reply.header.rcode in (0, 5)
        for record in (*reply.rr, *reply.ar):
            target = getattr(record.rdata, "target", None) or getattr(record.rdata, "label", None)
            if target is not None:
                assert tuple(label.lower() for label in target.label[-len(domain) :]) == domain
                assert len(str(target)) <= 254 + 3 * str(target).count("\\")
                assert max(map(len, target.label)) <= 63
    for room in (0, 700, 4096):
        asked = DNSRecord.question("bert." + b".".join(domain).decode(), kind)
        asked.add_ar(EDNS0(udp_len=room))
        reply = reply_to(bytes(asked.pack()), lambda question: zone.answer(question, look), by_tcp=False)
        assert len(reply.data) <= max(PLAIN, min(room, WIDE))
