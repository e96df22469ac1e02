"""What the holder of the control token can do to a running daemon; and hooks, as the daemon runs them."""

import json
import os
import select
import signal
import stat
import subprocess
import sys
from time import monotonic

import pytest

CONFIG = """\
node:
  tags: {{role: {role}}}
hello:
  realm: {realm}
log:
  level: {level}
"""


def written(role="cpu", realm="default", level="info"):
    return CONFIG.format(role=role, realm=realm, level=level)


CTL = (sys.executable, "-m", "discoveryd.ctl")


def environment(daemon, token=None):
    """Give the environment of a discoveryctl that finds it."""
    return {
        **daemon.environment,
        "DISCOVERYCTL_ADDRESS": f"{daemon.query[0]}:{daemon.query[1]}",
        "DISCOVERYCTL_TOKEN_FILE": str(token or token_file(daemon)),
        "NO_COLOR": "1",
    }


def ctl(daemon, *arguments, token=None):
    """Run discoveryctl against it."""
    return subprocess.run(
        [*CTL, *arguments],
        env=environment(daemon, token), cwd="/", capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def token_file(daemon):
    return os.path.join(daemon.environment["DISCOVERYD_PATHS__RUNTIME"], "control.token")


@pytest.fixture
def daemon(make):
    daemon = make(config=written())
    daemon.run().log_until("discoveryd started")
    return daemon


def test_a_reload_by_socket_names_what_needs_a_restart(daemon, observer):
    boot = daemon.ask("status")["node"]["boot"]
    daemon.config.write_text(written(role="gpu", realm="other"))
    done = ctl(daemon, "reload", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["needs_restart"] == [{"key": "hello.realm", "now": "default", "wanted": "other"}]
    assert dict(observer.until("updated", lambda peer: peer.tags["role"] == "gpu").tags) == {"role": "gpu"}
    assert daemon.ask("status")["node"]["boot"] == boot


def test_a_broken_configuration_is_refused_with_all_its_faults(daemon):
    daemon.config.write_text(written(level="loud") + "querry:\n  listen: off\n")
    done = ctl(daemon, "reload")
    assert done.returncode == 2
    assert f"{daemon.config}:6" in done.stderr
    assert "did you mean query" in done.stderr
    assert daemon.ask("status")["node"]["tags"] == {"role": "cpu"}
    daemon.log_until("the former configuration stays in force")


def test_the_token_is_for_owner_and_group_and_others_are_denied(daemon, tmp_path):
    assert stat.S_IMODE(os.stat(token_file(daemon)).st_mode) == 0o640
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    done = ctl(daemon, "reload", token=wrong)
    assert done.returncode == 2
    assert "this is not the control token" in done.stderr
    assert daemon.ask("status")["query"]["denied"] == 1


def test_two_daemons_of_one_runtime_directory_have_one_token(make, daemon):
    runtime = daemon.environment["DISCOVERYD_PATHS__RUNTIME"]
    other = make(environment={"DISCOVERYD_PATHS__RUNTIME": runtime})
    other.run().log_until("discoveryd started")
    assert ctl(daemon, "reload").returncode == 0
    other.end()
    assert ctl(daemon, "reload").returncode == 0


def test_a_second_daemon_that_cannot_start_keeps_the_token(daemon):
    with open(token_file(daemon)) as file:
        before = file.read()
    again = daemon.command("run")
    assert again.returncode == 1
    with open(token_file(daemon)) as file:
        assert file.read() == before
    assert ctl(daemon, "reload").returncode == 0


def test_a_daemon_without_a_place_for_the_token_runs(make, tmp_path):
    taken = tmp_path / "a-file"
    taken.write_text("")
    daemon = make(environment={"DISCOVERYD_PATHS__RUNTIME": str(taken / "run")}).run()
    assert "set paths.runtime" in daemon.log_until("no control token")[-1]
    done = ctl(daemon, "register", "web", "--port", "80", token=make.__code__.co_filename)
    assert done.returncode == 2
    assert "no control token" in done.stderr


def test_a_service_is_announced_as_long_as_the_command_lives(daemon, observer):
    register = (*CTL, "register", "web", "--port", "8080", "--tag", "v=2", "--", "cat")
    with subprocess.Popen(register, env=environment(daemon), cwd="/", stdin=subprocess.PIPE) as command:
        [service] = observer.until("updated", lambda peer: peer.services).services
        assert (service.name, service.port, dict(service.tags)) == ("web", 8080, {"v": "2"})
        command.stdin.close()  # what lived for some milliseconds alone might never be announced
        assert command.wait(20) == 0
    assert observer.until("updated", lambda peer: not peer.services)


# --- hooks --------------------------------------------------------------------------------------------

HOOK = """#!/bin/sh
cat >> {out}
echo "$DISCOVERYD_EVENT $DISCOVERYD_PEER $DISCOVERYD_ADDRESS"
"""


def hook(daemon, tmp_path):
    directory = daemon.config.parent / "hooks.d"
    directory.mkdir(mode=0o755)
    file = directory / "10-note"
    file.write_text(HOOK.format(out=tmp_path / "out"))
    file.chmod(0o755)


def test_a_hook_hears_of_the_first_peer_and_its_words_are_logged(make, tmp_path, observer):
    daemon = make(config=written())
    hook(daemon, tmp_path)
    daemon.run()
    line = daemon.log_until("hook says")[-1]
    assert "joined observer 127.0.0.200" in line
    [event] = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert (event["event"], event["peer"]["name"]) == ("joined", "observer")
    assert daemon.ask("status")["hooks"]["hooks"] == 1


def test_hooks_that_come_later_are_found(daemon, tmp_path, observer):
    assert "hooks" not in daemon.ask("status")
    hook(daemon, tmp_path)
    until(lambda: daemon.ask("status").get("hooks", {}).get("hooks"))
    observer.discovery.stop()
    assert "left observer 127.0.0.200" in daemon.log_until("hook says")[-1]
    (daemon.config.parent / "hooks.d" / "10-note").chmod(0o777)
    assert "chmod" in daemon.log_until("hook not run")[-1]


def until(holds, timeout=10.0):
    """Ask again and again."""
    deadline = monotonic() + timeout
    while not holds():
        assert monotonic() < deadline, "not in time"
        select.select([], [], [], 0.02)


def test_a_hook_that_hangs_does_not_hold_up_the_goodbye(make, tmp_path, observer):
    daemon = make(config=written())
    hook(daemon, tmp_path)
    pid = tmp_path / "pid"
    (daemon.config.parent / "hooks.d" / "10-note").write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n")
    daemon.run()
    observer.until("joined")
    until(lambda: pid.exists() and pid.read_text().strip())
    daemon.kill(signal.SIGTERM)
    observer.until("left", timeout=1.0)
    assert daemon.process.wait(10) == 0
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}"), "the hook has outlived the daemon"
