"""Why the daemon is stopped: what the unit writes down of the jobs of systemd, and what the goodbye says then."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from discoveryd.daemon import goodbye
from discoveryd.daemon.goodbye import goodbye_reason, reason_of

UNIT = Path(__file__).parents[2] / "systemd/discoveryd.service"
RUN, OTHER = "2f6c1d0a9b8e47f5a3c2d1e0f9a8b7c6", "00000000000000000000000000000001"
STOPPED = "  901 discoveryd.service stop running\n"
"""As `systemctl list-jobs --no-legend` prints it."""


def jobs(*units, run=RUN):
    return f"discoveryd.service {run}\n" + "".join(f" {number} {words}\n" for number, words in enumerate(units, 90))


@pytest.mark.parametrize(
    ("queued", "reason"),
    [
        (("discoveryd.service stop running",), "stop"),
        (("discoveryd.service    restart running",), "restart"),
        (("discoveryd.service try-restart running",), "restart"),
        (("reboot.target start waiting", "discoveryd.service stop running", "shutdown.target start waiting"), "reboot"),
        (("kexec.target start waiting",), "reboot"),
        (("soft-reboot.target start waiting",), "reboot"),
        (("poweroff.target start waiting",), "poweroff"),
        (("halt.target start waiting",), "poweroff"),
        (("reboot.target stop running", "shutdown.target start waiting"), "stop"),
        (("other.service restart running", "discoveryd.service stop running"), "stop"),
        (("discoveryd.service",), "stop"),
        ((), "stop"),
    ],
)
def test_what_systemd_is_about_to_do_is_the_reason(queued, reason):
    assert reason_of(jobs(*queued), RUN, "") == reason


@pytest.mark.parametrize("text", ["", "\n", "discoveryd.service", jobs("reboot.target start waiting", run=OTHER), "\0\ufffd"])
def test_what_was_written_for_another_run_is_no_reason(text):
    assert reason_of(text, RUN, "") == "stop"


@pytest.mark.parametrize(("replaced", "reason"), [(RUN, "upgrade"), (f"{RUN}\n", "upgrade"), (OTHER, "restart"), ("", "restart")])
def test_a_restart_in_another_version_is_an_upgrade(replaced, reason):
    assert reason_of(jobs("discoveryd.service restart running"), RUN, replaced) == reason
    assert reason_of(jobs("discoveryd.service stop running"), RUN, replaced) == "stop"
    assert reason_of(jobs("reboot.target start waiting"), RUN, replaced) == "reboot"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(goodbye, "JOBS", str(tmp_path / "jobs"))
    monkeypatch.setattr(goodbye, "UPGRADE", str(tmp_path / "upgrade"))
    monkeypatch.setenv("INVOCATION_ID", RUN)
    return tmp_path


def test_without_systemd_there_is_no_reason(files, monkeypatch):
    assert goodbye_reason() == "stop"
    (files / "jobs").write_text(jobs("reboot.target start waiting"))
    assert goodbye_reason() == "reboot"
    monkeypatch.delenv("INVOCATION_ID")
    assert goodbye_reason() == "stop"


def test_a_file_that_somebody_else_could_have_made_is_no_reason(files):
    (files / "real").write_text(jobs("reboot.target start waiting"))
    (files / "jobs").symlink_to("real")
    assert goodbye_reason() == "stop"
    (files / "jobs").unlink()
    os.mkfifo(files / "jobs")
    assert goodbye_reason() == "stop"  # and a pipe is not waited for


@pytest.mark.parametrize(("pid", "reason"), [("4711", "restart"), ("", "stop")])
def test_the_unit_writes_down_what_the_daemon_reads(files, pid, reason):
    """Run ``ExecStop=`` as systemd would, with a systemctl that the test plays."""
    (command,) = re.findall(r"^ExecStop=-\+/bin/sh -c '(.*)'$", UNIT.read_text(), re.MULTILINE)
    for written, meant in (("$$", "$"), ("%n", "discoveryd.service"), ("/run/discoveryd.jobs", str(files / "jobs"))):
        assert written in command
        command = command.replace(written, meant)
    (files / "systemctl").write_text('#!/bin/sh\n[ "$*" = "list-jobs --no-legend" ] && echo "1 discoveryd.service  restart running"\n')
    (files / "systemctl").chmod(0o755)
    environment = {"PATH": f"{files}:{os.environ['PATH']}", "INVOCATION_ID": RUN} | ({"MAINPID": pid} if pid else {})
    subprocess.run(["/bin/sh", "-c", command], env=environment, check=True, timeout=20)
    assert goodbye_reason() == reason
