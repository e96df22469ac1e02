"""The command line of ``discoveryctl``: what it asks of the daemon, and what it refuses."""



import pytest

from discoveryd.cli import ctl_commands
from discoveryd.ctl import main
from tests.ctl.played import Daemon, ask, peers_reply, refusal, snapshot
from tests.query.samples import peer


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
def test_options_become_fields_of_the_request(capsys, words, request_):
    before, dashes, after = words.partition(" -- ")
    with Daemon([[refusal("not_found", "nobody")]]) as daemon:
        last = [dashes.strip(), after] if dashes else []
        assert main(["--address", daemon.address, *before.split(), *last]) == 1
    assert daemon.requests == [request_]


def test_watch_sends_its_filters_and_wait_does_not(capsys):
    with Daemon([[refusal("bad_argument", "no")], snapshot(peer())]) as daemon:
        assert ask(capsys, daemon, "watch", "--name", "a*", "--state", "up")[0] == 2
        assert ask(capsys, daemon, "wait", "--count", "1", "--tag", "role=gpu")[0] == 0
    assert daemon.requests == [{"op": "watch", "name": "a*", "state": ["up"]}, {"op": "watch", "all": True}]


def test_address_from_the_option_then_the_environment(capsys, monkeypatch):
    with Daemon([[peers_reply(peer())]] * 2) as daemon:
        monkeypatch.setenv("DISCOVERYCTL_ADDRESS", daemon.address)
        assert main(["list"]) == 0
        monkeypatch.setenv("DISCOVERYCTL_ADDRESS", "127.0.0.1:1")
        assert main(["list", "--address", daemon.address]) == 0
    assert ctl_commands.parse(["list"], {}).address == ("127.0.0.1", 3400)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:99", ("10.0.0.1", 99)), ("node7", ("node7", 3400)), ("[::1]:99", ("::1", 99)),
        ("[::1]", ("::1", 3400)), ("::1", ("::1", 3400)), ("3401", ("127.0.0.1", 3401)),
        (":3401", ("127.0.0.1", 3401)),
    ],
)  # fmt: skip
def test_addresses(text, address):
    assert ctl_commands.parse(["list", "--address", text], {}).address == address


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("2", 2), ("0.5", 0.5), ("500ms", 0.5), ("4s", 4), ("1m", 60), ("1h", 3600)]
)
def test_durations(text, seconds):
    assert ctl_commands.parse(["wait", "--count", "1", "--timeout", text], {}).timeout == seconds


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "which command? One of list, export, show, status, sites, metrics, watch, ping, doctor, history, availability, wait, send, ask, reload, maintenance, forget, register"),
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
        (["list", "--state", "gone"], "--state must be one of up, suspect, down, left, unknown, not 'gone'"),
        (["list", "--only", "colour"], "--only must be one of name, id, address, link, service, tag, endpoint, not 'colour'"),
        (["list", "--only", "name,colour"], "not 'colour'"),
        (["list", "--only", "name", "--json"], "--only is a shape of its own: leave out --json"),
        (["list", "--wide", "--only", "name"], "--only is a shape of its own: leave out --wide"),
        (["list", "--format", "{name}", "--no-header"], "--format is a shape of its own: leave out --no-header"),
        (["list", "--watch", "--json"], "--json is a shape of its own: leave out --watch"),
        (["list", "--json", "--sort", "rtt"], "--json is a shape of its own: leave out --sort"),
        (["doctor", "--bundle", "x.tgz", "--json"], "the report as JSON in it: leave out --json"),
        (["doctor", "--bundle", "x.tgz", "--watch"], "--bundle writes one archive, with the report as JSON in it: leave out --watch"),
        (["list", "--format", "{nam}"], "--format has no field 'nam': there are name, id"),
        (["wait", "--count", "1", "--format", "name"], "--format has no field: put one in braces"),
        (["list", "--watch"], "a table on a terminal; for a pipe there is: discoveryctl watch"),
        (["export"], "export which format? One of prometheus, ansible"),
        (["export", "yaml"], "export: FORMAT must be one of prometheus"),
        (["export", "hosts", "--port", "1"], "export hosts takes no --port: that is for prometheus"),
        (["export", "hosts", "alpha"], "export hosts takes no PEER: that is for known-hosts"),
        (["export", "hosts", "--domain", "a b"], "--domain must be a domain such as peers.internal, not 'a b'"),
        (["export", "template"], "export template needs --template"),
        (["export", "template", "--template", "x"], "--template has no field"),
        (["export", "json", "--json"], "formats of its own, such as: discoveryctl export json"),
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


def test_register_reads_a_service_and_a_command():
    found = ctl_commands.parse(["register", "web", "--port=80", "--tag", "a=b", "--", "cmd", "--port", "9", "--", "x"], {})
    assert (found.name, found.port, found.proto, found.tags) == ("web", 80, "tcp", {"a": "b"})
    assert found.rest == ["cmd", "--port", "9", "--", "x"]
    assert ctl_commands.parse(["register", "web", "--port", "0", "--proto", "udp"], {}).rest == []


def test_token_file_from_the_option_then_the_environment():
    environ = {"DISCOVERYCTL_TOKEN_FILE": "/a"}
    assert ctl_commands.parse(["reload", "--token-file", "/b"], environ).token_file == "/b"
    assert ctl_commands.parse(["reload"], environ).token_file == "/a"
    assert ctl_commands.parse(["reload"], {}).token_file is None


def test_an_error_names_the_wrong_variable(capsys, monkeypatch):
    monkeypatch.setenv("DISCOVERYCTL_ADDRESS", "what:ever")
    assert main(["list"]) == 2
    assert "DISCOVERYCTL_ADDRESS must be HOST:PORT" in capsys.readouterr().err
