"""Messages: what is answered, with which code, and never with more than the one who asks can take."""

import struct

import pytest
from dnslib import CLASS, EDNS0, OPCODE, QR, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord, EDNSOption

from discoveryd.dns.message import WIDE, reply_to
from discoveryd.dns.zone import DnsAnswer, ZoneRecord
from discoveryd.protocol.wire.record import Service
from tests.dns.stage import HTTP, Stage, kinds

NAME = (b"bert", b"peers", b"internal")
ONE = DnsAnswer("NOERROR", (ZoneRecord(NAME, "A", 0, "10.0.0.2"),))


def question(name="bert.peers.internal", kind="A", **header):
    made = DNSRecord(DNSHeader(id=7, rd=1, **header), q=DNSQuestion(name, getattr(QTYPE, kind)))
    return bytes(made.pack())


def replied(data, answer=ONE, *, by_tcp=False):
    made = reply_to(data, answer and (lambda _: answer), by_tcp=by_tcp)
    return made and DNSRecord.parse(made.data)


def test_an_answer_is_authoritative_and_offers_no_recursion():
    header = replied(question()).header
    assert (header.id, header.qr, header.aa, header.rd, header.ra, header.tc, header.ad) == (7, 1, 1, 1, 0, 0, 0)
    assert not replied(question(), DnsAnswer("REFUSED")).header.aa


def test_the_letters_of_the_question_come_back():
    """A resolver tells by them whether an answer is to its own question."""
    stage = Stage()
    stage.joins(1, "bert", "10.0.0.2", HTTP)
    answer, _ = stage.asked("bErT.PeErS.iNtErNaL")
    assert [str(one) for one in (answer.q.qname, answer.rr[0].rname)] == ["bErT.PeErS.iNtErNaL."] * 2


def test_to_a_reply_there_is_no_reply():
    """Else two servers would talk for ever."""
    assert replied(question(qr=QR.RESPONSE)) is None
    assert [reply_to(bytes(size), lambda _: ONE, by_tcp=False) for size in range(12)] == [None] * 12


@pytest.mark.parametrize(("data", "code"), [
    (question(opcode=OPCODE.UPDATE), "NOTIMP"),
    (question(opcode=OPCODE.NOTIFY), "NOTIMP"),
    (question()[:-1], "FORMERR"),
    (question() + question(), "NOERROR"),  # what comes after it is not looked at
    (question()[:4] + struct.pack("!4H", 0, 0, 0, 0) + question()[12:], "FORMERR"),
    (question()[:4] + struct.pack("!4H", 2, 0, 0, 0) + question()[12:] * 2, "FORMERR"),
    (question()[:4] + struct.pack("!4H", 1, 1, 0, 0) + question()[12:] * 2, "FORMERR"),
    (question()[:12] + b"\x40" + b"x" * 64 + b"\0\0\1\0\1", "FORMERR"),  # a label of 64 bytes
    (question()[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", "FORMERR"),  # a name of 256
    (question()[:12] + b"\xc0\x0c\0\1\0\1", "FORMERR"),  # a name that is itself
    (question()[:12] + b"\2\xff\xfe\0\0\1\0\1", "FORMERR"),
    (question("x." * 120 + "internal") + bytes(WIDE), "FORMERR"),
])  # fmt: skip
def test_what_cannot_be_read_gets_its_code(data, code):
    assert RCODE.get(replied(data).header.rcode) == code


def test_another_class_is_refused():
    made = DNSRecord(q=DNSQuestion("version.bind", QTYPE.TXT, CLASS.CH))
    assert replied(bytes(made.pack())).header.rcode == RCODE.REFUSED


def test_options_come_back_and_unknown_ones_are_passed_over():
    made = DNSRecord.question("bert.peers.internal")
    made.add_ar(EDNS0(udp_len=4096, flags="do", opts=[EDNSOption(10, b"cookie!!")]))
    [option] = replied(bytes(made.pack())).ar
    assert (option.edns_len, option.edns_ver, option.edns_do, option.rdata) == (WIDE, 0, 0, [])
    assert not replied(question()).ar


def test_options_of_a_later_version_get_their_code():
    made = DNSRecord.question("bert.peers.internal")
    made.add_ar(EDNS0(udp_len=1232, version=1))
    answer = replied(bytes(made.pack()))
    assert (answer.header.rcode, answer.ar[0].edns_rcode, answer.rr) == (0, 1, [])
    made.add_ar(EDNS0(udp_len=1232))
    assert replied(bytes(made.pack())).header.rcode == RCODE.FORMERR


def test_a_question_past_the_bound_is_sent_to_tcp():
    answer = replied(question(), None)
    assert (answer.header.tc, answer.rr, str(answer.q.qname)) == (1, [], "bert.peers.internal.")
    assert len(reply_to(question(), None, by_tcp=False).data) == len(question())  # to a forged source no more than came


# --- sizes ------------------------------------------------------------------------------------------


@pytest.fixture
def big():
    """Forty peers with a service: more than one datagram has room for."""
    stage = Stage(newcomers=1000)
    for number in range(1, 41):
        stage.joins(number, f"node-{number:02}-of-many", f"10.0.0.{number + 1}", HTTP)
    return stage


@pytest.mark.parametrize("room", [0, 100, 512, 900, 1232, 65535])
def test_an_answer_is_never_longer_than_allowed(big, room):
    bound = max(512, min(room, WIDE))
    for name, kind in (("_http._tcp", "SRV"), ("_http._tcp", "PTR"), ("node-07-of-many", "A")):
        answer, size = big.asked(f"{name}.peers.internal", kind, room=room)
        assert size <= bound
        assert bool(answer.rr) != bool(answer.header.tc)


def test_what_does_not_fit_comes_by_tcp(big):
    assert big.asked("_http._tcp.peers.internal", "SRV")[0].header.tc
    answer, size = big.asked("_http._tcp.peers.internal", "SRV", by_tcp=True)
    assert (kinds(answer.rr), kinds(answer.ar)) == (["SRV"] * 40, ["A"] * 40 + ["OPT"])
    assert size < 16383


def test_addresses_besides_give_way_before_the_answer_does():
    stage = Stage()
    for number in range(1, 9):
        stage.joins(number, f"a-long-name-of-a-node-{number}", f"10.0.0.{number + 1}", HTTP)
    answer, whole = stage.asked("_http._tcp.peers.internal", "SRV")
    assert (len(answer.rr), len(answer.ar)) == (8, 9)
    answer, size = stage.asked("_http._tcp.peers.internal", "SRV", room=whole - 1)
    assert (len(answer.rr), kinds(answer.ar), answer.header.tc) == (8, ["OPT"], 0)
    assert size < whole


def test_by_tcp_as_much_comes_as_names_can_be_referred_to():
    stage = Stage(newcomers=1000)
    services = [Service(name="http", port=port) for port in range(1, 20)]
    for number in range(1, 129):
        stage.joins(number, f"{'n' * 40}-{number}", f"10.0.{number // 250}.{number % 250 + 1}", *services)
    answer, size = stage.asked("_http._tcp.peers.internal", "SRV", by_tcp=True)
    assert 8000 < size <= 16383
    assert {str(one.rdata.target) for one in answer.rr} <= {f"{'n' * 40}-{number}.peers.internal." for number in range(1, 129)}
