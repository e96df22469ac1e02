"""What is fuzzed, one function for each kind of bytes that others can give us; each holds its invariant.

The same functions replay the corpus (`tests.fuzz.test_corpus`) and are driven by coverage (`tests.fuzz.run`).
"""

import json
from functools import cache

from discoveryd import config
from discoveryd.errors import ConfigError, QueryError, WireError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.messages import MAX_DATAGRAM
from discoveryd.protocol.wire.record import Record, digest_of
from discoveryd.query import reply as query
from discoveryd.query.request import parse_request
from tests.protocol.samples import WEB, hello, make_node, source

CALM = Parameters(limits=Limits(newcomers=10_000, source_datagrams=10_000, answers=10_000))
NAMES = ("web1", "my web server", "w\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b")
EVERYTHING = parse_request(b'{"op":"list","all":true}').filter


def datagrams(data):
    """Take a datagram twice; it is understood or dropped for a known reason, and what is sent is no longer than it may be.

    What begins with ``{`` is taken for a record, and comes in a HELLO with its digest, which no chance would find.

    Returns:
        the node, for a closer look.
    """
    if data.startswith(b"{"):
        data = b"HELLO|2|default|web1|00000000000000aa|800|4000||%b|1||%b|" % (digest_of(data).encode(), data)
    node = make_node(parameters=CALM)
    for now in (1.0, 1.1):  # the second time by the short way, and as a repetition
        outcome = node.receive(data, source(), now)
        assert all(len(send.datagram) <= MAX_DATAGRAM and send.datagram.isascii() for send in outcome.sends)
    assert sum(node.received.values()) + sum(node.drops.values()) == 2
    assert {reason for reason, _ in node.drops} <= DROP_REASONS.keys()
    if len(node.table):
        node.poll(1.2)
        line = query.list_line(node, EVERYTHING, 1.3)
        assert line.isascii()
        assert all(text.isprintable() for text in texts(json.loads(line)))
    return node


def lines(data):
    """Ask with any line; it is answered, or refused with a code, in one line of ASCII, not long.

    Returns:
        the code, ``ok`` for an answer.
    """
    node, code = populated(), "ok"
    try:
        request = parse_request(data)
        answer = (query.encode(query.show_answer(node, request.peer, 1.1)) if request.peer
                  else query.list_line(node, request.filter, 1.1))  # fmt: skip
    except QueryError as error:
        code, answer = error.code, query.error_line(error.code, error.message, error.problems)
    assert len(answer) < 3000
    assert answer.isascii()
    assert answer.count(b"\n") == 1
    assert json.loads(answer)["ok"] is (code == "ok")
    return code


@cache
def populated():
    """Give a node with three peers, which questions do not change."""
    node = make_node(parameters=CALM)
    for number, name in enumerate(NAMES, 1):
        node.receive(hello(number, f"n{number}", record=Record(name=name)).encode(), source(f"10.0.0.{number + 6}"), 1.0)
    return node


def configs(data):
    """Read any file; it is a configuration that reads back as itself, or refused in printable sentences, all with a place.

    Returns:
        the configuration, or None.
    """
    problems = ()
    try:
        found = config.parse("fuzz.yaml", data, {})
    except ConfigError as error:
        found, problems = None, error.problems
    assert all(problem.isprintable() and len(problem) < 2000 for problem in problems), problems
    assert all(problem.startswith("fuzz.yaml") for problem in problems), problems
    if found is None:
        assert problems
        return None
    assert config.parse("fuzz.yaml", found.to_yaml().encode(), {}) == found
    return found


def sealed(data):
    """Open any envelope: it gives a plain datagram or is dropped for a known reason; so does any inside of a good one.

    The first byte says which: of ``i`` the rest is sealed as it is, so that what lies behind the seal is reached.

    Returns:
        the reason, ``ok`` for one that was opened.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    from discoveryd.protocol.sealed.envelope import Sealer, derive, pack
    from discoveryd.protocol.sealed.keyring import Key, Keyring

    key = Key(bytes(range(32)))
    ring = Keyring(keys=(key,))
    receiver = Sealer(ring, realm="default", id="me", boot="b" * 16)
    if data[:1] == b"i":
        header = f"SEALED|2|{key.id}|web1|{'a' * 16}|0|".encode()
        cipher = ChaCha20Poly1305(derive(key.secret, b"default", b"web1", b"a" * 16))
        raw = cipher.encrypt(bytes(12), data[1:700], header + b"|b|" + source().packed)
        data = header + pack(raw, is_long=False) + b"|b"
    try:
        opened = receiver.open(data, source())
    except WireError as error:
        reason = error.reason
    else:
        reason = "ok"
        datagrams(opened.datagram)
    assert reason in {"ok", *DROP_REASONS}
    return reason


def questions(data):
    """Ask DNS with any bytes, by UDP and by TCP; a reply fits, can be read, and gets no reply itself.

    Returns:
        the code by UDP, ``ignored`` for none.
    """
    from dnslib import DNSRecord

    from discoveryd.dns.message import MOST, WIDE, reply_to

    zone, look = zone_of_names()
    code = "ignored"
    for by_tcp in (True, False):
        reply = reply_to(data, lambda question: zone.answer(question, look), by_tcp=by_tcp)
        code = reply.code if reply else "ignored"
        if reply:
            assert len(reply.data) <= (MOST if by_tcp else WIDE)
            DNSRecord.parse(reply.data)
            assert reply_to(reply.data, None, by_tcp=by_tcp) is None
    return code


@cache
def zone_of_names():
    from tests.fuzz.dns_zone import standing

    return standing()


def texts(value):
    """Give every text of a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


TARGETS = {"datagrams": datagrams, "lines": lines, "configs": configs, "sealed": sealed, "questions": questions}
DICTIONARIES = {
    "datagrams": (b"HELLO|2|default|", b"PING|2|default|", b"PONG|2|default|", b"0123456789abcdef", WEB.digest.encode(),
                  b'{"name":"web1"}', b'"tags":{', b'"services":[', b'"port":', b'"proto":"', b"\\u202e", b"\\ud800", b"1e999", b"|sg|"),
    "lines": (b'{"op":"', b'"list"', b'"watch"', b'"show"', b'"register"', b'"reload"', b'"hello"', b'"proof":"', b'"nonce":"', b'"service":{', b'"name":"',
              b'"tags":{', b'"state":["up"', b'"count":', b'"timeout_s":', b"GET / HTTP/1.1", b"[!", b"\\ud800", b"\\u0000"),
    "configs": (b"node:\n", b"hello:\n", b"limits:\n", b"query:\n  listen: ", b"  interval: ", b"  services: [{name: http, port: 80}]\n",
                b"  tags: {a: b}\n", b"&a ", b"*a", b"!!python/object", b"<<: ", b"---\n", b"? ", b"%YAML 1.1\n", b"\xe2\x80\xae", b"\xef\xbb\xbf"),
    "questions": (b"\4bert", b"\5peers\x08internal\0", b"\5_http\4_tcp", b"\x09_services\7_dns-sd\4_udp", b"\0\1\0\1", b"\0\x10\0\1", b"\0\x21\0\1",
                  b"\0\x0c\0\1", b"\0\0\x29\4\xd0\0\0\0\0\0\0", b"\7in-addr\4arpa\0", b"\xc0\x0c", b"\1\0\0\1\0\0\0\0\0\1"),
    "sealed": (b"SEALED|2|66b37b47|web1|", b"|b0", b"|u", b"|:", b"iH|800|4000|", b"iP|", b"iA|", b"0123456789abcdef"),
}  # fmt: skip
