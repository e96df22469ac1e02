"""Configuration: where it comes from, and what is read."""

import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

import discoveryd.config
from discoveryd.config import (
    LISTS,
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
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import Record, Service
from tests.config.faults import problems

SAMPLE = Path(__file__).parents[2] / "config" / "discoveryd.yaml"


# --- the sample -----------------------------------------------------------------------------------


def test_the_sample_is_the_defaults():
    assert load(str(SAMPLE), {}) == Config()


def test_the_sample_names_every_key_and_no_other():
    sample = yaml.safe_load(SAMPLE.read_text())
    assert {section: list(keys) for section, keys in sample.items()} == {
        section: [] if section in LISTS else list(keys) for section, keys in SCHEMA.items()
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


def test_the_defaults_import_neither_yaml_nor_net(tmp_path):
    code = (
        "import sys, discoveryd.config as c\n"
        f"c.DEFAULT_PATH = {str(tmp_path / 'absent.yaml')!r}\n"
        "c.load(None, {}).node.record()\n"
        "unneeded = ('yaml', 'difflib', 'pathlib', 'discoveryd.config.reader', 'discoveryd.net', 'discoveryd.protocol.node')\n"
        "print([name for name in sys.modules if name in unneeded])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"


def test_a_given_path_comes_before_variable_and_default(tmp_path, monkeypatch):
    for name, port in (("given", 1), ("variable", 2), ("default", 3)):
        (tmp_path / name).write_text(f"hello: {{port: {port}}}")
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path / "default"))
    environ = {"DISCOVERYD_CONFIG": str(tmp_path / "variable")}
    found = [load(str(tmp_path / "given"), environ), load(None, environ), load(None, {})]
    assert [one.parameters.port for one in found] == [1, 2, 3]
    assert [Path(one.source).name for one in found] == ["given", "variable", "default"]


def test_a_file_that_is_named_must_exist(tmp_path):
    gone = str(tmp_path / "gone.yaml")
    assert problems(load, gone, {}) == [
        f"{gone}: No such file or directory; name another file, or none for the defaults"
    ]
    assert problems(load, None, {"DISCOVERYD_CONFIG": gone}) == [
        f"{gone}: No such file or directory; correct DISCOVERYD_CONFIG, or unset it for the defaults"
    ]


def test_a_directory_is_no_configuration(tmp_path, monkeypatch):
    assert problems(load, str(tmp_path), {}) == [
        f"{tmp_path}: Is a directory; name another file, or none for the defaults"
    ]
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path))
    assert problems(load, None, {}) == [f"{tmp_path}: Is a directory; correct or remove it, or name another file"]


def test_a_path_with_a_nul_is_refused():
    assert "embedded null" in problems(load, "a\0b", {})[0]


def test_a_device_is_no_configuration():
    assert problems(load, "/dev/zero", {}) == ["/dev/zero: Not a regular file; name another file, or none for the defaults"]


def test_an_idle_pipe_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(discoveryd.config, "PATIENCE", 0.05)
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


def test_a_configuration_from_a_pipe_is_read_whole(piped):
    found = load(piped("node:\n  name: piped\n"), {})
    assert (found.node.name, found.is_stream, found.directory) == ("piped", True, "/etc/discoveryd")
    path = piped("node:\n  nam: piped\n")
    assert problems(load, path, {}) == [f"{path}:2: unknown key node.nam; did you mean node.name?"]


def test_a_pipe_may_hold_no_more_than_a_file(piped):
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


def test_a_configuration_may_come_from_standard_input():
    words = [sys.executable, "-m", "discoveryd", "check", "--config", "-"]
    done = subprocess.run(words, input="node: {name: typed}\n", capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith('# from standard input\nnode:\n  name: "typed"\n')


def test_queries_and_metrics_need_different_ports(tmp_path):
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
def test_an_empty_configuration_means_the_defaults(read, text):
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
        "hello: {port: 3401, interval: 1s, bare_ttl: 1m, budget: 9, interfaces: ['*', '!eth1'], seeds: [10.0.0.1], last_will: off}\n"
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
            seeds=("10.0.0.1",), last_will=False, limits=Limits(peers=5, remember=0.0, query_idle=3600.0),
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


def test_values_that_yaml_would_convert_stay_text(read):
    node = read("node: {name: on, id: 007, tags: {v: 1.10, t: 12:30, y: yes, n: null, q: 'null', e: ''}}").node
    assert (node.name, node.id) == ("on", "007")
    assert node.tags == {"v": "1.10", "t": "12:30", "y": "yes", "n": "", "q": "null", "e": ""}


@pytest.mark.parametrize(
    ("text", "ttl", "bare_ttl"),
    [("{interval: 2s}", 10.0, 4.0), ("{interval: 2s, ttl: 4s}", 4.0, 4.0), ("{interval: 70ms}", 0.35, 4.0)],
)
def test_the_default_ttl_is_five_intervals(read, text, ttl, bare_ttl):
    parameters = read(f"hello: {text}").parameters
    assert (parameters.ttl, parameters.bare_ttl) == (ttl, bare_ttl)


def test_the_query_socket_can_be_switched_off(read):
    assert read("query: {listen: off}").query.address is None


def test_metrics_are_off_by_default(read):
    assert Config().metrics.address is None
    assert read("metrics: {listen: off}").metrics.address is None


def test_the_default_name_is_that_of_the_machine(monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": "raven"}))
    assert Config().node.record() == Record(name="raven")
    assert Config(node=NodeSection(name="crow", tags={"a": "b"})).node.record() == Record(name="crow", tags={"a": "b"})
    assert 'name: ""  # raven\n' in Config().to_yaml()
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": ""}))
    assert Config().node.record().name == "localhost"


# --- the environment ------------------------------------------------------------------------------


def test_a_variable_overrides_the_file(read):
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
        ("X__Y", "", "unknown key x.y; known here are node, hello, limits, query, security, messages, metrics, web, dns, history, grace, export, sites, log, paths"),
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
