"""A node on a LAN of values, its zone, and questions by messages of DNS."""

from random import Random

from dnslib import EDNS0, QTYPE, DNSRecord

from discoveryd.dns.message import reply_to
from discoveryd.dns.zone import DnsQuestion, Zone
from discoveryd.protocol.wire.record import Record, Service
from tests.protocol.samples import hello, make_node, source

HTTP = Service(name="http", port=80, tags={"path": "/"})


class Stage:
    """A zone of a node named ``me``; peers say HELLO, and time is given."""

    def __init__(self, *, ttl=0.0, with_self=False, address="127.0.0.1", zone="peers.internal", proved=True, **limits):
        self.node = make_node("me", proved=proved, **limits)
        self.zone = Zone(zone, ttl, with_self=with_self, address=address, random=Random(1))
        self.now = 0.0
        self.refresh()

    def joins(self, number, name, address, *services, key="", tags=None, seq=1, id=None, **more):
        record = Record(name=name, tags=tags or {}, services=services)
        said = hello(number, id or f"id{number}", seq, record, **more)
        self.node.table.enter(said, source(address, key=key), self.now)
        self.refresh()

    def leaves(self, number, seq=2):
        """Say goodbye; the index has not seen it yet."""
        self.node.table.enter(hello(number, f"id{number}", seq, goodbye=True, full=False), source(), self.now)

    def refresh(self):
        """Take over all changes; give how many turns that took."""
        turns, index = 0, self.zone.index
        is_over = False
        while not is_over:
            turns += 1
            changes, is_over = index.turn(self.node, self.now)
            index.take(changes)
        return turns

    def look(self, keys):
        return self.zone.index.look(self.node, self.now, keys)

    def answer(self, name, kind="A"):
        """DnsAnswer without a message."""
        labels = tuple(name.encode().split(b".")) if name else ()
        return self.zone.answer(DnsQuestion(labels, kind), self.look)

    def asked(self, name, kind="A", *, by_tcp=False, room=1232):
        """Give the answer to a message, read back, and its bytes."""
        asked = DNSRecord.question(name, kind)
        if room:
            asked.add_ar(EDNS0(udp_len=room))
        data = reply_to(bytes(asked.pack()), lambda one: self.zone.answer(one, self.look), by_tcp=by_tcp).data
        return DNSRecord.parse(data), len(data)


def found(answer, kind=None):
    """Give the data of the records of an answer, those of a kind; names as texts."""
    return [text_of(one) for one in answer.records if kind in (None, one.kind)]


def text_of(record):
    data = record.data
    if record.kind in ("PTR", "NS"):
        return b".".join(data).decode()
    if record.kind == "SRV":
        return (data[0], data[1], b".".join(data[2]).decode())
    return data


def kinds(records):
    return [str(QTYPE.get(one.rtype)) for one in records]
