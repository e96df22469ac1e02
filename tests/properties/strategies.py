"""What to try: messages as they should be, and bytes as they should not."""

import os

from hypothesis import settings
from hypothesis import strategies as st

from discoveryd.protocol.wire.meet import MAX_NAMED, Intro, Meet
from discoveryd.protocol.wire.messages import REASON_LETTERS, Hello, Ping, Pong
from discoveryd.protocol.wire.record import MAX_RECORD, Record, Service, digest_of
from discoveryd.protocol.wire.talk import Ack, MessagePart
from discoveryd.protocol.wire.why import Say, Why

FUZZ = int(os.environ.get("DISCOVERYD_FUZZ_EXAMPLES") or (10_000 if os.environ.get("CI") == "true" else 400))
"""Examples of the tests that feed arbitrary bytes to a node or a query socket."""

fuzz = settings(max_examples=FUZZ)

words = st.text("abcXYZ019._-", min_size=1, max_size=32)
realms = st.text("abcXYZ019._-", min_size=1, max_size=16)
boots = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")

texts = st.text(min_size=1, max_size=20).filter(str.isprintable)
tags = st.dictionaries(texts, texts | st.just(""), max_size=3)
services = st.builds(
    Service,
    name=texts,
    port=st.integers(0, 65535),
    proto=st.just("tcp") | st.text("abc|é", min_size=1, max_size=16),
    tags=st.dictionaries(texts, texts, max_size=1),
)


@st.composite
def records(draw):
    """Records that fit: services and tags are taken away until they do."""
    name, some_tags, some_services = draw(texts), draw(tags), draw(st.lists(services, max_size=3))
    while True:
        try:
            return Record(name=name, tags=some_tags, services=tuple(some_services))
        except Exception as error:
            if f"the {MAX_RECORD} that fit" not in str(error):
                raise
            if some_services:
                some_services.pop()
            else:
                some_tags.popitem()


@st.composite
def hellos(draw):
    interval_ms = draw(st.integers(1, 600_000))
    encoded = draw(st.none() | records().map(lambda record: record.encoded))
    solicit, goodbye = draw(st.booleans()), draw(st.booleans())
    return Hello(
        realm=draw(realms),
        id=draw(words),
        boot=draw(boots),
        interval_ms=interval_ms,
        ttl_ms=draw(st.integers(interval_ms, 3_600_000)),
        digest=digest_of(encoded) if encoded else draw(boots),
        seq=draw(st.integers(0, 2**32 - 1)),
        lasting=draw(st.text("qwE", max_size=3)),
        solicit=solicit,
        goodbye=goodbye,
        goodbye_reason=draw(st.sampled_from(list(REASON_LETTERS))) if goodbye else "stop",
        record=encoded,
        quiet=bool(encoded) and not (solicit or goodbye) and draw(st.booleans()),
    )


pings = st.builds(Ping, realm=realms, id=words, boot=boots, nonce=boots, to=boots)
pongs = st.builds(
    Pong, realm=realms, boot=boots, nonce=boots, heard_ms=st.none() | st.integers(0, 9_999_999),
    held_us=st.integers(0, 9_999_999),
)  # fmt: skip

payloads = st.binary(max_size=600)
bitmaps = st.integers(0, 2**128 - 1)
numbers = st.integers(1, 2**32 - 1)
parts = st.builds(
    MessagePart, realm=realms, id=words, boot=boots, number=numbers, part=st.just(0), parts=st.integers(1, 128),
    flags=st.text("qhaX", max_size=4), have=bitmaps, name=st.text("abc019-", min_size=1, max_size=32),
    filter=st.text("abXY01_-", max_size=40), payload=payloads,
) | st.builds(
    MessagePart, realm=realms, id=words, boot=boots, number=numbers, part=st.integers(1, 63),
    parts=st.integers(64, 128), payload=payloads,
)  # fmt: skip
acks = st.builds(
    Ack, realm=realms, boot=boots, to=boots, number=numbers, status=st.sampled_from("rhfdublmz"), bitmap=bitmaps,
    part=st.integers(0, 127), parts=st.integers(0, 128), payload=payloads,
)  # fmt: skip

meets = st.builds(Meet, realm=realms, id=words, boot=boots, nonce=boots, after=boots)
intros = st.builds(Intro, realm=realms, boot=boots, nonce=boots, named=st.text("0aZ.:,;_-", max_size=MAX_NAMED))
whys = st.builds(Why, realm=realms, id=words, boot=boots, nonce=boots, about=st.text("abXY01.:%_-", max_size=64))
ages = st.none() | st.integers(0, 9_999_999)
counts = st.integers(0, 2**32 - 1)
addresses = st.text("0123456789abcdef.:", max_size=64)
says = st.builds(
    Say, realm=realms, boot=boots, nonce=boots, heard_ms=ages, release=st.text("abXY01.+_-", max_size=32),
    network=st.text("0123456789abcdef.:/", max_size=64), broadcast=addresses, sent=counts, echoed=counts,
    drops=st.text("abXY01:,_-", max_size=160), state=st.text("abc", max_size=8), address=addresses, last_ms=ages,
)  # fmt: skip

SEEDS = (
    b"HELLO|",
    b"HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|41",
    b'HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|50||{"name":"web1","tags":{"rack":"b2"}}|',
    b'HELLO|2|default|web2|a3d1e00942bb7c15|800|4000||ba158d96e1f06bbb|0|s|{"name":"web2"}|',
    b"HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|52|g|",
    b"HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|53|gb|",
    b"PING|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|a3d1e00942bb7c15|",
    b"PONG|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|312|85|",
    b"MSG|2|default|web1|5f0c8b1e2d3a4f60|7|0|1|ha||deploy|eyJuIjoid2ViKiIsInQiOnsicmFjayI6ImIyIn19|djI|",
    b"MSG|2|default|web1|5f0c8b1e2d3a4f60|8|0|1|qa||upper||cmVhZHk/|0000|",
    b"ACK|2|default|a3d1e00942bb7c15|27d7dd7de1118645|8|h|1|0|1|UkVBRFk/|",
    b"WHY|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|db1|" + b"0" * 454 + b"|",
    b"MEET|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|0000000000000000|" + b"0" * 631 + b"|",
    b"INTRO|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|10.2.0.7,db1,77b1c0d2e3f40516|",
    b"SAY|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|312|0.1.0|10.0.0.2/24|10.0.0.255|45|45|rate:2:17|up|10.0.0.3|650|",
)
ODD = (
    b"", b"|", b"||||||||||", b"-", b"-1", b"0", b"1", b"4294967295", b"4294967296", b"9" * 300, b"\0", b"\xff", b"\n", b"1e9",
    b"default", b"0" * 16, b"F" * 16, b"sg", b"gub", b"Zz", b"{}", b"[" * 500, b'{"name":1}', b'{"name":"\\ud800"}', b"NaN", b" ",
    b'{"name":"x","services":[{"name":"s","port":1e5}]}', b"x" * 1024,
)  # fmt: skip


@st.composite
def mutated(draw, seeds=SEEDS, odd=ODD, separator=b"|"):
    """Something valid with a few things done to it."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                fields = data.split(separator)
                fields[at % len(fields)] = bytearray(draw(st.sampled_from(odd)))
                data = bytearray(separator.join(fields))
            case 1:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                del data[at : at + draw(st.integers(1, 30))]
            case 3:
                data[at:at] = draw(st.sampled_from(odd))
            case 4:
                data[at:at] = data[: draw(st.integers(0, 60))]
            case _:
                del data[at:]
    return bytes(data)


datagrams = (
    mutated() | st.binary(max_size=1100) | hellos().map(Hello.encode) | parts.map(MessagePart.encode) | acks.map(Ack.encode)
)
