"""The docstring of `discoveryd.protocol` is the specification: the code does what it shows."""

import ast
import re
from pathlib import Path

import pytest

import discoveryd.protocol
import discoveryd.protocol.inquiries
import discoveryd.protocol.introductions
import discoveryd.protocol.messages
import discoveryd.protocol.wills
from discoveryd.errors import WireError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.sealed.envelope import MAX_COUNTER, Sealer
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.fields import FIELDS
from discoveryd.protocol.wire.kinds import KINDS, LETTERS, decode
from discoveryd.protocol.wire.meet import MAX_INTRO, MAX_SEALED_INTRO
from discoveryd.protocol.wire.messages import (
    MAX_DATAGRAM,
    MAX_SEALED_ACK,
    MAX_SEALED_PING,
    MAX_SEALED_PONG,
    VERSION,
    BareHello,
    Hello,
)
from discoveryd.protocol.wire.record import MAX_RECORD, decode_record
from discoveryd.protocol.wire.why import MAX_SAY, MAX_SEALED_SAY

ROOT = Path(discoveryd.protocol.__file__).parents[2]
SPEC = discoveryd.protocol.__doc__
ROOMS = (discoveryd.protocol.messages, discoveryd.protocol.wills, discoveryd.protocol.inquiries, discoveryd.protocol.introductions)
TALK = "".join(room.__doc__ for room in ROOMS)
PAGES = (SPEC, TALK, (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
KIND = "HELLO|PING|PONG|MSG|ACK|WILL|WHY|SAY|MEET|INTRO"
FILLED = {"W": MAX_SAY, "M": MAX_INTRO}
"""Bytes of the kinds that are filled up, by their first letter."""
EXAMPLES = [
    line.replace("0..0", "0" * (FILLED.get(line[0], 0) + 4 - len(line))).encode("ascii")
    for page in PAGES
    for line in re.findall(rf"^    ((?:{KIND})\|.*)$", page, re.MULTILINE)
    if "<" not in line
]
LAYOUTS = re.findall(rf"^    ((?:{KIND})\|{VERSION.decode()}\|<.*)$", SPEC + TALK, re.MULTILINE)
INSIDES = re.findall(r"^    ([A-Z]\|(?:<\S*|$))", SPEC + TALK, re.MULTILINE)
FORMS = dict(re.findall(r"^\*(\w+)\*  +(.*)$", SPEC + TALK, re.MULTILINE))
UNITS = {name: name.partition("_")[0] for name in FIELDS}
"""Attributes end in their unit, which the specification writes in the table."""


# --- examples and layouts ---------------------------------------------------------------------------


def test_there_are_examples_of_every_message():
    assert len(EXAMPLES) >= 9
    assert {example.split(b"|")[0] for example in EXAMPLES} == set(KINDS)
    messages = [decode(example) for example in EXAMPLES]
    assert BareHello() in messages
    hellos = [message for message in messages if isinstance(message, Hello)]
    assert any(hello.solicit for hello in hellos)
    assert any(hello.goodbye for hello in hellos)
    assert any(hello.record for hello in hellos)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[:24].decode())
def test_an_example_says_what_it_shows(example):
    message = decode(example)
    assert message.encode() == example
    if isinstance(message, Hello) and message.record:
        record = decode_record(message.record)
        assert record.encoded == message.record
        assert record.digest == message.digest
        assert record.name == message.id


def test_the_sealed_examples_open():
    """Their key, address and receiver are those of the sentence before them."""
    shown = [line.split("\n")[0] for line in SPEC.replace("\n        ", "").split("\n    ")]
    examples = [line.encode() for line in shown if line.startswith("SEALED|2|6")]
    receiver = Sealer(Keyring(keys=(Key(bytes(range(32))),)), realm="default", id="web2", boot="a3d1e00942bb7c15")
    source = Source("10.0.0.1", Link("eth0", 2, "10.0.0.2", 24, "10.0.0.255"))
    opened = [receiver.open(example, source) for example in examples]
    assert [(one.scope, one.is_quiet, one.datagram in EXAMPLES) for one in opened] == [
        (b"u", False, False),
        (b"b", True, True),
    ]
    assert decode(opened[0].datagram).heard_ms == 312
    assert f"(one line, {len(examples[1])} bytes)" in SPEC


def test_each_kind_has_its_layout():
    shown = {layout.split("|")[0]: layout for layout in LAYOUTS if "<once>" not in layout}
    end = {"HELLO": ""}
    assert shown == {
        word.decode(): "|".join((word.decode(), "2", *(f"<{UNITS[name]}>" for name in kind.fields))) + end.get(word.decode(), "|")
        for word, kind in KINDS.items()
    }


def test_each_kind_has_its_layout_inside_an_envelope():
    header = ("realm", "id", "boot")
    assert [inside.partition("[")[0] for inside in INSIDES] == [
        f"{letter.decode()}|" + "|".join(f"<{UNITS[name]}>" for name in kind.fields if name not in header)
        for letter, kind in LETTERS.items()
    ]


def test_each_kind_has_its_sealed_length():
    text = " ".join(SPEC.split())
    assert f"a sealed PONG has at most {MAX_SEALED_PONG} bytes, a PING {MAX_SEALED_PONG} to {MAX_SEALED_PING}" in text
    assert f"a HELLO {MAX_SEALED_PING} or more" in text
    assert [kind.least for kind in KINDS.values()] == [MAX_SEALED_PING, MAX_SEALED_PONG, 0, MAX_SEALED_ACK, 0, MAX_SEALED_PING, MAX_SEALED_SAY, 0, MAX_SEALED_INTRO, 0]
    assert f"A sealed INTRO has at most {MAX_SEALED_INTRO} bytes, and a MEET {MAX_SEALED_INTRO} or more" in " ".join(TALK.split())
    assert f"{MAX_INTRO} bytes, the length of the longest INTRO" in " ".join(TALK.split())
    assert f"A sealed SAY has at most {MAX_SEALED_SAY} bytes, and a WHY {MAX_SEALED_SAY} or more" in " ".join(TALK.split())
    assert f"{MAX_SAY} bytes, the length of the longest SAY" in " ".join(TALK.split())
    assert f"a payload has at most {MAX_SEALED_ACK} bytes, a MSG {MAX_SEALED_ACK} or more" in " ".join(TALK.split())


# --- fields -------------------------------------------------------------------------------------------


def is_read(name, text):
    try:
        FIELDS[name](text)
    except WireError:
        return False
    return True


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_the_form_of_the_table(name):
    form = FORMS[UNITS[name]].replace("*interval*", "1")
    if "decimal" in form:
        least, most = map(int, re.search(r"(\d+) to (\d+)", form).groups())
        right, wrong = [b"%d" % least, b"%d" % most, b"0%d" % least], [b"%d" % (most + 1), b"%d" % (least - 1), b"", b"+5", b"1_0"]
        (right if "``-``" in form else wrong).append(b"-")
    else:
        least, most, letters = re.match(r"(?:(\d+) to )?(\d+) of ``(.*?)``", form).groups()
        least, most = int(least or most), int(most)
        known = {char for part in letters.split() for char in (part if len(part) < 3 else map(chr, range(ord(part[0]), ord(part[2]) + 1)))}
        if "-" in letters.split():
            known.add("-")
        right = [char.encode() * most for char in sorted(known)] + [b"a" * least]
        wrong = [b"a" * (most + 1), b"a\n" * (most // 2), b"\xe4" * most] + [b"a" * (least - 1)] * bool(least)
        wrong += [bytes([code]) * most for code in range(128) if chr(code) not in known]
    assert [text for text in right if not is_read(name, text)] == []
    assert [text for text in wrong if is_read(name, text)] == []


def test_the_table_has_each_field_once():
    assert set(FORMS) == {*UNITS.values(), "once", "record"}
    assert f"at most {MAX_RECORD} bytes" in FORMS["record"]
    assert f"at most {MAX_DATAGRAM} bytes, fields separated" in SPEC
    assert "below 2^63" in SPEC
    assert MAX_COUNTER == 2**63


# --- the rest of the page -------------------------------------------------------------------------------


def test_the_specification_does_not_import_the_engine():
    tree = ast.parse(Path(discoveryd.protocol.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node.module for node in imports] == ["discoveryd.protocol.drops"]


def test_the_module_map_names_each_module_once():
    package = Path(discoveryd.protocol.__file__).parent
    paths = [path.relative_to(package).with_suffix("") for path in package.rglob("*.py") if path.stem != "__init__"]
    folders = {path.parts[0] for path in paths if len(path.parts) > 1}
    shown = re.findall(r"``([a-z0-9_.]+)``", SPEC.partition("\nModules\n=======\n")[2])
    assert sorted(set(shown) - folders) == sorted(".".join(path.parts) for path in paths)
    assert len(shown) == len(set(shown))


def test_every_drop_reason_is_explained():
    paths = [path for path in (ROOT / "discoveryd").rglob("*.py") if path.parent.name != "sites"]  # which has its own
    sources = [path.read_text(encoding="utf-8") for path in paths]
    used = {reason for text in sources for reason in re.findall(r'(?:WireError|Unproven)\(\s*"([^"]*)"', text)}
    used |= {reason for text in sources for reason in re.findall(r'drops\.count\("([^"]*)"', text)}
    assert used >= {"malformed", "own-echo", "excluded", "send-failed"}  # the search finds something
    assert used <= set(DROP_REASONS)
    assert set(DROP_REASONS) - used <= {"kernel"}  # counted outside `drops`


def test_an_explanation_is_a_sentence():
    for text in DROP_REASONS.values():
        assert text[0].isupper()
        assert text.endswith(".")


def test_the_reasons_named_in_the_specification_are_drop_reasons():
    named = set(re.findall(r"reason ``([a-z-]+)``", SPEC + TALK))
    assert len(named) >= 6
    assert named <= set(DROP_REASONS)
