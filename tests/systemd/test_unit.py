"""The units as they ship, seen by systemd's own tools where they are; what README says of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
THRESHOLD = 1.5
"""Exposure that systemd-analyze may find, of 10 (issue 4)."""

needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze (Debian package systemd)"
)


def settings(name):
    return [tuple(line.split("=", 1)) for line in (UNITS / name).read_text().splitlines() if re.match("[A-Z]", line)]


def analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )


@needs_analyze
def test_verify_finds_nothing_to_say(tmp_path):
    for name in ("discoveryd.service", "discoveryd.socket"):
        text = (UNITS / name).read_text().replace("/opt/discoveryd/bin/discoveryd", "/bin/true")  # it has to be there
        (tmp_path / name).write_text(text)
    done = analyze("verify", "--man=no", str(tmp_path / "discoveryd.service"), str(tmp_path / "discoveryd.socket"))
    said = [line for line in (done.stdout + done.stderr).splitlines() if "discoveryd" in line]  # not of other units
    assert not said
    assert done.returncode == 0


@needs_analyze
def test_the_exposure_is_below_threshold_and_as_in_readme():
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={THRESHOLD * 10:.0f}", str(UNITS / "discoveryd.service"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"exposure level for discoveryd\.service: ([0-9.]+)", done.stdout)[1]
    for page in ("README.md", "docs/service.md"):
        stated = re.findall(r"exposure (?:of )?\**([0-9.]+[0-9])", (ROOT / page).read_text(encoding="utf-8"))
        assert stated, page
        assert set(stated) == {found}, page


def test_the_daemon_keeps_what_it_cannot_do_without():
    unit = settings("discoveryd.service")
    (families,) = [value for key, value in unit if key == "RestrictAddressFamilies"]
    assert set(families.split()) == {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}
    assert not [key for key, _ in unit if key.startswith("IPAddress")]  # broadcast and loopback would need naming too
    assert dict(unit)["Type"] == "notify"  # notify-reload is not known before 253
    assert "network-online.target" not in dict(unit).values()


def test_the_socket_is_where_programs_ask_by_default():
    from discoveryd.config import QuerySection

    assert dict(settings("discoveryd.socket"))["ListenStream"] == QuerySection().listen
