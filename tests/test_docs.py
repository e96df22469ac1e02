"""What docs/ lists and shows, held against the program: a list that misses something of the code fails here."""

import ast
import configparser
import doctest
import importlib
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml

from discoveryd import ctl
from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.config import SCHEMA, load
from discoveryd.config.dropin import read_file
from discoveryd.errors import QueryError
from discoveryd.net.icmp import IcmpError
from discoveryd.net.interfaces import Unlinked
from discoveryd.net.sockets import free_port
from discoveryd.net.transport import Outside
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.parameters import MAX_ID, Parameters
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.table.peer import KINDS, STATES, peer_from_json, peer_json
from discoveryd.protocol.table.peer import PathView as PeerPath
from discoveryd.protocol.wire.record import MAX_RECORD
from discoveryd.query.request import parse_request
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.hook_queue import FindingEvent, SiteHookEvent
from discoveryd.runtime.hooks import Hooks
from discoveryd.runtime.network import Network
from discoveryd.runtime.status import filtered
from discoveryd.sites.drops import SITE_DROP_REASONS
from tests.ctl.played import Daemon, ask, event, peers_reply, refusal, snapshot
from tests.query.samples import STATUS, peer

ROOT = Path(__file__).parent.parent
PAGES = {page.name: page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
BLOCKS = [
    pytest.param(kind, text, id=f"{name}-{number}")
    for name, page in sorted(PAGES.items())
    for number, (kind, text) in enumerate(re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
]
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "discoveryd").rglob("*.py")}


def section(page, title):
    """Give the text under a title, up to the next one."""
    return re.split(r"^## ", PAGES[page].partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def words(text):
    return re.findall(r"`([^`]+)`", text)


def rows(text):
    """Give the first and the last cell of each row of a table."""
    found = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    return [(cells[0], cells[-1]) for cells in found]


def calls(*names):
    """Give each call of one of these functions or methods in the program."""
    for tree in SOURCES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in names:
                    yield node


def texts(call):
    return [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]


# --- lists ------------------------------------------------------------------------------------------


def test_each_reason_counted_is_a_known_one():
    """A word that is counted, but that nobody can look up, helps nobody."""
    counted = {text for call in calls("WireError", "drop", "_drop") for text in texts(call)[:1]}
    assert {"malformed", "rate"} <= counted
    assert {text for text in counted if re.fullmatch(r"[a-z]+(-[a-z]+)*", text)} <= {*DROP_REASONS, *SITE_DROP_REASONS}


def keys_of(value):
    """Give every key of a JSON value, those within it too."""
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in keys_of(one)}
    return {key for one in value for key in keys_of(one)} if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def status():
    """Give what a daemon says of itself that has a key, a link, and heard nonsense."""
    key = Key(b"k" * 32)
    parameters = Parameters(loopback="127.0.0.2", port=free_port("127.0.0.2", "udp"), seeds=("127.0.0.3",))
    keyring = Keyring(keys=(key,), send_with=key.id, mode="accept")
    here = Link("eth0", 2, "10.0.0.130", 25, "10.0.0.255")
    with Discovery(parameters, keyring=keyring) as discovery, pytest.MonkeyPatch.context() as patch:
        discovery.look(lambda node, now: node.receive(b"nonsense", Source("127.0.0.3", None), now))
        patch.setattr(Network, "outside", lambda _: {("10.0.0.1", 2): Outside(here, 0.0, is_near=True)})
        patch.setattr(Network, "unlinked", [Unlinked("wg0", "10.9.0.1", 32, "no-broadcast")])
        patch.setattr(Network, "send_errors", lambda _: {("lo", "127.0.0.77"): "ENETDOWN: Network is down"})
        patch.setattr(Network, "icmp_errors", lambda _: [(IcmpError("127.0.0.3", "127.0.0.3", 3, 3), 1, 0.5)])
        status = discovery.status()
        # an interface where a filter is in force
        return status | {"rp_filter": {**filtered((), 0), "links": [{"link": "eth0", "mode": 1}]}}


def test_status_keys_within(status):
    for cell, meaning in rows(section("query.md", "The status")):
        (*_, name) = words(cell)
        shape = re.match(r"`?\[?\{.*\}", meaning) and re.findall(r"`([^`]*\{[^`]*)`", meaning)
        if shape and name in status:
            assert {key for one in shape for key in re.findall(r'"(\w+)"', one)} == keys_of(status[name]), name


def test_hook_counters(tmp_path):
    told = {key for cell, _ in rows(section("hooks.md", "Counters")) for key in words(cell)}
    hooks = Hooks(str(tmp_path), notify=None)
    assert told == set(hooks.counts())


def test_hook_variables():
    given = {
        one.value
        for path, tree in SOURCES.items()
        if path.name.startswith("hook_")
        for one in ast.walk(tree)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.startswith("DISCOVERYD_")
    }
    assert {word for cell, _ in rows(section("hooks.md", "What a hook is told")) for word in words(cell)} == given


def test_event_kinds():
    assert re.search(r"^Events: (.*?)\.", section("query.md", "A watch"), re.MULTILINE)[1] == listed(KINDS)
    assert f"by `kind`: {listed(KINDS)} |" in PAGES["metrics.md"]
    assert f"| {listed(KINDS)}; `isolated`, `connected`; {listed(get_args(FindingEvent))}; {listed(get_args(SiteHookEvent))} |" in PAGES["hooks.md"]


def listed(words):
    return ", ".join(f"`{word}`" for word in words)


def test_states():
    assert f"| `state` | {listed(STATES)} |" in section("query.md", "A peer")


def test_requests():
    with pytest.raises(QueryError) as caught:
        parse_request(b"nonsense")
    known = caught.value.message.partition("known: ")[2].split(", ")
    table = PAGES["query.md"].partition("## A peer")[0]
    told = [json.loads(words(cell)[0]) for cell, _ in rows(table) if cell.startswith("`{")]
    assert sorted(request["op"] for request in told) == sorted(known)
    for request in told:
        assert parse_request(json.dumps(request).encode()).op == request["op"]


def test_keys_of_a_path():
    assert f'"paths":[{{{",".join(json.dumps(key) for key in PeerPath.__slots__)}}}]' in PAGES["query.md"]


def test_error_codes():
    """The first text that could be one, of each call that makes an error of the query protocol."""
    made = {text for call in calls("QueryError", "error_line", "_refuse", "_dismiss") for text in texts(call)[:1]}
    made |= {"unreachable", "lagged"}  # errors.py gives them to its own classes
    page = PAGES["query.md"].partition("\nA refusal is ")[2].partition("\n\n")[0]
    told = {word for word in words(page) if re.fullmatch("[a-z_]+", word)}
    assert {code for code in made if re.fullmatch("[a-z_]+", code)} == told - {"problems", "discoveryctl"}


def test_configuration_keys(status):
    """What a page calls ``section.key`` can be set, or is in the status."""
    for name, page in PAGES.items():
        for word in words(page):
            found = re.fullmatch(rf"({'|'.join(SCHEMA)})\.([a-z_]+)", word)
            if found and word not in ("messages.d", "history.db"):  # a directory, and a file
                assert found[2] in {*SCHEMA[found[1]], *status.get(found[1], ())}, (name, word)


def test_exit_codes():
    told = re.search(r"Exit codes: (.*?)\.", PAGES["README.md"], re.DOTALL)[1]
    assert re.findall(r"\b\d\b", told) == [str(code) for code, _ in ctl_commands.PROGRAM.exit_codes if code < 10]
    assert tuple(code for code, _ in ctl_commands.PROGRAM.exit_codes) == (ctl.FINE, ctl.NOTHING, ctl.USAGE, ctl.NO_DAEMON, ctl.INTERRUPTED)
    assert [code for code, _ in daemon_commands.PROGRAM.exit_codes] == [0, 1, 2, 3]


def test_sizes_of_a_hello():
    """The longest there can be is counted here, field by field."""
    steady = len("HELLO|2|") + 16 + MAX_ID + 16 + 6 + 7 + 16 + 10 + 7
    full = steady + len("|sg||") + MAX_RECORD
    spec = ast.get_docstring(SOURCES[ROOT / "discoveryd/protocol/__init__.py"])
    assert f"at most {steady} bytes. The **full** one has it: at most {full} bytes" in spec
    (shown,) = [line for line in PAGES["protocol.md"].splitlines() if line.startswith("HELLO|")]
    usual = round(len(shown), -1)
    assert f"a HELLO of about {usual} bytes" in spec


# --- examples ---------------------------------------------------------------------------------------


def test_every_kind_of_block_is_looked_at():
    assert {block.values[0] for block in BLOCKS} <= {"", "sh", "python", "yaml", "ini", "json"}


@pytest.mark.parametrize(("kind", "text"), [block for block in BLOCKS if block.values[0] == "python"])
def test_python_can_be_read(kind, text):
    compile(text, kind, "exec")


@pytest.mark.parametrize(("kind", "text"), [block for block in BLOCKS if block.values[0] == "yaml"])
def test_yaml_can_be_read(kind, text, tmp_path):
    """A configuration, or a file of ``services.d``, as the daemon reads it; else as YAML (for Prometheus)."""
    found = yaml.safe_load(text)
    file = tmp_path / "example.yaml"
    file.write_text(text)
    if found.keys() <= SCHEMA.keys():
        load(str(file), {})
    elif "port" in found:
        read_file(str(file))
    else:
        assert found.keys() <= {"scrape_configs", "groups"}


@pytest.mark.parametrize(("kind", "text"), [block for block in BLOCKS if block.values[0] == "ini"])
def test_units_can_be_read(kind, text):
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser.sections()


@pytest.mark.parametrize(("kind", "text"), [block for block in BLOCKS if block.values[0] == "sh"])
def test_shell_can_be_read(kind, text):
    shell = shutil.which("bash") or shutil.which("sh")
    done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_lines_of_json_are_json(kind, text):
    """Where a page leaves something out it says PEER, or dots that end a list."""
    for line in text.splitlines():
        if line.startswith("{"):
            json.loads(line.replace("PEER", "{}").replace(", ...]", "]"))


def test_a_hook_can_be_tried_as_the_page_says():
    """The line of the page is an event, and its hook in Python does with it what it is written to do."""
    (line,) = re.findall(r"^\{.*\}$", section("hooks.md", "Counters"), re.MULTILINE)
    event = json.loads(line)
    assert set(event["peer"]) == set(peer_json(peer_from_json(event["peer"])))
    (hook,) = re.findall(r"^```python\n(.*?)^```", PAGES["hooks.md"], re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", hook], input=line, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == f"db1: {event['reason']}\n"


def test_paths_of_commands():
    """Before anything was installed there is no ``discoveryctl`` on PATH: README says where it is."""
    start = PAGES["README.md"].partition("## As a service")[0]
    for _, block in re.findall(r"^```(sh)\n(.*?)^```", start, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            assert not line.startswith(("discoveryd ", "discoveryctl ")), line


def test_modules_named_in_the_pages_are_there():
    found = {module for page in PAGES.values() for module in re.findall(r"-m pydoc ([\w.]+)", page)}
    assert found
    for module in found:
        importlib.import_module(module)


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if ">>> " in path.read_text(encoding="utf-8")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_examples_of_docstrings_can_be_pasted(path):
    """They bring all the names they use: a reader of pydoc has nothing else."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs={}):
        runner.run(example)
    found = runner.summarize()
    assert found.attempted > 0
    assert found.failed == 0


# --- what a client must accept (docs/query.md) ---------------------------------------------------------


ODD = {"state": "resting", "mood": {"of": "a later version"}}


def test_a_mirror_accepts_unknown_states_events_and_keys():
    lines = [
        *snapshot(peer(mood="new"), peer(id="o", name="odd", boot="o", kind="relay", **ODD)),
        {"event": "weather", "seq": 8, "sky": "clear"},
        {"mood": "no event at all"},
        event("promoted", 9, name="beta", id="b", boot="b", mood=1) | {"urgency": 3},
        event("rested", 10, **ODD),
        event("joined", 11, name="last", id="l", boot="l"),
    ]
    with Daemon([lines]) as daemon:
        host, _, port = daemon.address.rpartition(":")
        with Client((host, int(port))) as client, client.subscribe() as events:
            found = client.wait_for(lambda peers: "last" in {one.name for one in peers}, 10)
            told = [events.get(10) for _ in range(4)]
    assert [one.name for one in found] == ["beta", "last"]
    assert [(one.kind, one.peer.state) for one in told] == [
        ("joined", "up"), ("promoted", "up"), ("rested", "resting"), ("joined", "up"),
    ]  # fmt: skip


@pytest.mark.parametrize("words", ["list", "list --wide", "show odd"])
def test_list_and_show_accept_what_they_do_not_know(capsys, words):
    with Daemon([[peers_reply(peer(name="odd", kind="relay", **ODD)) | {"mood": 1}]]) as daemon:
        code, out, err = ask(capsys, daemon, *words.split())
    assert (code, err) == (0, "")
    assert re.search(r"\bodd\b.*\bresting\b", out)


def test_watch_accepts_what_it_does_not_know(capsys):
    lines = [*snapshot(), {"event": "weather", "seq": 8}, {"mood": 1}, event("promoted", 9, **ODD), refusal("bad_request", "end")]
    with Daemon([lines]) as daemon:
        code, out, err = ask(capsys, daemon, "watch")
    assert (code, err) == (2, "discoveryctl: end\n")
    assert re.search(r"promoted +alpha  10.0.0.2 eth0  first HELLO on eth0$", out)


def test_wait_accepts_what_it_does_not_know(capsys):
    lines = [*snapshot(peer(**ODD)), {"mood": 1}, event("promoted", 8, name="beta", id="b", boot="b", mood=1)]
    with Daemon([lines]) as daemon:
        code, out, err = ask(capsys, daemon, "wait", "--count", "1", "--timeout", "10s")
    assert (code, err) == (0, "")
    assert "beta" in out
    assert "alpha" not in out


def test_status_accepts_what_it_does_not_know(capsys):
    more = {
        "weather": "clear", "peers": {"up": 1, "resting": 2}, "sent": {"hello": 1, "WHY": 2},
        "drops": [{"reason": "too-late", "link": "eth0", "count": 3, "mood": 1}],
    }  # fmt: skip
    with Daemon([[STATUS | more]]) as daemon:
        code, out, err = ask(capsys, daemon, "status")
    assert (code, err) == (0, "")
    assert "2 resting" in out
    assert re.search(r"too-late +eth0 +3", out)


# --- claims of docs/security.md -------------------------------------------------------------------------------

WITHOUT_A_TEST = {"Who attacks", "What a stranger can still do", "What it does not protect from", "What drops mean"}
"""Parts of the page that list no claims: who attacks and what nobody is protected from, the table of both, the glossary."""
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CLAIMS = [
    pytest.param(claim, id=" ".join(claim.split()[1:9]))
    for part in re.split(r"^## ", PAGES["security.md"], flags=re.MULTILINE)[1:]
    if part.partition("\n")[0] not in WITHOUT_A_TEST
    for claim in re.findall(r"^- .*(?:\n  .*)*", part, re.MULTILINE)
]


@cache
def functions_of(path):
    """Return the names of the test functions of a file, without importing it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_claim_about_security_names_a_test(claim):
    assert NAMED_TEST.search(claim)


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED_TEST.findall(PAGES["security.md"]))))
def test_a_test_that_security_names_is_there(path, name):
    assert name in functions_of(path)
