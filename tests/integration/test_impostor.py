"""A program that listens in the place of a daemon: it gets no token, nor anything that opens the daemon to it."""

import json
import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.process import ROOT

NOBODY = 65534
ROOT_OR_NOBODY = pytest.mark.skipif(os.geteuid() != 0, reason="runs a program as another user")

SCRIPT = """
import json, os, socket, sys
host, port, uid, greeting = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if os.geteuid() == 0:
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
with socket.create_server((host, port)) as listener:
    print("listens", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(greeting.encode() + b"\\n")
        with connection, connection.makefile() as lines:
            for line in lines:
                print(line, end="", flush=True)
                connection.sendall(b'{"ok":true,"schema":1,"node":{"name":"evil"},"peers":[],"needs_restart":[],"proof":"00"}\\n')
"""
SPEAKS = {"discoveryd": "0.1.0", "protocol": 1, "schema": 1}
NONCE = {"nonce": "00" * 16}


@pytest.fixture
def impostor():
    """Start a program that greets as a daemon does, and give what it was told so far and is told until its end."""
    started = []

    def start(address, uid, **greeting):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, address[0], str(address[1]), str(uid), json.dumps({**SPEAKS, **greeting})],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "listens\n"

        def told():
            process.kill()
            return process.stdout.read()

        return told

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def killed(make):
    """Give a daemon that was killed: its token is there still, its port is free."""
    daemon = make().run()
    daemon.log_until("discoveryd started")
    daemon.end(signal.SIGKILL)
    daemon.close()
    return daemon


def token_of(daemon):
    return (Path(daemon.environment["DISCOVERYD_PATHS__RUNTIME"]) / "control.token").read_text().strip()


def ctl(daemon, *words):
    return subprocess.run(
        [sys.executable, "-m", "discoveryd.ctl", *words, "--address", f"{daemon.query[0]}:{daemon.query[1]}",
         "--token-file", f"{daemon.environment['DISCOVERYD_PATHS__RUNTIME']}/control.token"],
        env={**daemon.environment, "PYTHONPATH": str(ROOT)}, cwd="/", capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@ROOT_OR_NOBODY
@pytest.mark.parametrize("words", [("list",), ("status",), ("reload",), ("register", "ssh", "--port", "22")])
@pytest.mark.parametrize("more", [{"token": True, **NONCE}, {"token": True}], ids=["new", "old"])
def test_a_program_of_another_user_gets_no_token_and_is_named(killed, impostor, words, more):
    told = impostor(killed.query, NOBODY, **more)
    done = ctl(killed, *words)
    heard = told()
    assert (done.returncode, heard) == (2, ""), done
    if "nonce" in more:
        name = pwd.getpwuid(NOBODY).pw_name
        where = re.escape(f"{killed.query[0]}:{killed.query[1]}")
        wanted = rf"discoveryctl: python\S* \(pid \d+\) that listens at {where} belongs to uid {NOBODY} \({name}\), neither root nor"
        assert re.match(wanted, done.stderr), done.stderr
    else:
        assert "wants the control token itself, which is not sent any more" in done.stderr


@ROOT_OR_NOBODY
def test_discoveryd_status_says_so_too(killed, impostor):
    told = impostor(killed.query, NOBODY, token=True, **NONCE)
    done = killed.command("status")
    assert (done.returncode, told()) == (1, "")
    assert f"belongs to uid {NOBODY}" in done.stdout + done.stderr


def test_a_program_of_ours_without_the_token_gets_a_proof_only(killed, impostor):
    """As behind a tunnel, where the owner tells nothing."""
    told = impostor(killed.query, os.geteuid(), token=True, **NONCE)
    done = ctl(killed, "list")
    [line] = told().splitlines()
    assert json.loads(line).keys() == {"op", "nonce", "proof"}
    assert token_of(killed) not in line
    assert done.returncode == 2
    assert "does not know the control token: it is not the daemon" in done.stderr
    assert "evil" not in done.stdout


def test_the_next_daemon_has_another_token(killed):
    before = token_of(killed)
    killed.run().log_until("discoveryd started")
    assert token_of(killed) != before
    assert ctl(killed, "reload").returncode == 0
