"""The docstring of `discoveryd.protocol` is the specification: what it shows must be so."""

import ast
import re
from pathlib import Path

import pytest

import discoveryd.protocol
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.wire.hello import Hello, decode_hello
from discoveryd.protocol.wire.probe import decode_probe
from discoveryd.protocol.wire.record import decode_record

ROOT = Path(discoveryd.protocol.__file__).parents[2]
PAGES = (discoveryd.protocol.__doc__, (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
EXAMPLES = [
    line.encode("ascii")
    for page in PAGES
    for line in re.findall(r"^    ((?:HELLO|PING|PONG)\|.*)$", page, re.MULTILINE)
    if "<" not in line
]


def test_there_are_examples_of_every_message():
    assert len(EXAMPLES) >= 9
    assert {example.split(b"|")[0] for example in EXAMPLES} == {b"HELLO", b"PING", b"PONG"}
    hellos = [decode_hello(example) for example in EXAMPLES if example.startswith(b"HELLO")]
    assert None in hellos
    assert any(hello and hello.solicit for hello in hellos)
    assert any(hello and hello.goodbye for hello in hellos)
    assert any(hello and hello.record for hello in hellos)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[:24].decode())
def test_an_example_says_what_it_shows(example):
    message = decode_hello(example) if example.startswith(b"HELLO") else decode_probe(example)
    assert (message.encode() if message else b"HELLO|") == example
    if isinstance(message, Hello) and message.record:
        record = decode_record(message.record)
        assert record.encoded == message.record
        assert record.digest == message.digest
        assert record.name == message.id


def test_the_specification_does_not_import_the_engine():
    tree = ast.parse(Path(discoveryd.protocol.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node.module for node in imports] == ["typing"]


def test_every_drop_reason_is_explained():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "discoveryd").rglob("*.py")]
    used = {reason for text in sources for reason in re.findall(r'(?:WireError|Unproven)\(\s*"([^"]*)"', text)}
    used |= {reason for text in sources for reason in re.findall(r'drops\.count\("([^"]*)"', text)}
    assert used >= {"malformed", "own-echo", "excluded", "send-failed"}  # the search finds something
    assert used <= set(DROP_REASONS)
    assert set(DROP_REASONS) - used <= {"kernel"}  # counted outside `drops`


def test_an_explanation_is_a_sentence():
    for text in DROP_REASONS.values():
        assert text[0].isupper()
        assert text.endswith(".")
