"""What is read without the YAML library is what the library reads."""

from hypothesis import given
from hypothesis import strategies as st

from discoveryd.config.tree import TextSource, parse
from discoveryd.config.yaml_tree import parse_yaml

VARIABLE = TextSource("DISCOVERYD_NODE__NAME", None)
WORDS = st.text(alphabet="azAZ09_/.-~nulNULtrueoff", min_size=1, max_size=12)


@given(WORDS | st.sampled_from(("null", "Null", "NULL", "~", "off", "1.10", "0x1f", "1e3", "/run/x", "10.0.0.1", "---", "...")))
def test_plain_words_are_what_yaml_makes_of_them(text):
    try:
        expected = parse_yaml(text, VARIABLE)
    except Exception as error:
        expected = repr(error)
    try:
        found = parse(text, VARIABLE)
    except Exception as error:
        found = repr(error)
    assert found == expected
