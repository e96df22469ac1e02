"""Messages of DNS: bytes to a question, an answer to bytes. All that dnslib is used for.

Any bytes give a message or None, and no answer is longer than its reader can take. Names are answered in the
letters in which they were asked for: a resolver tells by them whether an answer is to its own question (0x20).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

from dnslib import (
    AAAA,
    CLASS,
    EDNS0,
    NS,
    PTR,
    QTYPE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSError,
    DNSHeader,
    DNSRecord,
)
from dnslib.bimap import BimapError
from dnslib.buffer import BufferError as DnsBufferError
from dnslib.label import DNSLabel, DNSLabelError

from discoveryd.dns.names import LONGEST, MAX_LABEL, Labels, length
from discoveryd.dns.zone import DnsAnswer, DnsQuestion, ZoneRecord

HEADER = struct.Struct("!6H")
PLAIN, WIDE = 512, 1232
"""Bytes of an answer by UDP where a question names no size, and where it does: what passes every network in one piece
(the DNS flag day of 2020)."""
MOST = 16383
"""Bytes of an answer by TCP: no name behind them can be referred to."""
MAX_QUESTION = 1232
"""Bytes of a message that is read: a question has 300 at most, and options."""
_LEAST_RECORD = 16
"""Bytes of the shortest record: a reference to its name, and an address of IPv4."""
_RESPONSE, _QUERY, _OPCODE, _RD = 0x8000, 0, 0x7800, 0x0100
_FORMERR, _NOTIMP, _REFUSED, _BADVERS = 1, 4, 5, 16
_CODES = {"NOERROR": 0, "NXDOMAIN": 3, "REFUSED": _REFUSED}
CODES = {_FORMERR: "FORMERR", _NOTIMP: "NOTIMP", _BADVERS: "BADVERS", **{code: name for name, code in _CODES.items()}}
"""What answers are counted by."""
_UNREADABLE = (
    DNSError, DNSLabelError, DnsBufferError, BimapError, ValueError, struct.error, IndexError, RecursionError
)  # fmt: skip
_REFRESH, _RETRY, _EXPIRE = 60, 10, 86400
"""Seconds of the SOA for servers that copy a zone, as nobody can here."""


class Reply(NamedTuple):
    """What is sent back.

    Attributes:
        data: the message.
        code: one of `CODES`.
        is_truncated: whether it only says that the question is to come by TCP.
    """

    data: bytes
    code: str
    is_truncated: bool = False


def reply_to(data: bytes, answer: Callable[[DnsQuestion], DnsAnswer] | None, *, by_tcp: bool) -> Reply | None:
    """Return the reply to a message.

    Args:
        data: the message.
        answer: to a question of class IN; None to send every question to TCP.
        by_tcp: whether it came so.

    Returns:
        the reply; None for what is no question: to a reply there is none, or two servers would talk for ever.
    """
    if len(data) < HEADER.size:
        return None
    number, flags, *counts = HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE != _QUERY:
        return _bare(number, flags, _NOTIMP)
    if counts[:3] != [1, 0, 0] or counts[3] > 2 or len(data) > MAX_QUESTION:
        return _bare(number, flags, _FORMERR)
    try:
        made = _Draft.of(DNSRecord.parse(data), by_tcp=by_tcp)
    except _UNREADABLE:
        return _bare(number, flags, _FORMERR)
    if made.version:
        return made.coded(_BADVERS)
    if answer is None and not by_tcp:
        return made.truncated()
    if answer is None or made.question is None:
        return made.coded(_REFUSED)
    return made.answered(answer(made.question))


def _bare(number: int, flags: int, code: int) -> Reply:
    """Return a reply without the question, which could not be read."""
    return Reply(HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _RD) | code, 0, 0, 0, 0), CODES[code])


class _Draft:
    """A reply that is to fit into so many bytes.

    Attributes:
        question: what is asked; None of another class than IN.
        version: of the options that came.
    """

    def __init__(self, asked: DNSRecord, question: DnsQuestion | None, options: Sequence[RR], room: int) -> None:
        self.question = question
        self.version = options[0].edns_ver if options else 0
        self._asked = asked
        self._options = [EDNS0(udp_len=WIDE)] if options else []
        self._room = room

    @classmethod
    def of(cls, asked: DNSRecord, *, by_tcp: bool) -> Self:
        """Return the draft of the reply to a message.

        Raises:
            ValueError: there is no such name, or the options stand twice.
        """
        name: Labels = tuple(asked.q.qname.label)
        if length(name) > LONGEST or any(len(label) > MAX_LABEL for label in name):
            raise ValueError("no name is that long")
        options = [one for one in asked.ar if one.rtype == QTYPE.OPT]
        if len(options) > 1:
            raise ValueError("only one OPT may be there")
        wide = max(PLAIN, min(options[0].edns_len, WIDE)) if options else PLAIN
        question = DnsQuestion(name, str(QTYPE.get(asked.q.qtype))) if asked.q.qclass == CLASS.IN else None
        return cls(asked, question, options, MOST if by_tcp else wide)

    def coded(self, code: int) -> Reply:
        """Return the code, and nothing else."""
        if code == _BADVERS:
            self._options = [EDNS0(udp_len=WIDE, ext_rcode=code >> 4)]
        return Reply(self._pack(code & 15), CODES[code])

    def truncated(self) -> Reply:
        """Return that the question is to come by TCP."""
        return Reply(self._pack(0, is_truncated=True), "NOERROR", is_truncated=True)

    def answered(self, answer: DnsAnswer) -> Reply:
        """Return an answer, without what is told besides where that has no room; by TCP with as much as has room."""
        code, is_ours = _CODES[answer.code], answer.code != "REFUSED"
        fits = self._room // _LEAST_RECORD
        by_tcp = self._room == MOST
        if len(answer.records) > fits and not by_tcp:
            return self.truncated()
        records = [_record(one) for one in answer.records[:fits]]
        authority = [_record(one) for one in answer.authority]
        for extra in (answer.additional[:fits], ()):
            data = self._pack(code, records, authority, [_record(one) for one in extra], is_ours=is_ours)
            if len(data) <= self._room:
                return Reply(data, answer.code)
        while by_tcp and records:
            del records[len(records) * 3 // 4 :]
            data = self._pack(code, records, authority, is_ours=is_ours)
            if len(data) <= self._room:
                return Reply(data, answer.code)
        return self.truncated()

    def _pack(
        self, code: int, records: Iterable[RR] = (), authority: Iterable[RR] = (), extra: Sequence[RR] = (), *,
        is_ours: bool = False, is_truncated: bool = False,
    ) -> bytes:  # fmt: skip
        asked = self._asked.header
        header = DNSHeader(id=asked.id, qr=1, aa=int(is_ours), tc=int(is_truncated), rd=asked.rd, rcode=code)
        made = DNSRecord(
            header, questions=[self._asked.q], rr=list(records), auth=list(authority), ar=[*extra, *self._options]
        )
        return bytes(made.pack())


_DATA: dict[str, Callable[[object], object]] = {
    "A": A,
    "AAAA": AAAA,
    "NS": lambda name: NS(DNSLabel(name)),
    "PTR": lambda name: PTR(DNSLabel(name)),
    "TXT": lambda texts: TXT(list(texts)),  # type: ignore[call-overload]
}


def _record(one: ZoneRecord) -> RR:
    if one.kind == "SRV":
        priority, port, name = one.data
        data = SRV(priority, 1, port, DNSLabel(name))
    elif one.kind == "SOA":
        server, person, serial = one.data
        data = SOA(DNSLabel(server), DNSLabel(person), (serial, _REFRESH, _RETRY, _EXPIRE, one.ttl))
    else:
        data = _DATA[one.kind](one.data)
    return RR(DNSLabel(one.owner), getattr(QTYPE, one.kind), CLASS.IN, one.ttl, data)
