"""JSON without the `json` package: what it reads and writes is what that does."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.query.json_text import c_half, dumps, loads, whole

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WRONG = (b"", b" ", b"{", b"[1,]", b"nul", b"{} {}", b"'a'", b'"\x01"', b'{"a"}', b"\xff", b"01", b"\xef\xbb\xbf{}")


@given(VALUES)
def test_both_halves_write_and_read_the_same(value):
    for read, write in (c_half(), whole()):
        assert write(value) == json.dumps(value, separators=(",", ":"))
        assert read(f" {json.dumps(value)}\n") == value


@given(st.text(alphabet='{}[]",:0123456789.eE+- \\untrfalse'))
def test_both_halves_refuse_the_same(text):
    told = []
    for read, _ in (c_half(), whole()):
        try:
            told.append(repr(read(text)))
        except ValueError:
            told.append("refused")
    assert told[0] == told[1]


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_json_is_refused(line):
    with pytest.raises(ValueError):
        loads(line)


def test_what_is_too_deep_is_refused():
    with pytest.raises(RecursionError):
        loads(b"[" * 1_000_000)


@pytest.mark.parametrize("write", [one[1] for one in (c_half(), whole())])
def test_what_cannot_be_written_is_refused(write):
    with pytest.raises(TypeError, match="set"):
        write({"a": {1}})


def test_this_interpreter_has_the_c_half():
    code = "import sys; from discoveryd.query.json_text import loads; loads(b'{}'); print('re' in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=".")
    assert done.stdout == "False\n"


def test_dumps_writes_ascii_without_blanks():
    assert dumps({"a": [1, "ü"]}) == '{"a":[1,"\\u00fc"]}'
