"""HTTP of a real daemon: on and off by a reload, and an end that waits for no client."""

import json
import signal
import socket
import urllib.request
from contextlib import ExitStack

import pytest

from discoveryd.net.sockets import free_port
from tests.integration.process import PROMPT, Daemon
from tests.runtime.waiting import WAIT, until


@pytest.fixture
def daemon(tmp_path, port):
    made = Daemon(tmp_path, 2, port, config="web: {listen: off}\n")
    made.web = (made.address, free_port(made.address, "tcp"))
    made.run()
    made.log_until("discoveryd started")
    yield made
    made.close()


def configure(daemon, text):
    """Write a configuration and have it taken over; give the log lines up to that."""
    daemon.config.write_text(text)
    daemon.kill(signal.SIGHUP)
    return daemon.log_until("configuration re")  # loaded, or refused


def get(daemon, path):
    with urllib.request.urlopen(f"http://{daemon.web[0]}:{daemon.web[1]}{path}", timeout=WAIT) as answer:
        return answer.read()


def test_a_reload_turns_it_on_and_off_and_refuses_what_is_wrong(daemon):
    until(lambda: daemon.ask("status").get("web") == {"on": False})
    listen = f"{daemon.web[0]}:{daemon.web[1]}"
    configure(daemon, f"web: {{listen: '{listen}'}}\n")
    daemon.log_until("the web is served over HTTP")
    assert json.loads(get(daemon, "/api/v1/status"))["node"]["id"] == "id-2"
    assert b"discoveryd_uptime_seconds" in get(daemon, "/metrics")
    refused = configure(daemon, f"web: {{listen: '{listen}', token_file: none.token}}\n")
    assert any("web.token_file" in line and "no such file" in line for line in refused)
    assert get(daemon, "/api/v1/peers")  # what was in force stays
    done = daemon.command("check")
    assert (done.returncode, "web.token_file" in done.stderr) == (2, True)
    configure(daemon, "web: {listen: off}\n")
    with pytest.raises(OSError, match="refused"):
        get(daemon, "/")
    assert daemon.end()[0] == 0


def test_streams_and_silent_clients_delay_no_end(daemon):
    configure(daemon, f"web: {{listen: '{daemon.web[0]}:{daemon.web[1]}'}}\n")
    with ExitStack() as stack:
        for asks in [b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"] * 32 + [b"GET /events HT", b""] * 8:
            client = stack.enter_context(socket.create_connection(daemon.web, timeout=WAIT))
            client.sendall(asks)
        until(lambda: daemon.ask("status")["web"]["streams"] == 32)
        code, seconds = daemon.end()
    assert code == 0
    assert seconds < PROMPT
