"""The web of a daemon: doors that open, close and change by a configuration, with a token and a certificate."""

import json
import socket
import ssl
import urllib.request
from dataclasses import replace

import pytest

from discoveryd.config import Config
from discoveryd.config.sections import MetricsSection
from discoveryd.config.web import WebSection
from discoveryd.net.sockets import free_port
from discoveryd.query.findings import findings
from discoveryd.web import door as door_module
from discoveryd.web.room import WebRoom
from tests.query.samples import STATUS
from tests.runtime.waiting import WAIT, until
from tests.web.test_credentials import TOKEN, certificate, write

__all__ = ["certificate"]


class Stage:
    """A room, and what it told."""

    def __init__(self, loop, discovery, directory):
        self.told = []
        self.directory = directory
        self.room = WebRoom(discovery, loop, self.told.append)
        self.ports = free_port("127.0.0.1", "tcp"), free_port("127.0.0.1", "tcp")
        self.config = Config(directory=str(directory), source="c.yaml")

    def adopt(self, *, web=True, metrics=False, host="127.0.0.1", **more):
        self.config = replace(
            self.config,
            web=WebSection(listen=f"{host}:{self.ports[0]}" if web else "off", **more),
            metrics=MetricsSection(listen=f"127.0.0.1:{self.ports[1]}" if metrics else "off"),
        )
        self.room.adopt(self.config)

    def get(self, path, port=0, tls=None, **headers):
        """Give the status of an answer, None where nothing listens."""
        scheme = "http" if tls is None else "https"
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{self.ports[port]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT, context=tls) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return None

    def texts(self):
        return [(one.level, one.text) for one in self.told]


@pytest.fixture
def stage(loop, discovery, tmp_path):
    made = Stage(loop, discovery, tmp_path)
    yield made
    made.room.stop()


def test_doors_open_and_close_as_the_configuration_says(stage):
    stage.adopt(web=False, metrics=True)
    assert (stage.get("/metrics", 1), stage.get("/", 1), stage.get("/")) == (200, 404, None)
    assert stage.room.status() == {"on": False}
    assert stage.room.metrics_status() == {"requests": 2, "refused": 0, "error": None, "next_try_s": None}
    stage.adopt(web=True, metrics=True)
    assert (stage.get("/metrics", 1), stage.get("/metrics"), stage.get("/")) == (200, 200, 200)
    stage.adopt(web=True, metrics=False)
    assert (stage.get("/metrics", 1), stage.get("/api/v1/peers")) == (None, 200)
    found = stage.room.status()
    assert (found["on"], found["token"], found["tls"], found["requests"], found["error"]) == (True, False, False, 3, None)
    stage.adopt(web=False)
    assert stage.get("/") is None
    assert stage.texts() == [("info", "the metrics are served over HTTP"), ("info", "the web is served over HTTP")]


def test_a_change_of_hosts_and_token_holds_at_once(stage):
    stage.adopt()
    assert stage.get("/api/v1/peers", Host="nas.example.org") == 421
    stage.adopt(hosts=("NAS.example.org",))
    assert stage.get("/api/v1/peers", Host="nas.example.org") == 200
    write(stage.directory / "web.token", TOKEN)
    stage.adopt(token_file="web.token")
    assert stage.get("/api/v1/peers") == 401
    assert stage.get("/") == 200
    assert stage.get("/api/v1/peers", Authorization=f"Bearer {TOKEN}") == 200
    stage.adopt()
    assert stage.get("/api/v1/peers") == 200


def test_a_token_that_changes_in_its_file_is_read_again(stage):
    path = write(stage.directory / "web.token", TOKEN)
    stage.adopt(token_file="web.token")
    other = TOKEN[::-1] + "0"
    write(path, other)
    stage.room.look()
    assert stage.get("/api/v1/peers", Authorization=f"Bearer {TOKEN}") == 401
    assert stage.get("/api/v1/peers", Authorization=f"Bearer {other}") == 200
    path.chmod(0o644)
    write(path, "short")
    stage.room.look()
    stage.room.look()
    assert stage.get("/api/v1/peers", Authorization=f"Bearer {other}") == 200  # what was in force stays
    assert [text for _, text in stage.texts()].count("the web has no valid token or certificate") == 1
    write(path, other)
    stage.room.look()
    assert stage.told[-1].text == "the web has a valid token and certificate again"


def test_a_new_token_ends_the_streams_of_the_former(stage):
    path = write(stage.directory / "web.token", TOKEN)
    stage.adopt(token_file="web.token")
    request = urllib.request.Request(f"http://127.0.0.1:{stage.ports[0]}/events", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=WAIT) as stream:
        until(lambda: stage.room.status()["streams"] == 1)
        stage.room.look()
        write(path, TOKEN * 2)
        stage.room.look()
        *_, last = [line for line in stream.read().split(b"\n\n") if line]
    assert json.loads(last.removeprefix(b"data: "))["error"] == {"code": "denied", "message": "the token has changed"}


def test_without_a_readable_token_the_door_stays_closed(stage):
    stage.adopt(token_file="web.token")
    assert stage.get("/") is None
    error = stage.room.status()["error"]
    assert "no such file" in error
    [finding] = [one for one in findings({**STATUS, "web": stage.room.status()}) if one.code == "web-not-served"]
    assert error in finding.text
    write(stage.directory / "web.token", TOKEN)
    stage.room.look()
    assert (stage.get("/"), stage.get("/api/v1/peers")) == (200, 401)


def test_beyond_this_machine_without_tls_is_said(stage):
    write(stage.directory / "web.token", TOKEN)
    stage.adopt(host="0.0.0.0", token_file="web.token")
    assert ("warning", "the web is served without TLS") in stage.texts()
    assert stage.get("/api/v1/peers", Authorization=f"Bearer {TOKEN}") == 200


def test_tls_is_spoken_and_a_new_certificate_taken(stage, certificate):
    for name, path in zip(("c.pem", "k.pem"), certificate, strict=True):
        write(stage.directory / name, path.read_text())
    stage.adopt(tls_cert="c.pem", tls_key="k.pem")
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    assert stage.get("/api/v1/peers", tls=trust) == 200
    assert stage.get("/api/v1/peers") is None
    assert stage.room.status()["tls"] is True
    with socket.create_connection(("127.0.0.1", stage.ports[0])) as silent:
        silent.sendall(b"\x16\x03\x01")
        assert stage.get("/", tls=trust) == 200  # keeps no other waiting
    stage.adopt()
    assert stage.get("/api/v1/peers") == 200


def test_a_taken_port_is_a_finding_and_ends_nothing(stage, monkeypatch):
    monkeypatch.setattr(door_module, "RETRY", 0.05)
    with socket.create_server(("127.0.0.1", stage.ports[0])):
        stage.adopt()
        found = stage.room.status()
        assert f"TCP port {stage.ports[0]} on 127.0.0.1 is taken by" in found["error"]
        assert [one.code for one in findings({**STATUS, "web": found})][-1] == "web-not-served"
        assert "; stop that, or set web.listen: it is tried again each" in stage.told[-1].fields["why"]
    until(lambda: stage.room.look() or stage.room.status()["error"] is None)
    assert stage.get("/") == 200


def test_the_end_ends_streams_soon_and_may_come_twice(stage):
    stage.adopt()
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.ports[0]}/events", timeout=WAIT) as stream:
        until(lambda: stage.room.status()["streams"] == 1)
        stage.room.stop()
        *_, last = [line for line in stream.read().split(b"\n\n") if line]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "stopping"
    stage.room.stop()
