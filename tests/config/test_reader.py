"""A wrong configuration: each fault with its place, and what any bytes give."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import discoveryd.config
from discoveryd.config import (
    MAX_FILE,
    SCHEMA,
    Config,
    NodeSection,
    load,
)
from discoveryd.config.reader import MAX_FAULTS
from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import Service
from tests.config.faults import attempt, problems

SAMPLE = Path(__file__).parents[2] / "config" / "discoveryd.yaml"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # not YAML
        ("hello:\n\tport: 1\n", "2:1: a tab; indent with spaces"),
        ("hello: [1,\n", "1: a quote or bracket is opened and never closed"),
        ("hello:\n  realm: 'x\n", "2:10: a quote or bracket is opened and never closed"),
        ("hello: port: 1\n", "1:12: no `:` can stand here; check the indentation, and quote a text that has `: ` in it"),
        ("hello:\n   port: 1\n  ttl: 3s\n", "3:3: does not fit the lines above; check the indentation, quotes and brackets"),
        ("- a\nb: c\n", "2:1: does not fit the lines above; check the indentation, quotes and brackets"),
        ("hello:\n  realm: @x\n", "2:10: a value cannot begin with @; put it in quotes"),
        ("hello:\n  interfaces: [*]\n", '2:16: a value that begins with * or & must stand in quotes, such as "*"'),
        ("a: ]\n", "1:4: does not fit the lines above; check the indentation, quotes and brackets"),
        ("a: {b: c: d}\n", "1:9: no `:` can stand here; check the indentation, and quote a text that has `: ` in it"),
        ("%YAML 2.0\n---\n", "1:1: a directive; remove the line, or quote the text"),
        # YAML that a configuration has no use for
        ("hello:\n  interfaces:\n    - !eth0\n", '3: YAML tags are not allowed; if the text !eth0 is meant, quote it: "!eth0"'),
        ("hello:\n  realm: *x\n", '2: YAML aliases are not allowed; if the text *x is meant, quote it: "*x"'),
        ("a: &a [x]\nb: [*a, *a]\n", '1: YAML anchors are not allowed; if the text &a is meant, quote it: "&a"'),
        ("node:\n  name: !!python/object/apply:os.getcwd []\n",
         ("2: YAML tags are not allowed; if the text !!python/object/apply:os.getcwd is meant, "
          'quote it: "!!python/object/apply:os.getcwd"')),
        ("hello:\n---\nhello:\n", "2: a second document begins here; a configuration is one"),
        ("[" * 30_000, "1: nested deeper than 16 levels"),
        ("{a: " * 15_000, "1: nested deeper than 16 levels"),
        ("- " * 15_000, "1: nested deeper than 16 levels"),
        # not text
        (b"hello:\n  realm: \xff\n", "2: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"\xff\xfeh\x00e\x00", "1: the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"\n\nhello: \x1b[31m\n", "3: the character '\\x1b' is not allowed; remove it"),
        # another shape
        ("- hello\n", "1: must be sections such as `hello:`, not a list"),
        ("\nhello\n", "2: must be sections such as `hello:`, not 'hello'"),
        ("hello: 5\n", "1: hello: must be keys such as `port:` below it, not '5'"),
        ("? [a]\n: b\n", "1: a key must be a word, not a list"),
        ("~: b\n", "1: a key must be a word, not nothing"),
        ("hello:\n  seeds: {a: b}\n", '2: hello.seeds: must be a list such as ["one", "two"], not a mapping'),
        ("hello:\n  seeds:\n    -\n", "3: hello.seeds: an item with nothing in it; remove it or fill it in"),
        ("hello:\n  seeds: [[a]]\n", "2: hello.seeds: must be a text, not a list"),
        ("hello:\n  ttl: [4s]\n", "2: hello.ttl: must be a duration such as 4s, not a list"),
        ("node:\n  tags: role\n", "2: node.tags: must be tags such as {role: web}, not 'role'"),
        ("node:\n  tags:\n    a: [b]\n", "3: node.tags.a: must be a text, not a list"),
        ("node:\n  services: http\n",
         "2: node.services: must be a list of services such as [{name: http, port: 80}], not 'http'"),
        ("node:\n  services:\n    - http\n", "3: node.services: must be a service such as {name: http, port: 80}, not 'http'"),
        ("node:\n  services:\n    -\n", "3: node.services: an item with nothing in it; remove it or fill it in"),
        ("node:\n  services:\n    - proto: udp\n", "3: node.services: a service needs name and port (port 0 where it has none)"),
        ("node:\n  services:\n    - name: a\n      port:\n", "3: node.services: a service needs port (port 0 where it has none)"),
        # keys
        ("hello:\n  intervl: 3s\n", "2: unknown key hello.intervl; did you mean hello.interval?"),
        ("hello:\n  level: info\n", "2: unknown key hello.level; did you mean log.level?"),
        ("interval: 3s\n", "1: unknown key interval; did you mean hello.interval?"),
        ("helo:\n  port: 1\n", "1: unknown key helo; did you mean hello?"),
        ("log:\n  xyz: 1\n", "2: unknown key log.xyz; known here are level, format"),
        ('"a\\nb\\e": 1\n', "1: unknown key 'a\\nb\\x1b'; known here are node, hello, limits, query, security, messages, metrics, web, dns, history, grace, export, sites, log, paths"),
        ("node:\n  services:\n    - {name: a, port: 1, prot: udp}\n",
         "3: unknown key node.services.prot; did you mean node.services.proto?"),
        ("hello:\n  port: 1\n\n  port: 2\n", "4: hello.port: set twice, first on line 2; keep one"),
        ("hello:\n  port: 1\nhello:\n  ttl: 4s\n", "3: hello: set twice, first on line 1; keep one"),
        # values
        ("hello:\n  port: 34oo\n", "2: hello.port: must be a whole number, not '34oo'"),
        ("hello:\n  port: " + "9" * 5000, "2: hello.port: must be a whole number, not '" + "9" * 79),
        ("hello:\n  port: 0\n", "2: hello.port: must be 1 to 65535, not 0"),
        ("hello:\n  ttl: 4\n", "2: hello.ttl: 4 needs a unit: 4ms, 4s, 4m or 4h"),
        ("hello:\n  # no consequence of it is told\n  interval: 2h\n", "3: hello.interval: must be 50ms to 10m, not 2h"),
        ("hello:\n  seeds:\n    - 10.0.0.1\n    - ra ven\n", "2: hello.seeds: 'ra ven' is neither an address nor the name of a host, with or without :port"),
        ("limits:\n  query_line: 10\n", "2: limits.query_line: must be at least 64, not 10"),
        ("node:\n  id: x y\n", "2: node.id: must be 1 to 32 of A-Z a-z 0-9 . _ -, or empty to derive it, not 'x y'"),
        ('node:\n  name: "a\\tb"\n', "2: node.name: must be printable text on one line, not 'a\\tb'"),
        ("node:\n  name: " + "x" * 65, f"2: node.name: must be 1 to 64 printable characters, not '{'x' * 65}'"),
        ("node:\n  tags:\n    a: b\n    '': x\n", "2: node.tags: key: must be 1 to 64 printable characters, not ''"),
        ("node:\n  tags:\n    role: '" + "x" * 256 + "'\n",
         "3: node.tags.role: must be 1 to 255 printable characters, not '" + "x" * 79),
        ("node:\n  services:\n    - name: a\n      port: 1\n    - name: a\n      port: 99999\n",
         "6: node.services.a.port: must be 0 to 65535, not 99999"),
        ("node:\n  services:\n    - name: ''\n      port: 1\n", "3: node.services: name: must be 1 to 64 printable characters, not ''"),
        ("query:\n  listen: 3400\n",
         "2: query.listen: must be an IPv4 address and a port such as 127.0.0.1:3400, or off, not '3400'"),
        ("query:\n  listen: 127.0.0.1:0\n",
         "2: query.listen: must be an IPv4 address and a port such as 127.0.0.1:3400, or off, not '127.0.0.1:0'"),
        ("metrics:\n  listen: localhost:9341\n",
         "2: metrics.listen: must be an IPv4 address and a port such as 127.0.0.1:9341, or off, not 'localhost:9341'"),
        ("metrics:\n  listen: 127.0.0.1:65536\n",
         "2: metrics.listen: must be an IPv4 address and a port such as 127.0.0.1:9341, or off, not '127.0.0.1:65536'"),
        ("log:\n  level: loud\n", "2: log.level: must be one of debug, info, warning, error, not 'loud'"),
        ("paths:\n  state: var\n", "2: paths.state: must be an absolute path such as /var/lib/discoveryd, not 'var'"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_refused_with_place_and_reason(read, text, problem):
    assert problems(read, text) == [f"c.yaml:{problem}"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello:\n  interval: 1ms\n", "hello.interval: must be 50ms to 10m, not 1ms"),
        ("hello:\n  bare_ttl: 7200s\n", "hello.bare_ttl: must be 100ms to 1h, not 7200s"),
        ("limits:\n  hook_timeout: 20ms\n", "limits.hook_timeout: must be at least 0.1s, not 20ms"),
    ],
)
def test_a_refused_duration_is_quoted_as_it_was_written(read, text, told):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [told]


def test_a_fault_without_a_place_in_the_parser_is_told(read):
    (problem,) = problems(read, 'a: "\\q"\n')
    assert re.fullmatch(r"c\.yaml:1:[56]: no escape that YAML knows; put the text in single quotes", problem)
    (problem,) = problems(read, 'a: "\\UFFFFFFFF"\n')
    assert re.fullmatch(r"c\.yaml:1(:7: no escape that YAML knows; .*|: cannot be read as YAML; check its escapes .*)", problem)


@pytest.mark.usefixtures("parser")
def test_no_message_depends_on_the_words_of_pyyaml(read, monkeypatch):
    """Another release may say it in other words; `of_another_release` is each of them."""
    texts = ("a: 'x", "a: [", "a: b: c", "- a\nb: c", "a: @x", "a: *", "a:\n\tb: c", "a: |x", "a: !<x", '"\\q"', "[" * 3000, " - a\n- b")
    before = [problems(read, text) for text in texts]
    original = yaml.MarkedYAMLError.__init__

    def of_another_release(self, context=None, context_mark=None, problem=None, problem_mark=None, note=None):
        original(self, "frobbing", context_mark, "frobbed too far", problem_mark, note)

    monkeypatch.setattr(yaml.MarkedYAMLError, "__init__", of_another_release)
    assert [problems(read, text) for text in texts] == before
    assert "frob" not in str(before)


def test_all_faults_are_told_at_once_in_reading_order(read):
    found = problems(
        read,
        "log:\n"
        "  level: loud\n"
        "  format: pretty\n"
        "node:\n"
        "  id: x y\n"
        "  tags: {a: [b]}\n"
        "hello:\n"
        "  port: 0\n"
        "  intervl: 1s\n"
        "  ttl: 1s\n"
        "limits:\n"
        "  peers: 0\n",
        DISCOVERYD_QUERY__LISTEN="1.2.3.4",
        DISCOVERYD_LIMITS__ANSWERS="0",
    )
    assert [re.split(": (?=must|unknown)", one)[0] for one in found] == [
        "c.yaml:2: log.level",
        "c.yaml:3: log.format",
        "c.yaml:5: node.id",
        "c.yaml:6: node.tags.a",
        "c.yaml:8: hello.port",
        "c.yaml:9",
        "c.yaml:10: hello.ttl",
        "c.yaml:12: limits.peers",
        "environment DISCOVERYD_LIMITS__ANSWERS: limits.answers",
        "environment DISCOVERYD_QUERY__LISTEN: query.listen",
    ]


def test_at_most_a_hundred_faults_are_told(read):
    found = problems(read, "".join(f"word{number}: 1\n" for number in range(5000)))
    assert len(found) == MAX_FAULTS + 1
    assert found[-1] == "c.yaml: and 4900 more; is it the right file?"


# --- properties -----------------------------------------------------------------------------------

_FRAGMENTS = st.sampled_from(
    ["node:", "hello:", "limits:", "tags:", "services:", "name:", "port:", "ttl:", "interfaces:", "seeds:", "4s", "3400",
     " ", "  ", "\n", "\n  ", "\n    - ", "- ", ": ", "{", "}", "[", "]", ",", "'", '"', "*", "&a", "*a", "!x", "|\n", ">\n",
     "? ", "~", "#", "---\n", "...\n", "%YAML 1.1\n", "\t", "\\", "\\U", "\\x", "\r", "\x85", "\u2028", "\ufeff", "\0", "é",
     "<<: ", "raven", "x" * 300]
)  # fmt: skip
_CONTENTS = st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
                      st.lists(_FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode()))  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(content=_CONTENTS, is_built_with_c=st.booleans())
def test_any_bytes_give_a_configuration_or_faults_with_a_line(scratch, content, is_built_with_c):
    scratch.write_bytes(content)
    lines = max(1, len(content.decode("utf-8-sig", "replace").splitlines()))
    with pytest.MonkeyPatch.context() as patch:
        if not is_built_with_c:
            patch.delattr(yaml, "CSafeLoader", raising=False)
        config, found = attempt(load, str(scratch), {})
        assert config or found
        for problem in found:
            place = re.match(rf"{re.escape(str(scratch))}:(\d+)(:\d+)?: .", problem)
            assert place, problem
            assert 1 <= int(place[1]) <= lines
            assert problem.isprintable()
            assert len(problem) < len(str(scratch)) + 700
        if config:
            scratch.write_text(config.to_yaml(), encoding="utf-8")
            assert load(str(scratch), {}) == config


@settings(max_examples=200, deadline=None)
@given(value=st.text(max_size=60), key=st.sampled_from([f"{one}__{key}" for one, keys in SCHEMA.items() for key in keys]))
def test_any_variable_gives_a_configuration_or_named_faults(value, key):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discoveryd.config, "DEFAULT_PATH", "/absent/discoveryd.yaml")
        name = f"DISCOVERYD_{key.upper()}"
        _, found = attempt(load, None, {name: value})
    assert [one for one in found if not one.startswith(f"environment {name}: ") or not one.isprintable()] == []


_TEXTS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12).filter(str.isprintable)
_TAGS = st.dictionaries(_TEXTS, _TEXTS | st.just(""), max_size=2)
_SERVICES = st.builds(Service, name=_TEXTS, port=st.integers(0, 65535), proto=_TEXTS, tags=_TAGS)
_MILLISECONDS = st.integers(2_000, 3_600_000).map(lambda milliseconds: milliseconds / 1000)


@settings(max_examples=200, deadline=None)
@given(
    node=st.builds(dict, name=_TEXTS, tags=_TAGS, services=st.lists(_SERVICES, max_size=1).map(tuple)),
    parameters=st.builds(
        Parameters, ttl=_MILLISECONDS, bare_ttl=_MILLISECONDS, interfaces=st.lists(_TEXTS, max_size=3).map(tuple),
        limits=st.builds(Limits, remember=_MILLISECONDS, query_backlog=st.integers(65536, 10**9)),
    ),
)  # fmt: skip
def test_a_written_configuration_loads_to_the_same(scratch, node, parameters):
    try:
        section = NodeSection(**node)
    except ConfigError:  # over 700 bytes, once escaped
        section = NodeSection(name=node["name"])
    config = replace(Config(), node=section, parameters=parameters)
    scratch.write_text(config.to_yaml(), encoding="utf-8")
    assert load(str(scratch), {}) == config


def test_the_largest_file_is_read_in_reasonable_time(read):
    # no timed assertion: a quadratic reader would take minutes here
    tags = "".join(f"    t{number}: [x]\n" for number in range(4000))
    assert len(problems(read, f"node:\n  tags:\n{tags}"[:MAX_FILE])) == MAX_FAULTS + 1
    services = "".join(f"    - {{name: s{number}, port: -1}}\n" for number in range(1900))
    assert len(problems(read, f"node:\n  services:\n{services}"[:MAX_FILE])) == MAX_FAULTS + 1
