"""The sites as a part of the daemon, without a server."""

import json
import socket
import subprocess
import sys
from queue import SimpleQueue

import pytest

from discoveryd.config import load
from discoveryd.daemon import main
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.sites import SitesPart
from discoveryd.errors import ConfigError, QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.request import Filter
from discoveryd.runtime.discovery import Discovery
from tests.runtime.waiting import until

OFF = """
import sys
from discoveryd.config import Config
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.sites import SitesPart
import discoveryd.daemon.run
part = SitesPart(Config(), None, LoopPart(print).loop, print, hook=print)
part.open(), part.start(), part.look(), part.look(), part.reload(Config()), part.hear(None), part.status()
print([name for name in sys.modules if name.split(".")[0] in ("asyncio", "nats", "nkeys", "ssl") or name.startswith("discoveryd.sites")])
"""


def test_off_it_imports_nothing():
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def configured(tmp_path, text):
    (tmp_path / "c.yaml").write_text(f"sites: {{{text}}}\n")
    return load(str(tmp_path / "c.yaml"), {})


@pytest.fixture
def node():
    parameters = Parameters(port=free_port("127.0.0.1", "udp"), loopback="127.0.0.2")
    with Discovery(parameters, name="anna", query=("127.0.0.2", 0)) as discovery:
        yield discovery


@pytest.fixture
def made(node):
    """Make a part, which is stopped at the end, and what it tells."""
    told, hooks, loop, parts = SimpleQueue(), [], LoopPart(lambda _: None), []

    def make(config):
        part = SitesPart(config, node, loop.loop, told.put, hook=lambda *event: hooks.append(event))
        parts.append(part)
        part.start()
        return part, told

    yield make
    for part in parts:
        part.stop()
    loop.stop()


def nobody():
    return f"nats://127.0.0.1:{free_port('127.0.0.1', 'tcp')}"


def test_without_a_server_the_daemon_says_so_and_answers(node, made, tmp_path):
    part, told = made(configured(tmp_path, f'name: berlin, servers: ["{nobody()}"]'))
    until(lambda: part.status()["connection"]["trouble"])
    notice = told.get(timeout=5)
    assert (notice.text, notice.fields["kind"]) == ("no NATS server", "unreachable")
    with QueryClient(node.query_address) as client:
        found = client.request("sites")
        assert (found["site"], found["role"], found["sites"], found["connection"]["connected"]) == ("berlin", "disconnected", [], False)
        own = client.request("list", site="all", with_self=True)["self"]
        assert (own["name"], own["site"], own["via"], own["vouched_s"]) == ("anna", "berlin", None, None)
        assert client.request("list", site="berlin")["peers"] == []
        with pytest.raises(QueryError, match="no site 'paris' is known; known: berlin") as caught:
            client.request("list", site="paris")
        assert caught.value.code == "not_found"
        with pytest.raises(QueryError, match="no peer of any site has the name, id or address 'x'"):
            client.request("show", peer="x", site="all")
    with QueryClient(node.query_address) as client:
        stream = client.watch(site="all")
        assert [next(stream)["event"], next(stream)["event"]] == ["snapshot", "sync"]


def test_a_file_of_another_site_waits_until_that_is_heard(node, made, tmp_path):
    with pytest.raises(ConfigError, match="is for a node that belongs to a site"):
        configured(tmp_path, "}\nexport: [{format: json, site: paris}]\ngrace: []\nlog: {")
    part, _ = made(configured(tmp_path, f'name: berlin, servers: ["{nobody()}"]'))
    until(lambda: part.status()["connection"]["trouble"])
    with pytest.raises(OSError, match="no site 'paris' is known; known: berlin"):
        node.handlers.list_sites(Filter(), "paris")
    reply = json.loads(node.handlers.list_sites(Filter(), "all"))
    assert (reply["self"]["name"], reply["self"]["site"], reply["peers"]) == ("anna", "berlin", [])


def test_without_a_site_a_request_says_what_to_set(node):
    with QueryClient(node.query_address) as client:
        for op, fields in (("sites", {}), ("list", {"site": "all"})):
            with pytest.raises(QueryError, match=r"belongs to no site: set sites\.name and sites\.servers") as caught:
                client.request(op, **fields)
            assert caught.value.code == "off"
        with pytest.raises(QueryError, match="belongs to no site"):
            next(client.watch(site="all"))
        assert client.request("list")["ok"]


def test_a_reload_begins_renews_and_ends(made, tmp_path):
    part, _ = made(configured(tmp_path, ""))
    assert part.status() is None
    first, second = nobody(), nobody()
    part.reload(configured(tmp_path, f'name: berlin, servers: ["{first}"]'))
    desk = part.desk
    until(lambda: part.status()["connection"]["trouble"])
    part.reload(configured(tmp_path, f'name: berlin, servers: ["{second}"]'))
    until(lambda: part.status()["connection"]["servers"] == [second])
    assert part.desk is desk
    part.reload(configured(tmp_path, f'name: bonn, servers: ["{second}"]'))
    assert part.desk is not desk
    assert part.status()["site"] == "bonn"
    part.reload(configured(tmp_path, ""))
    assert part.status() is None


def test_a_file_that_is_gone_at_a_reload_leaves_all_as_it_was(made, tmp_path):
    part, told = made(configured(tmp_path, f'name: berlin, servers: ["{nobody()}"]'))
    desk = part.desk
    part.reload(configured(tmp_path, f'name: berlin, servers: ["{nobody()}"], credentials: gone.nats'))
    assert part.desk is desk
    texts = [told.get_nowait().text for _ in range(told.qsize())]
    assert "sites stay as they were" in texts


def test_a_fault_of_the_files_keeps_a_daemon_from_starting(node, made, tmp_path, capsys):
    text = f'name: berlin, servers: ["{nobody()}"], credentials: gone.nats'
    with pytest.raises(ConfigError, match=r"gone\.nats: no such file"):
        made(configured(tmp_path, text))
    assert main(["check", "--quiet", "--config", str(tmp_path / "c.yaml")]) == 2
    assert "gone.nats: no such file" in capsys.readouterr().err


def test_a_server_that_says_nothing_is_no_session(made, tmp_path, monkeypatch):
    monkeypatch.setattr("discoveryd.sites.nats.CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        part, _ = made(configured(tmp_path, f'name: berlin, servers: ["nats://127.0.0.1:{listener.getsockname()[1]}"]'))
        until(lambda: part.status()["connection"]["failures"])
        assert part.status()["connection"]["trouble"]["kind"] == "unreachable"
        json.dumps(part.status())


def test_keygen_makes_a_seed_and_says_what_to_do_with_it(tmp_path, capsys):
    path = tmp_path / "berlin.nats"
    assert main(["keygen", "--nats", str(path)]) == 0
    text = capsys.readouterr().out
    public = text.splitlines()[1]
    assert public in path.read_text()
    assert (path.stat().st_mode & 0o777, len(public), public[0]) == (0o600, 56, "U")
    assert f"credentials: {path.name}" in text
    assert main(["keygen", "--nats", str(path)]) == 1
