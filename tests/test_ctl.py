"""discoveryctl against a daemon that is played: what it asks, what it shows, how it ends."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from discoveryd.ctl import arguments, describe, follow, main, tables
from discoveryd.ctl.commands import COLUMNS, COMMANDS, EVERYWHERE, METAVARS
from discoveryd.ctl.tables import Screen, printable_json
from discoveryd.errors import QueryError
from discoveryd.protocol import DROP_REASONS

ROOT = Path(__file__).resolve().parents[1]
GREETING = {"discoveryd": "0.1.0", "protocol": 1, "schema": 1, "node": {"id": "n1", "name": "one", "boot": "b1"}}


def peer(**changed):
    return {
        "id": "9f3a", "name": "alpha", "state": "up", "kind": "node", "address": "10.0.0.2",
        "addresses": ["10.0.0.2"], "link": "eth0", "boot": "ab12cd34",
        "services": [{"name": "http", "port": 80, "proto": "tcp", "tags": {"path": "/"}}],
        "tags": {"role": "gpu"}, "first_seen_s": 720.0, "last_heard_s": 0.4, "expires_s": 3.6,
        "interval_s": 0.8, "ttl_s": 4.0, "rtt_ms": None, "loss": None, "two_way": None,
        "restarts": 0, "clone": False, "key": None,
    } | changed  # fmt: skip


BARE = peer(
    id="10.0.0.9", name=None, kind="bare", address="10.0.0.9", boot="", services=[], tags={}, interval_s=None
)
PATHS = [
    {"address": "10.0.0.2", "link": "eth0", "last_heard_s": 0.4, "expires_s": 3.6},
    {"address": "10.1.0.2", "link": "wlan0", "last_heard_s": 1.2, "expires_s": 2.8},
]
LINK = {
    "name": "eth0", "address": "10.0.0.1", "prefix": 24, "broadcast": "10.0.0.255", "up_s": 61.0,
    "sent": 10, "received": 7, "last_heard_s": 0.4, "last_error": None,
}  # fmt: skip
STATUS = {
    "ok": True, "schema": 1, "version": "0.1.0", "uptime_s": 61.2, "isolated": False, "links": [LINK],
    "node": {"id": "n1", "name": "one", "boot": "b1", "realm": "default", "tags": {}, "services": []},
    "hello": {"port": 3400, "interval_s": 0.8, "ttl_s": 4.0},
    "peers": {"up": 2, "suspect": 0, "down": 0, "left": 1}, "table": {"rows": 3, "limit": 4096},
    "sent": {"hello": 10, "ping": 0, "pong": 0}, "received": {"hello": 7, "bare": 0, "ping": 0, "pong": 0},
    "drops": [], "query": {"connections": 1, "limit": 64, "watchers": 0, "refused": 0},
}  # fmt: skip


METRICS = {
    "ok": True, "schema": 1, "content_type": "text/plain", "text": "# TYPE a gauge\na 1.0\n",
    "metrics": [{"name": "a", "labels": {}, "value": 1.0}],
}  # fmt: skip


def peers_reply(*peers):
    return {"ok": True, "schema": 1, "peers": list(peers)}


def refusal(code, message):
    return {"ok": False, "error": {"code": code, "message": message}}


def snapshot(*peers):
    return [{"event": "snapshot", "schema": 1, "peers": list(peers)}, {"event": "sync", "seq": 7}]


def event(kind, seq=8, reason="first HELLO on eth0", **changed):
    return {"event": kind, "seq": seq, "peer": peer(**changed), "reason": reason}


STOPPING = refusal("stopping", "the daemon is stopping")


class Daemon:
    """Plays a daemon: each connection is greeted, and each request answered with the next of the answers.

    An answer is a list of lines. After one that ends in a refusal with code ``stopping`` the connection
    is closed, as a daemon does.
    """

    def __init__(self, answers):
        self.requests = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connection = None
        self._thread = threading.Thread(target=self._serve)
        self._ended = False

    @property
    def address(self):
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self):
        while not self._ended:
            connection, _ = self._listener.accept()
            self._connection = connection
            # the client may have gone, which a flush at the end tells too
            with suppress(ConnectionError), connection, connection.makefile("rwb") as lines:
                self._talk(lines)

    def _talk(self, lines):
        self._send(lines, GREETING)
        while request := lines.readline():
            self.requests.append(json.loads(request))
            answer = self._answers.pop(0)
            for one in answer:
                self._send(lines, one)
            if answer[-1] is STOPPING:
                return

    def _send(self, lines, value):
        lines.write((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n")
        lines.flush()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended = True
        with socket.create_connection(self._listener.getsockname()):
            pass  # wakes accept
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive()


def ask(capsys, daemon, *words):
    code = main([*words, "--address", daemon.address])
    found = capsys.readouterr()
    return code, found.out, found.err


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "TERM")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def command(*words):
    return [sys.executable, "-m", "discoveryd.ctl", *words]


def spawn(*words, **more):
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=20, check=False, env=environment(**more)
    )


# --- what is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("list", {"op": "list"}),
        ("list --all", {"op": "list", "all": True}),
        ("list --state up --state down", {"op": "list", "state": ["up", "down"]}),
        ("list --name web-*", {"op": "list", "name": "web-*"}),
        ("--tag role=gpu list --tag rack=a=b", {"op": "list", "tags": {"role": "gpu", "rack": "a=b"}}),
        ("list --tag role=", {"op": "list", "tags": {"role": ""}}),
        ("list --service http --link eth0", {"op": "list", "service": "http", "link": "eth0"}),
        ("show alpha", {"op": "show", "peer": "alpha"}),
        ("show -- -odd", {"op": "show", "peer": "-odd"}),
        ("ping alpha", {"op": "ping", "peer": "alpha", "count": 1, "timeout_s": 1.0}),
        (
            "ping alpha --count 3 --timeout 500ms",
            {"op": "ping", "peer": "alpha", "count": 3, "timeout_s": 0.5},
        ),
        ("status", {"op": "status"}),
        ("metrics", {"op": "metrics"}),
    ],
)
def test_options_reach_the_wire(capsys, words, request_):
    before, dashes, after = words.partition(" -- ")
    with Daemon([[refusal("not_found", "nobody")]]) as daemon:
        last = [dashes.strip(), after] if dashes else []
        assert main(["--address", daemon.address, *before.split(), *last]) == 1
    assert daemon.requests == [request_]


def test_watch_sends_its_filters_and_wait_applies_them_itself(capsys):
    with Daemon([[refusal("bad_argument", "no")], snapshot(peer())]) as daemon:
        assert ask(capsys, daemon, "watch", "--name", "a*", "--state", "up")[0] == 2
        assert ask(capsys, daemon, "wait", "--count", "1", "--tag", "role=gpu")[0] == 0
    assert daemon.requests == [{"op": "watch", "name": "a*", "state": ["up"]}, {"op": "watch", "all": True}]


def test_the_address_comes_from_the_option_then_the_environment(capsys, monkeypatch):
    with Daemon([[peers_reply(peer())]] * 2) as daemon:
        monkeypatch.setenv("DISCOVERYCTL_ADDRESS", daemon.address)
        assert main(["list"]) == 0
        monkeypatch.setenv("DISCOVERYCTL_ADDRESS", "127.0.0.1:1")
        assert main(["list", "--address", daemon.address]) == 0
    assert arguments.parse(["list"], {}).address == ("127.0.0.1", 3400)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:99", ("10.0.0.1", 99)), ("node7", ("node7", 3400)), ("[::1]:99", ("::1", 99)),
        ("[::1]", ("::1", 3400)), ("::1", ("::1", 3400)), ("3401", ("127.0.0.1", 3401)),
        (":3401", ("127.0.0.1", 3401)),
    ],
)  # fmt: skip
def test_addresses(text, address):
    assert arguments.parse(["list", "--address", text], {}).address == address


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("2", 2), ("0.5", 0.5), ("500ms", 0.5), ("4s", 4), ("1m", 60), ("1h", 3600)]
)
def test_durations(text, seconds):
    assert arguments.parse(["wait", "--count", "1", "--timeout", text], {}).timeout == seconds


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "which command? One of list, show, status, metrics, watch, ping, wait, reload, register"),
        (["lst"], "no command 'lst'"),
        (["list", "alpha"], "list does not take 'alpha'"),
        (["list", "--frob"], "--frob"),
        (["list", "--count", "1"], "list does not take --count (it takes --address, --all,"),
        (["show", "--all", "x"], "show does not take --all"),
        (["show"], "show which peer?"),
        (["ping", ""], "ping which peer?"),
        (["show", "a", "b"], "show does not take 'b'"),
        (["wait"], "Give --count N"),
        (["wait", "--count", "0"], "--count must be a number from 1, not '0'"),
        (["wait", "--count", "1", "--timeout", "soon"], "--timeout must be seconds, or such as 500ms"),
        (["wait", "--count", "1", "--timeout", "nan"], "--timeout must be"),
        (["wait", "--count", "1", "--timeout", "-1s"], "--timeout must be"),
        (["wait", "--count", "1", "--timeout", "5sm"], "--timeout must be"),
        (["wait", "--count", "1", "--timeout", ""], "--timeout must be"),
        (["ping", "x", "--timeout", "0"], "must be more than 0"),
        (["list", "--state", "gone"], "--state must be one of up, suspect, down, left, not 'gone'"),
        (["list", "--only", "colour"], "--only must be one of name, id, address, link, service, tag, not 'colour'"),
        (["list", "--only", "name", "--json"], "--only is one value per line: leave out --json"),
        (["list", "--wide", "--only", "name"], "leave out --wide"),
        (["list", "--tag", "role"], "--tag must be KEY=VALUE"),
        (["list", "--tag", "a=1", "--tag", "a=2"], "given twice"),
        (["list", "--name", ""], "--name must not be empty"),
        (["register"], "register which service? Give its name"),
        (["register", "--port", "1", "--", "web"], "register which service? Give its name"),
        (["register", "web"], "Give --port P"),
        (["register", "web", "--port", "80", "--"], "nothing follows --: name the command to run"),
        (["register", "web", "--port", "65536"], "--port must be 0 to 65535, not '65536'"),
        (["register", "web", "--port", "http"], "--port must be 0 to 65535, not 'http'"),
        (["register", "web", "--port", "1", "--proto", "sctp"], "--proto must be tcp or udp, not 'sctp'"),
        (["register", "web", "--port", "1", "sleep", "9"], "register does not take 'sleep' (a command to run comes after --)"),
        (["register", "web", "--port", "1", "--count", "1"], "register does not take --count"),
        (["reload", "now"], "reload does not take 'now'"),
        (["reload", "--token-file", ""], "--token-file must not be empty"),
        (["list", "--address", "x:y"], "--address must be HOST:PORT such as 127.0.0.1:3400, not 'x:y'"),
        (["list", "--address", ":99999"], "--address must be HOST:PORT"),
        (["list", "--address", ""], "--address must be HOST:PORT"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(capsys, words, told):
    assert main(words) == 2
    found = capsys.readouterr()
    assert told in found.err
    assert "--help" in found.err
    assert found.out == ""


def test_what_to_register_and_run():
    found = arguments.parse(["register", "web", "--port=80", "--tag", "a=b", "--", "cmd", "--port", "9", "--", "x"], {})
    assert (found.offer, found.port, found.proto, found.tags) == ("web", 80, "tcp", {"a": "b"})
    assert found.run == ["cmd", "--port", "9", "--", "x"]
    assert arguments.parse(["register", "web", "--port", "0", "--proto", "udp"], {}).run == []


def test_the_token_file_comes_from_the_option_then_the_environment():
    environ = {"DISCOVERYCTL_TOKEN_FILE": "/a"}
    assert arguments.parse(["reload", "--token-file", "/b"], environ).token_file == "/b"
    assert arguments.parse(["reload"], environ).token_file == "/a"
    assert arguments.parse(["reload"], {}).token_file is None


def test_a_wrong_variable_is_named(capsys, monkeypatch):
    monkeypatch.setenv("DISCOVERYCTL_ADDRESS", "what:ever")
    assert main(["list"]) == 2
    assert "DISCOVERYCTL_ADDRESS must be HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["-h"], *[[one, "--help"] for one in arguments.COMMANDS]])
def test_help_documents_the_exit_codes_and_every_option(capsys, words):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "exit codes:\n  0 " in text
    assert max(map(len, text.splitlines())) <= 100
    options = arguments.COMMANDS[words[0]].options if words[0] in arguments.COMMANDS else EVERYWHERE
    for option in options:
        assert f"--{option}" in text


def test_help_of_a_command_is_made_of_the_table(capsys):
    assert main(["wait", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: discoveryctl wait --count N [FILTERS] [--timeout S] [--only COLUMN] [--json]"
    assert "  --count N          how many" in lines
    assert "  --service SERVICE  that offer this service" in lines


def test_the_table_is_whole():
    used = {name for one in COMMANDS.values() for name in one.options} | set(EVERYWHERE)
    assert used == set(METAVARS)
    for command in COMMANDS.values():
        assert set(command.needs) <= set(command.options)
        assert command.brief
        assert command.text.endswith(".")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"discoveryctl \d+\.\d+\.\S+\n", capsys.readouterr().out)


# --- what is shown ----------------------------------------------------------------------------------


def test_list(capsys):
    with Daemon([[peers_reply(BARE, peer())]]) as daemon:
        code, out, err = ask(capsys, daemon, "list")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "NAME    STATE  ADDRESS   LINK  SERVICES  TAGS      HEARD",
        "(bare)  up     10.0.0.9  eth0  -         -         0.4s",
        "alpha   up     10.0.0.2  eth0  http:80   role=gpu  0.4s",
    ]


@pytest.mark.parametrize(
    ("column", "lines"),
    [
        ("name", ["10.0.0.9", "alpha", r"be\u200bta"]),  # what has no name goes by its id
        ("id", ["10.0.0.9", "77", "9f3a"]),
        ("address", ["10.0.0.2", "10.0.0.9"]),  # each once
        ("link", ["eth0"]),
        ("service", ["http"]),
        ("tag", ["role=gpu"]),
    ],
)
def test_list_only_one_column(capsys, column, lines):
    with Daemon([[peers_reply(BARE, peer(), peer(name="be\u200bta", id="77"))]]) as daemon:
        assert ask(capsys, daemon, "list", "--only", column) == (0, "".join(f"{line}\n" for line in lines), "")


def test_only_knows_all_its_columns():
    for column in COLUMNS:
        assert tables.column([peer(), BARE], column)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no peers up (--all shows those gone)"),
        (["--all"], "no peer was heard yet (see 'discoveryctl status')"),
        (["--all", "--name", "x"], "no peer matches"),
        (["--name", "x"], "no peers up match (--all shows those gone)"),
        (["--state", "down"], "no peers down"),
    ],
)
def test_an_empty_list_says_so_and_exits_1(capsys, words, told):
    with Daemon([[peers_reply()]]) as daemon:
        assert ask(capsys, daemon, "list", *words) == (1, "", told + "\n")


def test_clones_can_be_told_apart(capsys):
    clones = [peer(clone=True), peer(clone=True, address="10.0.0.3", boot="ff00ff00")]
    with Daemon([[peers_reply(*clones)]]) as daemon:
        out = ask(capsys, daemon, "list")[1]
    assert re.search(r"up\(clone\) +10\.0\.0\.2 .* 9f3a  ab12cd34\n", out)
    assert re.search(r"up\(clone\) +10\.0\.0\.3 .* 9f3a  ff00ff00\n", out)


def test_peers_that_share_an_address_are_marked(capsys):
    both = [peer(shares_address=True), peer(id="b", name="b", shares_address=True, clone=True), peer(id="c", name="c")]
    with Daemon([[peers_reply(*both)]]) as daemon:
        out = ask(capsys, daemon, "list")[1]
    assert re.findall(r"^(\w+) +(\S+) +10\.0\.0\.2", out, re.MULTILINE) == [
        ("alpha", "up(shared)"), ("b", "up(clone,shared)"), ("c", "up"),
    ]  # fmt: skip


def test_id_and_boot_are_shown_when_asked_for_or_names_are_ambiguous():
    assert "ab12cd34" not in tables.peers_table([peer()], Screen())
    assert "9f3a  ab12cd34" in tables.peers_table([peer()], Screen(), wide=True)
    assert "7777" in tables.peers_table([peer(), peer(id="7777", address="10.0.0.7")], Screen())
    assert "ID" not in tables.peers_table([BARE, BARE | {"address": "10.0.0.8"}], Screen())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_fits_the_terminal_and_shortens_the_longest_first(width):
    rows = [
        peer(name="n" * 60, tags={"description": "t" * 100}),
        peer(name="\u540d\u524d" * 12, state="suspect", address="192.168.100.200"),
    ]
    lines = tables.peers_table(rows, Screen(width)).splitlines()
    assert max(map(tables.width_of, lines)) <= width
    if width >= 80:
        assert "192.168.100.200" in lines[2]
        assert "suspect" in lines[2]
        assert "\u2026" in lines[1]
    unlimited = tables.peers_table(rows, Screen())
    assert "n" * 60 in unlimited
    assert "\u2026" not in unlimited


FLEET = [
    peer(id=name[-2:], name=name, address=f"192.168.100.{200 + number}", tags={"about": "t" * 100}, boot=name[-2:])
    for number, name in enumerate(["web-frontend-with-a-long-name-01", "web-frontend-with-a-long-name-02"])
] + [peer(name="db", state="suspect")]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_list_keeps_name_state_and_address(width):
    lines = tables.peers_table(FLEET, Screen(width)).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:3] == ["NAME", "STATE", "ADDRESS"]
    assert [line.split()[1:3] for line in lines[1:]] == [
        ["suspect", "10.0.0.2"], ["up", "192.168.100.200"], ["up", "192.168.100.201"],
    ]  # fmt: skip
    names = [line.split()[0] for line in lines[1:]]
    assert [name[-2:] for name in names] == ["db", "01", "02"]
    assert ("\u2026" in names[1]) == (width == 40)
    assert [name.startswith("web-") for name in names] == [False, True, True]


def test_one_row_does_not_pad_the_others_of_a_piped_list():
    short, *_ = tables.peers_table([peer(name="a"), peer(name="b", tags={"about": "t" * 220})], Screen()).splitlines()[1:]
    assert short == "a     up     10.0.0.2  eth0  http:80   role=gpu  0.4s"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_status_and_show_break_lines_instead_of_cutting(width):
    link = LINK | {"name": "enp0s31f6", "last_error": "Network is unreachable (ENETUNREACH)"}
    drops = [{"reason": reason, "link": "eth0", "count": 3} for reason in DROP_REASONS]
    status = STATUS | {"links": [LINK, link], "drops": drops, "isolated": True, "clones": ["n1"]}
    for narrow, wide in (
        (describe.status_text(status, Screen(width)), describe.status_text(status, Screen())),
        (describe.peer_text(peer(paths=PATHS, state="down"), Screen(width)), describe.peer_text(peer(paths=PATHS, state="down"), Screen())),
    ):
        assert max(map(len, narrow.splitlines())) <= width
        for sentence in re.findall(r"^! .*|^alpha is .*|Not a HELLO.*", wide, re.MULTILINE):
            assert " ".join(sentence.split()) in " ".join(narrow.split())
    assert re.search(r"^LINK +ADDRESS +.*HEARD", narrow := describe.status_text(status, Screen(width)), re.MULTILINE)
    assert "enp0s31f6  10.0.0.1/24" in narrow


def test_status_says_that_a_new_boot_was_drawn_and_why():
    text = " ".join(describe.status_text(STATUS | {"new_boots": {"count": 1, "address": "10.0.0.9"}}, Screen()).split())
    assert "10.0.0.9 ran under the same boot, and this node drew a new one: the machine was cloned with its memory" in text
    assert "ran under the same boot" not in describe.status_text(STATUS, Screen())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_event_of_a_watch_fits_and_says_it_all(width):
    changed = event("down", 8, "not heard for its ttl of 4 s", name="web-frontend-with-a-long-name-01", state="down")
    text = follow._event_text(changed, Screen(width, colour=True))
    lines = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert max(map(len, lines)) <= width
    assert re.match(r"\d\d:\d\d:\d\d - down( |$)", lines[0])
    assert "10.0.0.2 eth0 not heard for its ttl of 4 s" in " ".join(" ".join(lines).split())
    assert re.search(r"web-\S+-01\b", text)


@pytest.mark.parametrize("width", [1, 2, 5, 11, 20])
def test_no_screen_is_too_narrow_to_end(width):
    wide = "\u540d\u524d e\u0301" * 9
    status = STATUS | {"drops": [{"reason": "malformed", "link": "eth0", "count": 3}]}
    assert tables.peers_table([peer(name=wide)], Screen(width))
    assert describe.peer_text(peer(name=wide, paths=PATHS), Screen(width))
    assert describe.status_text(status, Screen(width))
    assert follow._event_text(event("joined", name=wide), Screen(width))


def test_columns_align_with_wide_characters():
    lines = tables.table(("NAME", "X"), [("\u540d\u524d", "1"), ("e\u0301", "2")], Screen()).splitlines()
    assert {tables.width_of(one) for one in lines} == {7}


def test_colour_is_only_the_states():
    plain = tables.peers_table([peer(), peer(state="down", id="b", name="b")], Screen(100))
    coloured = tables.peers_table([peer(), peer(state="down", id="b", name="b")], Screen(100, colour=True))
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert "\x1b[32mup   \x1b[0m" in coloured
    assert "\x1b[31mdown \x1b[0m" in coloured


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\nb", "\u202eabc", "\x07", "\x9b1m", "\ud800"])
def test_what_a_peer_says_cannot_act_on_the_terminal(capsys, bad):
    service = {"name": bad, "port": 1, "proto": bad, "tags": {bad: bad}}
    evil = peer(name=bad, tags={bad: bad}, link=bad, services=[service], boot=bad, id=bad, address=bad, clone=True)
    evil_show = evil | {"paths": [PATHS[0] | {"address": bad, "link": bad}]}
    answers = [
        [peers_reply(evil)],
        [peers_reply(evil_show)],
        [peers_reply() | {"peer": evil, "sent": 1, "received": 0, "rtt_ms": [], "hears_us_s": None}],
        [*snapshot(evil), event("joined", reason=bad, name=bad), refusal("odd", bad)],
        [STATUS | {"links": [LINK | {"name": bad, "last_error": bad}], "drops": [drop(bad, bad)]}],
        [refusal("not_found", bad)],
    ]
    with Daemon(answers) as daemon:
        for words in (["list"], ["show", "x"], ["ping", "x"], ["watch"], ["status"], ["show", "x"]):
            _, out, err = ask(capsys, daemon, *words)
            assert all(line.isprintable() for line in (out + err).split("\n"))
            assert out + err
            assert bad not in out + err


def drop(reason, link="eth0", count=3):
    return {"reason": reason, "link": link, "count": count}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"), (0.31, "0.3s"), (9.94, "9.9s"), (9.96, "9s"), (12.7, "12s"), (59.99, "59s"), (60, "1m"),
        (3599, "59m"), (3600, "1h"), (172799, "47h"), (172800, "2d"), (8640000, "100d"),
    ],
)  # fmt: skip
def test_ages(seconds, text):
    assert tables.age(seconds) == text


def test_show_says_why(capsys):
    with Daemon([[peers_reply(peer(paths=PATHS, restarts=2, rtt_ms=0.41, loss=0.02))]]) as daemon:
        code, out, _ = ask(capsys, daemon, "show", "alpha")
    assert code == 0
    assert out.splitlines() == [
        "alpha is up: last heard 0.4s ago on eth0 from 10.0.0.2, valid 3.6s more",
        "  id          9f3a",
        "  boot        ab12cd34, 2 restarts since first seen",
        "  kind        node",
        "  first seen  12m ago",
        "  announces   a HELLO each 0.8s, valid 4s",
        "  paths       10.0.0.2 on eth0: heard 0.4s ago, valid 3.6s more",
        "              10.1.0.2 on wlan0: heard 1.2s ago, valid 2.8s more",
        "  two-way     not known yet (discoveryctl ping alpha)",
        "  round trip  0.41 ms",
        "  loss        2% of its HELLOs",
        "  services    http:80 (path=/)",
        "  tags        role=gpu",
        "  key         none, its HELLOs are not sealed",
    ]


OUTSIDE = {
    "link": "eth0", "address": "10.0.0.1", "ours": "10.0.0.130/25", "in_our_network": False, "listed": True, "two_way": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": "suspect"}, "is suspect: overdue, last heard 0.4s ago on eth0 from 10.0.0.2; counts as down in 3.6s"),
        ({"state": "down", "last_heard_s": 9.0}, "is down: last heard 9.0s ago"),
        ({"state": "left"}, "is left: said goodbye 0.4s ago"),
        ({"state": "odd"}, "is odd: last heard"),
        ({"link": ""}, "on a routed path from"),
        ({"clone": True}, "clone       another running node has the id 9f3a"),
        ({"two_way": True}, "yes, it hears us too"),
        ({"two_way": False}, "no: we hear it, but it does not hear us"),
        ({"hellos_arrive": False}, "HELLOs      do not arrive; it is up because it answers PINGs"),
        ({"shares_address_with": ["b", "c"]}, "address     also of b, c: give each its own"),
        ({"name": None}, "9f3a is up"),
        ({"paths": []}, "paths       none within its ttl"),
        ({"restarts": 1}, "1 restart since"),
        ({"services": [], "tags": {}}, "services    none"),
    ],
)
def test_show_in_every_state(changed, told):
    assert told in describe.peer_text(peer(paths=PATHS) | changed, Screen())


def test_show_a_bare_peer_and_several(capsys):
    with Daemon([[peers_reply(BARE, peer())]]) as daemon:
        out = ask(capsys, daemon, "show", "x")[1]
    assert out.startswith("10.0.0.9 is up: last heard 0.4s ago on eth0 from 10.0.0.9")
    assert "\n\nalpha is up" in out
    assert "two-way" not in out.partition("\n\n")[0]


def test_status_tells_of_control_where_there_is_something_to_tell(capsys):
    query = STATUS["query"] | {"denied": 2, "registrations": 1}
    with Daemon([[STATUS | {"query": query}]]) as daemon:
        _, out, _ = ask(capsys, daemon, "status")
    assert "0 watching, 0 refused, 2 denied, 1 services registered\n" in out


def test_status(capsys):
    with Daemon([[STATUS]]) as daemon:
        code, out, _ = ask(capsys, daemon, "status")
    assert code == 0
    assert out.splitlines() == [
        "discoveryd 0.1.0, up 1m",
        "  node      one (id n1, boot b1), realm default",
        "  hello     UDP port 3400, each 0.8s, valid 4s",
        "  peers     2 up, 0 suspect, 0 down, 1 left (3 of at most 4096 rows)",
        "  sent      10 hello, 0 ping, 0 pong",
        "  received  7 hello, 0 bare, 0 ping, 0 pong",
        "  query     1 of at most 64 connections, 0 watching, 0 refused",
        "",
        "LINK  ADDRESS      BROADCAST   UP  SENT  RECEIVED  HEARD  LAST ERROR",
        "eth0  10.0.0.1/24  10.0.0.255  1m  10    7         0.4s   -",
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"links": []}, "! no usable link: no interface that hello.interfaces allows"),
        (
            {"links": [], "scan_error": "EMFILE: Too many open files"},
            "! the interfaces cannot be read (EMFILE: Too many open files): the links are those",
        ),
        (
            {"receive_buffer": {"bytes": 212992, "wanted": 4194304}},
            "! the receive buffer has 212992 of 4194304 bytes: HELLOs are lost where hundreds of nodes speak at once; as root: sysctl -w net.core.rmem_max=4194304, then restart",
        ),
        ({"isolated": True}, "! isolated: most peers fell silent together"),
        ({"received": {"hello": 0, "bare": 0}}, "! no HELLO was ever heard"),
        ({"received": {}}, "tcpdump -ni any udp port 3400"),
        ({"links": [LINK | {"last_error": "ENETUNREACH: Network is unreachable"}]}, "! eth0: sending failed: ENET"),
        (
            {"outside": [{"link": "eth0", "address": "10.0.0.1", "ours": "10.0.0.130/25"}]},
            "! 10.0.0.1 broadcasts on eth0 but is outside of our 10.0.0.130/25 there, and does not hear us",
        ),
        ({"outside": [OUTSIDE]}, "is outside of our 10.0.0.130/25 there: the two reach each other by 255.255.255.255"),
        ({"outside": [OUTSIDE | {"two_way": False}]}, "is outside of our 10.0.0.130/25 there, and does not hear us: give"),
        (
            {"outside": [OUTSIDE | {"in_our_network": True}]},
            "! 10.0.0.1 on eth0 is within our 10.0.0.130/25 but has another broadcast address",
        ),
        (
            {"rp_filter": {"dropped": 4, "links": [{"link": "eth0", "mode": 1}]}},
            "! the kernel's rp_filter (eth0) dropped 4 datagrams of any program",
        ),
        (
            {"send_errors": [{"link": "-", "target": "192.0.2.7", "error": "EHOSTUNREACH: No route to host"}]},
            "! seed 192.0.2.7: sending failed: EHOSTUNREACH",
        ),
        (
            {"dropins": [{"file": "/etc/discoveryd/services.d/web.yaml", "name": "web", "state": "failing", "why": "exit 1"}]},
            "! service web is not announced (failing): exit 1 (/etc/discoveryd/services.d/web.yaml)",
        ),
        (
            {"dropins": [{"file": "/s/\x1b.yaml", "name": None, "state": "refused", "why": "line 1: \x1b"}]},
            "! service file is refused: line 1: \\x1b (/s/\\x1b.yaml)",
        ),
        ({"hooks": {"refused": 2}}, "! 2 hooks are not run: the log says why, look for 'hook not run'"),
        ({"drops": [drop("malformed")]}, "malformed  eth0  3      "),
        ({"drops": [drop("brand-new")]}, "brand-new  eth0  3      -"),
        (
            {"shared_addresses": [{"address": "10.0.0.7", "ids": ["a", "b"]}]},
            "! a and b have the address 10.0.0.7 at the same time: give each its own",
        ),
        (
            {"shared_addresses": [{"address": "10.0.0.7", "link": "eth0", "ids": ["a", "b"]}]},
            "! a and b have the address 10.0.0.7 on eth0 at the same time: give each its own",
        ),
    ],
)
def test_status_hints_at_what_looks_wrong(changed, told):
    assert told in describe.status_text(STATUS | changed, Screen())


def test_without_a_link_nobody_is_suspected_of_silence():
    assert "isolated" not in describe.status_text(STATUS | {"links": [], "isolated": True}, Screen())


@pytest.mark.parametrize(
    "changed",
    [
        {"rp_filter": {"dropped": 2, "links": [{"link": "eth0", "mode": 1}]}},
        {"rp_filter": {"dropped": 9, "links": []}},
        {"uptime_s": 2000.0, "rp_filter": {"dropped": 99, "links": [{"link": "eth0", "mode": 1}]}},
    ],
)
def test_a_few_filtered_datagrams_are_not_worth_a_word(changed):
    assert "rp_filter" not in describe.status_text(STATUS | changed, Screen())


def test_status_shows_where_hellos_go():
    told = describe.status_text(STATUS | {"links": [LINK | {"limited": True}]}, Screen())
    assert "eth0  10.0.0.1/24  255.255.255.255  1m" in told


def test_status_does_not_complain_too_early():
    text = describe.status_text(STATUS | {"received": {}, "uptime_s": 1.0}, Screen())
    assert "! " not in text


def test_status_shows_services_and_tags_of_the_node():
    node = STATUS["node"] | {"tags": {"a": "b"}, "services": [{"name": "dns", "port": 53, "proto": "udp", "tags": {}}]}
    text = describe.status_text(STATUS | {"node": node}, Screen())
    assert "services  dns:53/udp\n  tags      a=b\n" in text


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        ({"received": 1}, 0, "alpha (10.0.0.2): 1 of 1 PINGs answered in 0.41 ms; it heard our HELLO 0.3s before"),
        ({"received": 1, "rtt_ms": [0.6, 0.412, 0.5]}, 0, "answered in 0.41 to 0.60 ms; it heard"),
        ({"received": 1, "hears_us_s": None}, 0, "answered in 0.41 ms; it does not hear our HELLOs"),
        ({"received": 0, "rtt_ms": [], "hears_us_s": None}, 1, "0 of 1 PINGs answered; it is up, last heard 0.4s ago"),
    ],
)
def test_ping(capsys, reply, code, told):
    full = {"ok": True, "schema": 1, "peer": peer(), "sent": 1, "rtt_ms": [0.41], "hears_us_s": 0.3} | reply
    with Daemon([[full]]) as daemon:
        found = ask(capsys, daemon, "ping", "alpha")
    assert found[0] == code
    assert told in found[1]


def test_metrics_prints_the_text_as_the_daemon_made_it(capsys):
    with Daemon([[METRICS]]) as daemon:
        assert ask(capsys, daemon, "metrics") == (0, METRICS["text"], "")


# --- json -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reply", "code"),
    [
        (["list"], peers_reply(peer()), 0),
        (["show", "alpha"], peers_reply(peer(paths=PATHS)), 0),
        (["status"], STATUS, 0),
        (["metrics"], METRICS, 0),
        (["ping", "a"], {"ok": True, "schema": 1, "peer": peer(), "sent": 1, "received": 0, "rtt_ms": []}, 1),
    ],
)
def test_json_is_the_line_of_the_daemon(capsys, words, reply, code):
    with Daemon([[reply]]) as daemon:
        assert ask(capsys, daemon, *words, "--json") == (code, json.dumps(reply) + "\n", "")


@pytest.mark.parametrize("bad", ["\x1b[2J", "\u202eabc", "\x7f", "\x9b1m"])
def test_json_that_a_terminal_would_obey_is_written_anew(bad):
    text = json.dumps({"name": bad, "of": "Zoë"}, ensure_ascii=False).replace("\x1b", "\\u001b")
    shown = printable_json(text.encode())
    assert shown.isprintable()
    assert json.loads(shown) == {"name": bad, "of": "Zoë"}
    assert printable_json('{"of":"Zoë"}'.encode()) == '{"of":"Zoë"}'


def test_json_of_an_impostor_reaches_no_terminal_raw(capsys):
    replies = (peers_reply(peer(name="\u202eabc")), METRICS | {"text": "a\x9b1m 1\nb 2\n"})
    with Daemon([[json.dumps(reply, ensure_ascii=False).encode()] for reply in replies]) as daemon:
        code, out, _ = ask(capsys, daemon, "list", "--json")
        assert code == 0
        assert out.rstrip("\n").isprintable()
        assert json.loads(out)["peers"][0]["name"] == "\u202eabc"
        assert ask(capsys, daemon, "metrics") == (0, "a\\x9b1m 1\nb 2\n", "")


def test_json_of_an_empty_list_is_an_empty_list(capsys):
    with Daemon([[peers_reply()]]) as daemon:
        code, out, err = ask(capsys, daemon, "list", "--json")
    assert (code, json.loads(out)) == (1, peers_reply())
    assert "no peers up" in err


def test_json_of_a_failure_is_an_object_too(capsys):
    with Daemon([[refusal("not_found", "no peer x")]]) as daemon:
        code, out, err = ask(capsys, daemon, "show", "x", "--json")
    assert (code, json.loads(out)) == (1, refusal("not_found", "no peer x"))
    assert err == "discoveryctl: no peer x\n"


def test_json_of_wait(capsys):
    with Daemon([snapshot(peer(), peer(state="suspect", boot="b", id="b"))]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "1", "--json")
    assert (code, json.loads(out)) == (0, peers_reply(peer()))


def test_this_node_is_no_peer_of_itself(capsys):
    with Daemon([[peers_reply()], snapshot(), [peers_reply()]]) as daemon:
        _, _, err = ask(capsys, daemon, "list", "--name", "one")
        assert err.endswith("; one is this node, which is no peer of itself\n")
        code, _, err = ask(capsys, daemon, "wait", "--name", "on?", "--count", "1", "--timeout", "50ms")
        assert (code, err.endswith("with 0 of 1 peers up; one is this node, which is no peer of itself\n")) == (1, True)
        _, _, err = ask(capsys, daemon, "list", "--name", "two")
        assert "this node" not in err


# --- watch and wait ---------------------------------------------------------------------------------


def test_watch_lists_then_tells_each_change(capsys):
    lines = [
        *snapshot(peer()),
        event("joined", name="beta", id="b", boot="b"),
        event("suspect", 9, "two HELLOs missed", state="suspect"),
        event("down", 10, "not heard for its ttl of 4 s", state="down"),
        event("clone", 11, "another running node has the id 9f3a", clone=True),
        {"event": "of-a-later-version"},
        refusal("bad_request", "enough"),
    ]
    with Daemon([lines]) as daemon:
        code, out, err = ask(capsys, daemon, "watch")
    assert (code, err) == (2, "discoveryctl: enough\n")
    table, *events = re.sub(r"^\d\d:\d\d:\d\d ", "", out, flags=re.MULTILINE).split("+ ", 1)
    assert "alpha" in table
    assert ("+ " + events[0]).splitlines() == [
        "+ joined     beta  10.0.0.2 eth0  first HELLO on eth0",
        "? suspect    alpha  10.0.0.2 eth0  two HELLOs missed",
        "- down       alpha  10.0.0.2 eth0  not heard for its ttl of 4 s",
        "! clone      alpha  10.0.0.2 eth0  another running node has the id 9f3a",
    ]


def test_watch_connects_again_and_lists_anew(capsys):
    first, second = [*snapshot(peer()), STOPPING], [*snapshot(), event("joined"), refusal("odd", "enough")]
    with Daemon([first, second] * 2) as daemon:
        code, out, err = ask(capsys, daemon, "watch", "--json")
        assert code == 3
        assert [json.loads(one).get("event") for one in out.splitlines()] == [
            "snapshot", "sync", "snapshot", "sync", "joined", None,
        ]  # fmt: skip
        assert err.splitlines() == [
            "discoveryctl: the daemon is stopping; trying again",
            "discoveryctl: connected again",
            "discoveryctl: enough",
        ]
        _, out, _ = ask(capsys, daemon, "watch")
        assert "alpha" in out
        assert "no peers up yet" in out


def test_watch_waits_for_a_daemon_that_was_there_with_growing_pauses(monkeypatch):
    pauses, notes = [], []
    with Daemon([[*snapshot(), STOPPING]]) as daemon:
        options = arguments.parse(["watch", "--address", daemon.address], {})
        lines = follow._follow(options, {}, notes.append)
        assert [next(lines)[1]["event"] for _ in range(2)] == ["snapshot", "sync"]

    def pause(_read, _write, _error, seconds):
        pauses.append(seconds)
        if len(pauses) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow, "select", pause)
    with pytest.raises(KeyboardInterrupt):
        next(lines)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert len(notes) == 2  # that it stops, and once that nobody answers
    assert "Connection refused" in notes[1]


def test_wait_counts_what_comes(capsys):
    lines = [*snapshot(peer()), event("joined", name="beta", id="b", boot="b", address="10.0.0.3")]
    with Daemon([lines]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "2", "--timeout", "10")
    assert code == 0
    assert "alpha" in out
    assert "beta" in out


def test_wait_survives_a_restart_of_the_daemon(capsys):
    with Daemon([[*snapshot(peer()), STOPPING], snapshot(peer(), peer(id="b", boot="b"))]) as daemon:
        assert ask(capsys, daemon, "wait", "--count", "2", "--timeout", "10")[0] == 0


@pytest.mark.parametrize("timeout", ["0", "50ms"])
def test_wait_gives_up_and_says_how_many_there_were(capsys, timeout):
    with Daemon([[*snapshot(peer(), peer(id="b", boot="b")), event("down", state="down")]]) as daemon:
        code, out, err = ask(capsys, daemon, "wait", "--count", "3", "--timeout", timeout)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"discoveryctl: timed out after \S+ s with [12] of 3 peers up\n", err)


def test_wait_gives_up_while_the_daemon_is_away(capsys):
    with Daemon([[*snapshot(peer()), STOPPING]]) as daemon:
        options = arguments.parse(["watch", "--address", daemon.address], {})
        lines = follow._follow(options, {}, lambda _: None, monotonic() + 0.3)
        next(lines)
        next(lines)
    with pytest.raises(QueryError) as caught:
        next(lines)
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "words", [["--tag", "role=cpu"], ["--name", "b*"], ["--service", "ssh"], ["--link", "eth1"], ["--state", "down"]]
)
def test_wait_counts_only_what_matches(capsys, words):
    state = "down" if "--state" in words else "up"
    changed = {"tags": {"role": "cpu"}, "name": "beta", "link": "eth1", "state": state}
    services = [{"name": "ssh", "port": 22, "proto": "tcp", "tags": {}}]
    with Daemon([snapshot(peer()), [*snapshot(peer()), event("updated", services=services, **changed)]]) as daemon:
        wanted = ["wait", "--count", "1", *words]
        assert ask(capsys, daemon, *wanted, "--timeout", "0")[0] == 1
        assert ask(capsys, daemon, *wanted, "--timeout", "10")[0] == 0


def test_wait_sees_a_peer_that_no_longer_matches(capsys):
    beta = {"id": "b", "boot": "b"}
    events = [event("updated", tags={"role": "cpu"}), event("joined", **beta), event("joined", boot="c", id="c")]
    with Daemon([[*snapshot(peer()), *events]]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "2", "--tag", "role=gpu", "--timeout", "10", "--json")
    assert (code, [one["boot"] for one in json.loads(out)["peers"]]) == (0, ["b", "c"])


def test_wait_for_those_gone(capsys):
    with Daemon([[*snapshot(peer()), event("left", state="left")]]) as daemon:
        assert ask(capsys, daemon, "wait", "--count", "1", "--state", "left", "--timeout", "10")[0] == 0


def test_rows_know_restarts_from_clones():
    rows = follow.Rows()
    for one in snapshot(peer(boot="old")):
        rows.take(one)
    rows.take(event("restarted", boot="new") | {"former": "old"})
    assert [one["boot"] for one in rows.peers()] == ["new"]
    rows.take(event("clone", boot="new", clone=True))
    rows.take(event("clone", boot="old", clone=True, address="10.0.0.9"))
    rows.take(event("restarted", boot="newer", clone=True) | {"former": "new"})
    assert sorted(one["boot"] for one in rows.peers()) == ["newer", "old"]
    rows.take(event("down", boot="old", state="down"))
    rows.take(event("joined", boot="newest") | {"former": "old"})  # back, in place of the one that was down
    assert sorted(one["boot"] for one in rows.peers()) == ["newer", "newest"]


# --- as a process -----------------------------------------------------------------------------------


def test_no_daemon_is_exit_3_and_says_where_and_how():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    for words in (["list"], ["watch"], ["wait", "--count", "1"]):
        found = spawn(*words, "--address", address)
        assert (found.returncode, found.stdout) == (3, "")
        assert f"no daemon answers at {address}: Connection refused (ECONNREFUSED)" in found.stderr
        assert "discoveryd run" in found.stderr
        assert "systemctl start discoveryd" in found.stderr
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize("words", [["wait", "--count", "1", "--only", "address"], ["watch"]])
def test_within_the_timeout_a_daemon_may_come_later(words):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]  # bound, not listened to: refused
        process = subprocess.Popen(
            command(*words, "--timeout", "30s", "--address", str(port)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(),
        )  # fmt: skip
        assert b"Connection refused (ECONNREFUSED); trying again" in process.stderr.readline()
        reserved.listen()
        with reserved.accept()[0] as client:
            client.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in (GREETING, *snapshot(peer()))))
            found = process.stdout.readline()
            if words[0] == "watch":
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    assert found == b"10.0.0.2\n" if words[0] == "wait" else found.startswith(b"NAME")


def test_a_daemon_that_does_not_come_within_the_timeout_is_exit_3():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        found = spawn("wait", "--count", "1", "--timeout", "200ms", "--address", str(reserved.getsockname()[1]))
    assert found.returncode == 3
    assert "Connection refused" in found.stderr


def test_watch_ends_when_nobody_reads_it_also_without_an_event():
    with Daemon([snapshot(peer())]) as daemon:
        process = subprocess.Popen(command("watch", "--json", "--address", daemon.address), stdout=subprocess.PIPE, env=environment())
        process.stdout.readline()
        process.stdout.close()  # as `head -1` does
        try:
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("words", [["help"], ["help", "wait"]])
def test_help_is_a_command_too(capsys, words):
    assert main(words) == 0
    told = capsys.readouterr().out
    assert main([*words[1:], "--help"]) == 0
    assert capsys.readouterr().out == told
    assert main(["help", "me"]) == 2


def test_exit_codes_of_a_process():
    with Daemon([[peers_reply(peer())], [peers_reply()], *[[refusal("busy", "full")]] * 5]) as daemon:
        found = [spawn("list", "--address", daemon.address) for _ in range(3)]
    assert [one.returncode for one in found] == [0, 1, 3]
    assert spawn("list", "--odd").returncode == 2


def lines_of(process, count):
    """Read so many lines from a process, for at most ten seconds."""
    deadline, received = monotonic() + 10, b""
    while received.count(b"\n") < count:
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - monotonic(), 0))
        assert ready, received
        chunk = os.read(process.stdout.fileno(), 65536)
        assert chunk, received
        received += chunk
    return received


def test_interrupt_is_quiet():
    with Daemon([snapshot(peer())]) as daemon:
        words = command("watch", "--json", "--address", daemon.address)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as process:
            lines_of(process, 2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"")


def test_a_broken_pipe_is_quiet():
    many = [peer(id=str(number), boot=str(number), name="n" * 60) for number in range(3000)]
    with Daemon([[peers_reply(*many)]]) as daemon:
        words = command("list", "--address", daemon.address)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as process:
            os.read(process.stdout.fileno(), 10)
            process.stdout.close()
            err = process.stderr.read()
            process.wait(10)
    assert (process.returncode, err) == (0, b"")


def test_output_that_cannot_be_written_is_told():
    with Daemon([[peers_reply(peer())]]) as daemon, Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command("list", "--address", daemon.address),
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False, env=environment(),
        )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr == "discoveryctl: cannot write the output: No space left on device\n"


def test_a_terminal_without_unicode_still_gets_the_list():
    with Daemon([[peers_reply(peer(name="\u540d\u524d"))]]) as daemon:
        found = spawn("list", "--address", daemon.address, PYTHONIOENCODING="ascii")
    assert found.returncode == 0
    assert r"\u540d\u524d" in found.stdout


def on_terminal(width, **more):
    """Run ``list`` on a terminal of this width; give what it printed there."""
    with Daemon([[peers_reply(peer(name="n" * 100))]]) as daemon:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, width))
        words = command("list", "--address", daemon.address)
        with subprocess.Popen(words, stdout=theirs, env=environment(**more)) as process:
            os.close(theirs)
            assert process.wait(20) == 0
        text = os.read(ours, 65536).decode()
        os.close(ours)
    return text


def test_on_a_terminal_it_fits_and_is_coloured_unless_unwanted():
    text = on_terminal(80, TERM="xterm")
    assert "\x1b[32mup" in text
    assert all(len(one) <= 80 for one in re.sub(r"\x1b\[\d*m", "", text).splitlines())
    assert "\x1b" not in on_terminal(80, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in on_terminal(80, TERM="dumb")
    assert "n" * 100 in on_terminal(80, TERM="dumb", COLUMNS="300")


IMPORTED = """
import sys
before = set(sys.modules)
from discoveryd.ctl import main
code = main(["list"])
print(" ".join(sorted(set(sys.modules) - before)), file=sys.stderr)
sys.exit(code)
"""

SLOW = {
    "argparse", "asyncio", "contextlib", "dataclasses", "importlib.metadata", "inspect", "locale", "logging",
    "selectors", "shutil", "signal", "socket", "structlog", "subprocess", "tempfile", "threading", "typing",
    "unicodedata", "yaml",
}  # fmt: skip


def test_list_imports_only_what_it_needs():
    with Daemon([[peers_reply(peer())]]) as daemon:
        found = subprocess.run(
            [sys.executable, "-S", "-c", IMPORTED],
            capture_output=True, text=True, timeout=20, check=False,
            env=environment(DISCOVERYCTL_ADDRESS=daemon.address),
        )  # fmt: skip
    assert found.returncode == 0, found.stderr
    imported = set(found.stderr.split())
    assert imported & SLOW == set()
    assert {name for name in imported if name.startswith("discoveryd")} == {
        "discoveryd", "discoveryd.errors", "discoveryd.net", "discoveryd.net.query_client",
        "discoveryd.ctl", "discoveryd.ctl.arguments", "discoveryd.ctl.ask", "discoveryd.ctl.commands",
        "discoveryd.ctl.tables",
    }  # fmt: skip
