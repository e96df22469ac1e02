"""The web as a part of the daemon: there only where it is configured, changed by a reload."""

import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest

from discoveryd.config import Config
from discoveryd.config.sections import MetricsSection
from discoveryd.config.web import WebSection
from discoveryd.daemon import web as module
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.web import WebPart, check_web
from discoveryd.errors import ConfigError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from tests.runtime.waiting import WAIT


@pytest.fixture
def told():
    return []


@pytest.fixture
def part(told):
    loop, discovery = LoopPart(told.append), Discovery(Parameters(loopback="127.0.0.2"), name="anna")
    made = WebPart(Config(), discovery, loop.loop, told.append)
    made.discovery = discovery
    yield made
    made.stop()
    loop.stop()


def on(web=None, metrics=None):
    return replace(
        Config(),
        web=WebSection(listen=f"127.0.0.1:{web}" if web else "off"),
        metrics=MetricsSection(listen=f"127.0.0.1:{metrics}" if metrics else "off"),
    )


def get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT) as answer:
        return answer.status


def test_a_reload_turns_it_on_and_off(part):
    web, metrics = free_port("127.0.0.1", "tcp"), free_port("127.0.0.1", "tcp")
    part.look()
    assert part.status() == {"on": False}
    part.reload(on(web))
    assert get(web) == 200
    part.reload(on(web, metrics))
    assert get(metrics, "/metrics") == get(web, "/metrics") == 200
    assert part.discovery.status()["metrics"]["requests"] == 1
    part.reload(on(metrics=metrics))
    assert part.status() == {"on": False}
    with pytest.raises(OSError, match="refused"):
        get(web)
    part.reload(on())
    with pytest.raises(OSError, match="refused"):
        get(metrics)
    part.reload(on(web))
    assert get(web) == 200


def test_a_missing_library_is_told_with_the_packages(part, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    for name in [name for name in sys.modules if name.startswith(("discoveryd.web", "starlette."))]:
        monkeypatch.delitem(sys.modules, name)
    part.reload(on(free_port("127.0.0.1", "tcp")))
    part.look()
    [notice] = told
    assert "apt install python3-starlette python3-uvicorn" in notice.fields["why"]
    assert part.status()["error"] == notice.fields["why"]
    assert part.discovery.status()["metrics"]["error"] is None
    part.reload(on(metrics=free_port("127.0.0.1", "tcp")))
    assert part.discovery.status()["metrics"]["error"] == notice.fields["why"]


def test_a_check_names_what_could_not_be_served(monkeypatch, tmp_path):
    check_web(Config())
    check_web(on(web=3480))
    token = replace(Config(), source="c.yaml", directory=str(tmp_path), web=WebSection(listen="127.0.0.1:3480", token_file="web.token"))
    with pytest.raises(ConfigError, match=r"c.yaml: web.token_file: .*web.token: no such file"):
        check_web(token)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(ConfigError, match=r"defaults: metrics.listen: the library uvicorn is missing: apt install"):
        check_web(on(metrics=9341))
    check_web(Config())


OFF = """
import sys
from discoveryd.config import Config
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.web import WebPart
from types import SimpleNamespace
import discoveryd.daemon.run
part = WebPart(Config(), SimpleNamespace(report=lambda *_: None), LoopPart(print).loop, print)
part.open(), part.start(), part.look(), part.look(), part.reload(Config()), part.status(), part.stop()
print([name for name in sys.modules if name.split(".")[0] in ("asyncio", "starlette", "uvicorn", "ssl", "http", "email")])
"""


def test_off_it_imports_nothing():
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
