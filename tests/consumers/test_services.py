"""Services in Python beside a daemon: gunicorn with --preload and two workers, and aiohttp, as docs/embedding.md shows them."""

import json

import pytest

from tests.netns.daemons import asking, names, until
from tests.test_embedding import EXAMPLES

SERVICE = """
import json, os
discovery = None

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), discovery.wait_connected(5.0), [peer.name for peer in discovery.peers()]]).encode()]
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


@pytest.fixture
def hosts(lab):
    """Give a host with a daemon that has a peer, and a connection to that daemon."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    for host in (a, b):
        host.discoveryd()
    with asking(a) as on_a:
        until(on_a, names("b"))
        yield a, on_a


def answer(host, url):
    done = host.python(ASK, url, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_gunicorn_with_preload_and_two_workers(hosts, environment, tmp_path):
    programs = environment("services")
    a, on_a = hosts
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "gunicorn.conf.py").write_text(EXAMPLES["gunicorn"])
    server = a.popen(
        str(programs / "gunicorn"), "--preload", "--workers=2", "--bind=127.0.0.1:8000", f"--config={tmp_path}/gunicorn.conf.py",
        f"--chdir={tmp_path}", "service:application",
    )  # fmt: skip
    answers = {}

    def both(_):
        found = answer(a, "http://127.0.0.1:8000/")
        if found:
            answers[found[0]] = found[1:]
        return len(answers) == 2

    until(on_a, both, within=30)
    assert list(answers.values()) == [[True, ["b"]]] * 2
    server.terminate()
    assert server.wait(20) == 0
    until(on_a, lambda _: on_a.request("status")["query"]["watchers"] == 0)


def test_a_service_of_aiohttp(hosts, environment, tmp_path):
    programs = environment("services")
    a, on_a = hosts
    (tmp_path / "service.py").write_text(EXAMPLES["aiohttp"])
    server = a.popen(str(programs / "python"), str(tmp_path / "service.py"), "8001")
    until(on_a, lambda _: answer(a, "http://127.0.0.1:8001/workers") == ["b"], within=30)
    server.terminate()
    server.wait(20)
    until(on_a, lambda _: on_a.request("status")["query"]["watchers"] == 0)
