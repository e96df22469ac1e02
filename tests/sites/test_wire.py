"""What sites say to each other: encoded, read back, bounded."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import WireError
from discoveryd.protocol.wire.messages import REASON_LETTERS
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.sites.drops import SITE_DROP_REASONS
from discoveryd.sites.row import check_row, encode_row, key_of, mark, read_row
from discoveryd.sites.wire import (
    ENDS,
    MAX_BODY,
    MAX_LINES,
    MAX_TEXT,
    Beat,
    Delta,
    SetPart,
    Talk,
    Want,
    decode_message,
    encode_end,
    encode_message,
    split_lines,
)

BOOT, RUN, NONCE = "0123456789abcdef", "f" * 16, "abcdefgh"
TEXT = encode_row("web1", ["10.0.0.1"], {"role": "web"}, [Service(name="http", port=80)], "", clone=False)
CHANGES = ((key_of("web1", BOOT), TEXT), (key_of("web2", BOOT), "d"), (key_of("web3", BOOT), "l:r"), (key_of("10.0.0.9", ""), encode_row(None, [], {}, [], "", clone=False)))
ECHO = {"paris": (NONCE, "ijklmnop"), "rome": (NONCE,)}
MESSAGES = [
    ("beat", Beat(name="Büro", boot=BOOT, hello=7, set=3, count=2, digest=2**63, nonce=NONCE, interval=2.5, asks=True, echo=ECHO)),
    ("delta", Delta(set=4, changes=CHANGES)),
    ("delta", Delta(set=5, changes=CHANGES * 50)),
    ("full", SetPart(set=4, part=1, of=3, count=9, digest=1, changes=CHANGES, echo=ECHO)),
    ("full", SetPart(set=0, part=0, of=1, count=0, digest=0, changes=())),
    ("want", Want(run=RUN, nonce=NONCE, echo=ECHO)),
    ("ask", Talk(run=RUN, number=NONCE, body=bytes(range(256)), echo=ECHO)),
    ("answer", Talk(run=RUN, number=NONCE, body=b"")),
]


def reason(kind, body):
    with pytest.raises(WireError) as caught:
        decode_message(kind, body)
    return caught.value.reason


@pytest.mark.parametrize(("kind", "message"), MESSAGES)
def test_a_message_is_read_back(kind, message):
    assert decode_message(kind, encode_message(message)) == message


def test_a_beat_that_echoes_ten_sites_takes_few_bytes():
    echo = {f"site-{number:02}": (NONCE,) for number in range(10)}
    beat = Beat(name="gateway-1", boot=BOOT, hello=10**6, set=10**6, count=1000, digest=2**63, nonce=NONCE, interval=2.0, echo=echo)
    assert len(encode_message(beat)) <= 450


def test_rows_are_compressed_and_unpacked_only_so_far():
    head, _, packed = encode_message(Delta(set=5, changes=CHANGES * 50)).partition(b"\n")
    assert len(packed) < 500
    bomb = zlib.compress(b"\0" * (MAX_TEXT + 1), 9)
    assert reason("delta", head + b"\n" + bomb) == "too-long"
    assert reason("delta", head + b"\n" + packed[:-8]) == "too-long"


def test_changes_are_split_so_that_each_part_can_be_read():
    longest = Record(name="n", tags={f"k{number}": "v" * 200 for number in range(3)})
    text = encode_row(longest.name, ["10.0.0.1"], longest.tags, (), "", clone=False)
    changes = [(key_of(f"id{number}", BOOT), text) for number in range(500)]
    portions = split_lines(changes)
    assert [change for portion in portions for change in portion] == changes
    assert all(sum(len(key) + len(row) + 2 for key, row in portion) <= MAX_LINES for portion in portions)
    for portion in portions:
        assert decode_message("delta", encode_message(Delta(set=1, changes=portion))).changes == portion
    assert split_lines([]) == [()]


def test_an_end_is_a_letter_and_a_goodbye_has_that_of_its_reason():
    ends = [("down", "d"), ("died", "x"), ("left", "l"), ("replaced", "r"), ("unknown", "o")]
    assert [encode_end(state) for state, _ in ends] == [letter for _, letter in ends]
    for state, letter in ends:
        assert ENDS[letter] == (state, "stop")
    for reason, letter in REASON_LETTERS.items():
        text = encode_end("left", reason)
        assert text == (f"l:{letter}" if letter else "l")
        assert ENDS[text] == ("left", reason)
    assert encode_end("down", "reboot") == "d"
    assert ENDS["l:z"] == ("left", "stop")  # of a later release


@pytest.mark.parametrize("end", ["l:", "l:rr", "l:R", "lr", "l:r ", "d:r", "x:", "z", ":", "l:\u00e9"])
def test_what_is_no_end_is_malformed(end):
    head = encode_message(Delta(set=5, changes=()))
    line = f"{key_of('web1', BOOT)}\t".encode() + end.encode()
    assert reason("delta", head + b"\n" + line) == "malformed"
    assert reason("full", encode_message(SetPart(set=4, part=0, of=1, count=0, digest=0, changes=())) + b"\n" + line) == "malformed"


def test_a_question_has_a_bound():
    assert reason("ask", encode_message(Talk(run=RUN, number=NONCE, body=b"x" * (MAX_BODY + 1)))) == "too-long"


def test_a_row_says_what_the_peer_says():
    service = Service(name="dns", port=53, proto="udp", tags={"zone": "lab"})
    text = encode_row("web1", ["10.0.0.1", "fd00::1"], {"empty": ""}, [service], "0a0b0c0d", clone=True)
    check_row(key_of("web1", BOOT), text)
    assert read_row(key_of("web1", BOOT), text) == {
        "id": "web1", "boot": BOOT, "name": "web1", "kind": "node", "address": "10.0.0.1", "addresses": ["10.0.0.1", "fd00::1"],
        "services": [service.to_json()], "tags": {"empty": ""}, "key": "0a0b0c0d", "clone": True,
    }  # fmt: skip
    bare = read_row(key_of("10.0.0.9", ""), encode_row(None, ["10.0.0.9"], {}, (), "", clone=False))
    assert (bare["kind"], bare["name"], bare["id"]) == ("bare", None, "10.0.0.9")


@pytest.mark.parametrize("text", ["", "{}", "[", "[1]", '["a\\u001b[2J"]', '["a",["b"],{"c":1}]', '["a",[],{},[["http","x"]]]', '["a",[1]]', '["a",[],{},[["x",65536]]]'])
def test_what_is_no_row_is_malformed(text):
    with pytest.raises(WireError, match="malformed"):
        check_row("web1 ", text)


def test_the_part_of_a_row_in_the_digest_is_its_own():
    assert len({mark("a b", "c"), mark("a", "b c"[:1]), mark("a b", "d"), mark("b b", "c")}) == 4


def altered(message):
    """Return the bytes of a message, one of them another."""
    body = encode_message(message)
    places = st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255))
    return places.map(lambda one: body[: one[0]] + bytes([one[1]]) + body[one[0] + 1 :])


KINDS = st.sampled_from(["beat", "delta", "full", "want", "ask", "answer"])
BODIES = st.binary(max_size=300) | st.sampled_from([message for _, message in MESSAGES]).flatmap(altered)


@given(KINDS, BODIES)
def test_any_bytes_give_a_message_or_a_wire_error(kind, body):
    try:
        message = decode_message(kind, body)
    except WireError as error:
        if error.reason not in SITE_DROP_REASONS:
            raise
    else:
        assert decode_message(kind, encode_message(message)) == message
