"""Configuration: what is read, what is refused, and how a person is told."""

import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import discoveryd.config
from discoveryd.config import (
    SCHEMA,
    Config,
    LogSection,
    MetricsSection,
    NodeSection,
    PathsSection,
    QuerySection,
    SecuritySection,
    load,
)
from discoveryd.config.durations import MAX_DURATION, format_duration, parse_duration
from discoveryd.config.reader import MAX_FAULTS
from discoveryd.config.source import MAX_FILE
from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import Record, Service

SAMPLE = Path(__file__).parents[2] / "config" / "discoveryd.yaml"


@pytest.fixture(params=["c", "python"])
def parser(request, monkeypatch):
    """Both parsers of PyYAML: what a person reads must not depend on how it was built."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A file for hypothesis to write again and again."""
    return tmp_path_factory.mktemp("config") / "fuzzed.yaml"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Load a text as `c.yaml` of the current directory, so that messages have no path to vary."""
    monkeypatch.chdir(tmp_path)

    def load_text(content, **variables):
        data = content if isinstance(content, bytes) else content.encode()
        Path("c.yaml").write_bytes(data)
        return load("c.yaml", variables)

    return load_text


@pytest.fixture
def no_default(monkeypatch, tmp_path):
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path / "absent.yaml"))


def attempt(call, *args, **kwargs):
    """Give what `call` returned, None where it refused; and its problems."""
    try:
        return call(*args, **kwargs), []
    except ConfigError as error:
        return None, list(error.problems)


def problems(call, *args, **kwargs):
    returned, found = attempt(call, *args, **kwargs)
    assert found, f"nothing was refused: {returned}"
    return found


# --- the sample -----------------------------------------------------------------------------------


def test_the_sample_is_the_defaults():
    assert load(str(SAMPLE), {}) == Config()


def test_the_sample_names_every_key_and_no_other():
    sample = yaml.safe_load(SAMPLE.read_text())
    assert {section: list(keys) for section, keys in sample.items()} == {
        section: list(keys) for section, keys in SCHEMA.items()
    }


def test_every_key_of_the_sample_has_a_comment_above_it():
    lines = SAMPLE.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"  \w+:", line)]
    assert [lines[number] for number in keys if not lines[number - 1].lstrip().startswith("#")] == []


def test_the_sample_fits_a_terminal():
    assert max(map(len, SAMPLE.read_text().splitlines())) <= 110


# --- where it comes from --------------------------------------------------------------------------


@pytest.mark.usefixtures("no_default")
def test_no_file_and_no_variable_are_the_defaults():
    config = load(None, {"DISCOVERYD_EVENT": "joined", "DISCOVERYD_CONFIG": "", "HOME": "/"})
    assert config == Config()
    assert config.source == "defaults"


def test_the_defaults_do_not_import_yaml(tmp_path):
    code = (
        "import sys, discoveryd.config as c\n"
        f"c.DEFAULT_PATH = {str(tmp_path / 'absent.yaml')!r}\n"
        "c.load(None, {}).record()\n"
        "print([name for name in sys.modules if name in ('yaml', 'difflib', 'pathlib', 'discoveryd.config.reader')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"


def test_the_path_given_goes_before_the_variable_before_the_default(tmp_path, monkeypatch):
    for name, port in (("given", 1), ("variable", 2), ("default", 3)):
        (tmp_path / name).write_text(f"hello: {{port: {port}}}")
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path / "default"))
    environ = {"DISCOVERYD_CONFIG": str(tmp_path / "variable")}
    found = [load(str(tmp_path / "given"), environ), load(None, environ), load(None, {})]
    assert [one.parameters.port for one in found] == [1, 2, 3]
    assert [Path(one.source).name for one in found] == ["given", "variable", "default"]


def test_a_file_asked_for_must_be_there(tmp_path):
    gone = str(tmp_path / "gone.yaml")
    assert problems(load, gone, {}) == [
        f"{gone}: No such file or directory; name another file, or none for the defaults"
    ]
    assert problems(load, None, {"DISCOVERYD_CONFIG": gone}) == [
        f"{gone}: No such file or directory; correct DISCOVERYD_CONFIG, or unset it for the defaults"
    ]


def test_a_directory_is_no_file(tmp_path, monkeypatch):
    assert problems(load, str(tmp_path), {}) == [
        f"{tmp_path}: Is a directory; name another file, or none for the defaults"
    ]
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path))
    assert problems(load, None, {}) == [f"{tmp_path}: Is a directory; correct or remove it, or name another file"]


def test_a_path_that_cannot_be_one():
    assert "null byte" in problems(load, "a\0b", {})[0]


def test_what_never_ends_is_refused():
    assert problems(load, "/dev/zero", {}) == ["/dev/zero: Not a regular file; name another file, or none for the defaults"]


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(discoveryd.config.source, "PATIENCE", 0.05)
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    assert problems(load, path, {}) == [
        f"{path}: Nothing more came in 0.05 s; name another file, or none for the defaults"
    ]


@pytest.fixture
def piped():
    """Give the path of a pipe that holds a text and has ended, as a shell makes it of ``<(...)``."""
    with ExitStack() as stack:

        def make(text):
            read, write = os.pipe()
            stack.callback(os.close, read)
            with open(write, "w") as file:
                file.write(text)
            return f"/dev/fd/{read}"

        yield make


def test_a_pipe_is_read_to_its_end(piped):
    found = load(piped("node:\n  name: piped\n"), {})
    assert (found.node.name, found.is_stream, found.directory) == ("piped", True, "/etc/discoveryd")
    path = piped("node:\n  nam: piped\n")
    assert problems(load, path, {}) == [f"{path}:2: unknown key node.nam; did you mean node.name?"]


def test_a_pipe_holds_no_more_than_a_file(piped):
    path = piped("#" * (64 * 1024 - 1) + "\n")  # as much as a pipe of Linux takes without a reader
    assert load(path, {}).is_stream
    read, write = os.pipe()

    def fill():
        for _ in range(2):
            os.write(write, b"#" * 40_000)
        os.close(write)

    writer = threading.Thread(target=fill)
    writer.start()
    assert "over 64 KiB is no configuration" in problems(load, f"/dev/fd/{read}", {})[0]
    os.close(read)
    writer.join()


def test_standard_input_is_a_configuration_too():
    words = [sys.executable, "-m", "discoveryd", "check", "--config", "-"]
    done = subprocess.run(words, input="node: {name: typed}\n", capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith('# from standard input\nnode:\n  name: "typed"\n')


def test_one_port_cannot_be_for_questions_and_metrics(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("query:\n  listen: 127.0.0.1:3411\nmetrics:\n  listen: 127.0.0.1:3411\n")
    assert problems(load, str(path), {}) == [
        f"{path}:4: metrics.listen: must be another port than query.listen (127.0.0.1:3411)"
    ]


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# nothing\n", "---\n", "~", "hello:\n", "hello: {}\nnode: ~\n", "\ufeffhello:\n", "node:\r\n  tags:\r\n",
     "hello:\n  interval:\n  interfaces:\n", "{}"],
)  # fmt: skip
def test_nothing_means_the_defaults(read, text):
    assert read(text) == Config()


def test_every_section_is_read(read):
    config = read(
        "node:\n"
        "  name: raven\n"
        "  id: r-1\n"
        "  tags: {rack: 7}\n"
        "  services:\n"
        "    - {name: http, port: 80}\n"
        "    - {name: dns, port: 53, proto: udp, tags: {zone: lan}}\n"
        "hello: {port: 3401, interval: 1s, bare_ttl: 1m, budget: 9, interfaces: ['*', '!eth1'], seeds: [10.0.0.1]}\n"
        "limits: {peers: 5, remember: 0s, query_idle: 1h}\n"
        "query: {listen: 127.0.0.2:1}\n"
        "security: {mode: require, keys: [a.key, /b.key], send_with: b.key}\n"
        "metrics: {listen: 0.0.0.0:9341}\n"
        "log: {level: debug, format: json}\n"
        "paths: {state: /s, runtime: /r}\n"
    )
    dns = Service(name="dns", port=53, proto="udp", tags={"zone": "lan"})
    assert config == Config(
        node=NodeSection(
            name="raven", id="r-1", tags={"rack": "7"}, services=(Service(name="http", port=80), dns)
        ),
        parameters=Parameters(
            port=3401, interval=1.0, ttl=5.0, bare_ttl=60.0, budget=9, interfaces=("*", "!eth1"),
            seeds=("10.0.0.1",), limits=Limits(peers=5, remember=0.0, query_idle=3600.0),
        ),
        query=QuerySection(listen="127.0.0.2:1"),
        security=SecuritySection(mode="require", keys=("a.key", "/b.key"), send_with="b.key"),
        metrics=MetricsSection(listen="0.0.0.0:9341"),
        log=LogSection(level="debug", format="json"),
        paths=PathsSection(state="/s", runtime="/r"),
    )  # fmt: skip
    assert config.source == "c.yaml"
    assert config.query.address == ("127.0.0.2", 1)
    assert config.metrics.address == ("0.0.0.0", 9341)


def test_a_text_stays_as_it_was_written(read):
    node = read("node: {name: on, id: 007, tags: {v: 1.10, t: 12:30, y: yes, n: null, q: 'null', e: ''}}").node
    assert (node.name, node.id) == ("on", "007")
    assert node.tags == {"v": "1.10", "t": "12:30", "y": "yes", "n": "", "q": "null", "e": ""}


@pytest.mark.parametrize(
    ("text", "ttl", "bare_ttl"),
    [("{interval: 2s}", 10.0, 4.0), ("{interval: 2s, ttl: 4s}", 4.0, 4.0), ("{interval: 70ms}", 0.35, 4.0)],
)
def test_a_ttl_not_set_is_five_intervals(read, text, ttl, bare_ttl):
    parameters = read(f"hello: {text}").parameters
    assert (parameters.ttl, parameters.bare_ttl) == (ttl, bare_ttl)


def test_the_query_socket_can_be_off(read):
    assert read("query: {listen: off}").query.address is None


def test_the_metrics_are_off_unless_asked_for(read):
    assert Config().metrics.address is None
    assert read("metrics: {listen: off}").metrics.address is None


def test_the_record_has_the_name_of_the_machine_unless_one_is_set(monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": "raven"}))
    assert Config().record() == Record(name="raven")
    assert Config(node=NodeSection(name="crow", tags={"a": "b"})).record() == Record(name="crow", tags={"a": "b"})
    assert 'name: ""  # raven\n' in Config().to_yaml()
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": ""}))
    assert Config().record().name == "localhost"


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [("800ms", 0.8, "800ms"), ("4s", 4.0, "4s"), ("1.5s", 1.5, "1.5s"), ("1m", 60.0, "1m"), ("1h", 3600.0, "1h"),
     ("90s", 90.0, "90s"), ("120s", 120.0, "2m"), ("0.5m", 30.0, "30s"), ("1000ms", 1.0, "1s"), ("0s", 0.0, "0s"),
     ("0.001ms", 0.000001, "0.001ms"), ("268.5ms", 0.2685, "268.5ms"), ("1.234s", 1.234, "1.234s"),
     ("1000001ms", 1000.001, "1000.001s"), ("8760h", 31_536_000.0, "8760h")],
)  # fmt: skip
def test_durations(text, seconds, written):
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == written


@pytest.mark.parametrize("text", ["4", "0", "1.5", "99999999999999999999"])
def test_a_bare_number_needs_a_unit(text):
    with pytest.raises(ValueError, match=re.escape(f"{text} needs a unit: {text}ms, {text}s, {text}m or {text}h")):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "s", "4 s", "-4s", "+4s", "4S", "4d", "1m30s", "1e3s", "inf", "٤s", ".5s", "4s\n"])
def test_what_is_no_duration(text):
    message = f"must be a duration such as 800ms, 4s, 1.5s, 1m or 1h, not {text!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["8761h", "999999999h", "525600.1m"])
def test_a_year_is_long_enough(text):
    with pytest.raises(ValueError, match=f"^must be at most 8760h, not {text}$"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=int(MAX_DURATION) * 1_000_000))
def test_a_duration_written_reads_back_as_the_same_number(microseconds):
    seconds = microseconds / 1_000_000
    assert parse_duration(format_duration(seconds)) == seconds


# --- the environment ------------------------------------------------------------------------------


def test_a_variable_goes_before_the_file(read):
    config = read(
        "hello: {port: 1, ttl: wrong}\nlog: {level: debug}\n",
        DISCOVERYD_HELLO__PORT="2",
        DISCOVERYD_HELLO__TTL="10s",
        DISCOVERYD_HELLO__INTERFACES='["eth*", "!eth1"]',
        DISCOVERYD_NODE__TAGS="{role: db}",
        DISCOVERYD_LOG__LEVEL="",
    )
    assert (config.parameters.port, config.parameters.ttl) == (2, 10.0)
    assert config.parameters.interfaces == ("eth*", "!eth1")
    assert config.node.tags == {"role": "db"}
    assert config.log.level == "info"  # set to nothing: the default


@pytest.mark.usefixtures("no_default", "parser")
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HELLO__INTERVL", "3s", "unknown key hello.intervl; did you mean hello.interval?"),
        ("HELO__INTERVAL", "3s", "unknown key helo.interval; did you mean hello.interval?"),
        ("NODE__TAGS__ROLE", "db", "unknown key node.tags__role; known here are name, id, tags, services"),
        ("X__Y", "", "unknown key x.y; known here are node, hello, limits, query, security, metrics, log, paths"),
        ("HELLO__TTL", "3", "hello.ttl: 3 needs a unit: 3ms, 3s, 3m or 3h"),
        ("HELLO__TTL", "1s", "hello.ttl: must be at least twice the interval (1.6s) and at most 1h, not 1s"),
        ("HELLO__PORT", "[3400]", "hello.port: must be a whole number, not a list"),
        ("HELLO__INTERFACES", "*", 'a value that begins with * or & must stand in quotes, such as "*"'),
        ("HELLO__INTERFACES", "eth0", "hello.interfaces: must be a list such as [\"eth0\"], not 'eth0'"),
        ("HELLO__SEEDS", "[", "a quote or bracket is opened and never closed"),
        ("NODE__NAME", "\udcff", "the character '\\udcff' is not allowed; remove it"),
        ("NODE__TAGS", "{a: 1, a: 2}", "node.tags.a: set twice; keep one"),
        ("NODE__TAGS", f"{{a: {'é' * 255}}}",
         ("node: name, tags and services take 1562 bytes, 862 more than the 700 that fit into a HELLO: "
          "shorten or remove some")),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(name, value, problem, monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": "raven"}))
    found = problems(load, None, {f"DISCOVERYD_{name}": value})
    assert found == [f"environment DISCOVERYD_{name}: {problem}"]


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
        ('"a\\nb\\e": 1\n', "1: unknown key 'a\\nb\\x1b'; known here are node, hello, limits, query, security, metrics, log, paths"),
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
        ("hello:\n  seeds:\n    - 10.0.0.1\n    - raven\n", "2: hello.seeds: 'raven' is not an IPv4 address"),
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
def test_what_is_refused_and_how(read, text, problem):
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
def test_a_duration_is_quoted_as_it_was_written(read, text, told):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [told]


def test_escapes_that_stop_the_parser_are_told_too(read):
    (problem,) = problems(read, 'a: "\\q"\n')
    assert re.fullmatch(r"c\.yaml:1:[56]: no escape that YAML knows; put the text in single quotes", problem)
    (problem,) = problems(read, 'a: "\\UFFFFFFFF"\n')
    assert re.fullmatch(r"c\.yaml:1(:7: no escape that YAML knows; .*|: cannot be read as YAML; check its escapes .*)", problem)


@pytest.mark.usefixtures("parser")
def test_no_word_of_the_library_is_in_a_message(read, monkeypatch):
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


def test_a_file_that_is_something_else_does_not_flood_the_terminal(read):
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
def test_any_bytes_give_a_configuration_or_faults_with_a_line_of_the_file(scratch, content, is_built_with_c):
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
def test_any_variable_gives_a_configuration_or_faults_that_name_it(value, key):
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
def test_what_is_written_loads_to_the_same(scratch, node, parameters):
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
