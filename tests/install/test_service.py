"""``install --now``, ``--socket`` and ``uninstall``, with a systemd that the test plays."""

import os
from pathlib import Path

import pytest

from discoveryd import __version__, install
from discoveryd.daemon import main
from discoveryd.install import machine, service
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from tests.install.test_install import tree

ROOT = Path(__file__).parents[2]
CONFIG = "etc/discoveryd/discoveryd.yaml"
UNIT = "usr/local/lib/systemd/system/discoveryd.service"
PORTS = f"{UNIT}.d/ports.conf"


# --- with a systemd -------------------------------------------------------------------------------

SYSTEMCTL = r"""#!/bin/sh
for unit; do :; done
case "$*" in *InvocationID*) echo 2f6c1d0a ;; esac
case "$*" in *is-active*|*is-enabled*) test -e {state}.$unit; exit ;; esac
shift
echo "$*" >> {log}
case "$*" in
    *"$(cat {refused})"*) echo "Job for $2 failed." >&2; exit 1 ;;
    start*|enable\ --now*) touch {state}.$unit ;;
    stop*) rm {state}.$unit ;;
esac
"""


class Systemd:
    def __init__(self, directory):
        self.log = directory / "systemctl.log"
        self.state = directory / "systemctl.state"
        self.refused = directory / "systemctl.refused"
        self.refused.write_text("nothing")
        for name, text in (("systemctl", SYSTEMCTL.format(**vars(self))), ("journalctl", "#!/bin/sh\necho port taken\n")):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    def asked(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def systemd(tmp_path, monkeypatch, root):
    """A machine whose files are in `root`, and what systemd was asked there."""
    (directory := tmp_path / "systemd").mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "BOOTED", str(directory))
    (limit := directory / "proc/net/core/rmem_max").parent.mkdir(parents=True)
    limit.write_text("4194304\n")
    monkeypatch.setattr(machine, "PROC", str(directory / "proc"))
    monkeypatch.setattr(machine, "HIDDEN", ())
    monkeypatch.setattr(machine, "obstacle", lambda path: "")
    monkeypatch.setattr(machine, "intruder", lambda path: "")
    monkeypatch.setattr(install, "root_of", lambda arguments: str(root))
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("query: {listen: off}\n")
    return Systemd(directory)


def test_install_alone_starts_nothing(systemd, capsys):
    assert main(["install"]) == 0
    assert systemd.asked() == ["daemon-reload"]
    assert "to start it: systemctl enable --now discoveryd" in capsys.readouterr().out


def test_now_enables_and_starts_once(systemd, capsys):
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == ["daemon-reload", "enable discoveryd.service", "start discoveryd.service"]
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == []
    assert "unchanged discoveryd.service  (enabled and active)" in capsys.readouterr().out


def test_a_changed_unit_restarts_the_service(systemd, shipped):
    main(["install", "--now"])
    systemd.asked()
    shipped(discoveryd=b"ExecStart=/opt/discoveryd/bin/discoveryd run --other\n")
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == ["daemon-reload", "restart discoveryd.service"]


@pytest.mark.parametrize("version", [__version__, "0.0.9"])
def test_the_service_is_restarted_if_another_version_runs(systemd, root, monkeypatch, capsys, version):
    port, query = free_port("127.0.0.1", "udp"), ("127.0.0.1", free_port("127.0.0.1", "tcp"))
    (root / CONFIG).write_text(f"query: {{listen: '127.0.0.1:{query[1]}'}}\n")
    monkeypatch.setattr(service, "__version__", version)
    with Discovery(Parameters(port=port, loopback="127.0.0.1"), name="anna", query=query):
        Path(f"{systemd.state}.discoveryd.service").touch()
        main(["install"])
        systemd.asked()
        (root / "run").mkdir()
        assert main(["install", "--now"]) == 0
    asked, note = systemd.asked(), root / "run/discoveryd.upgrade"
    assert [line for line in asked if "InvocationID" not in line] == ([] if version == __version__ else ["restart discoveryd.service"])
    assert note.exists() == (version != __version__)
    assert version == __version__ or note.read_text() == "2f6c1d0a\n"
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"discoveryd {version} is active as anna: no peers yet")


def test_with_socket_systemd_holds_the_query_port(systemd, root, capsys):
    (root / CONFIG).write_text("log: {level: info}\n")
    assert main(["install", "--socket"]) == 0
    assert "to start it: systemctl enable --now discoveryd.socket discoveryd" in capsys.readouterr().out
    (root / CONFIG).write_text("query: {listen: off}\n")  # nobody answers here
    systemd.asked()
    assert main(["install", "--now"]) == 0
    systemd.asked()
    assert main(["install", "--now", "--socket"]) == 0
    assert systemd.asked() == [
        "stop discoveryd.service", "enable --now discoveryd.socket", "enable discoveryd.service", "start discoveryd.service",
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "discoveryd.socket listens at 127.0.0.1:3400, which takes the place of query.listen (off)" in said
    assert main(["install", "--now", "--socket"]) == 0
    assert systemd.asked() == []


def test_other_ports_restart_the_service(systemd, root):
    main(["install", "--now"])
    systemd.asked()
    (root / CONFIG).write_text("query: {listen: off}\nhello: {port: 3401}\n")
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == ["daemon-reload", "restart discoveryd.service"]


def test_a_start_that_fails_shows_the_journal(systemd, capsys):
    systemd.refused.write_text("start")
    assert main(["install", "--now"]) == 1
    shown = capsys.readouterr()
    assert "systemctl start discoveryd.service: Job for discoveryd.service failed.; the journal says:" in shown.err
    assert shown.out.endswith("port taken\n")


def test_a_wrong_configuration_is_told_before_the_start(systemd, root, capsys):
    (root / CONFIG).write_text("hello:\n  intervall: 1s\n")
    assert main(["install", "--now"]) == 2
    assert "discoveryd.yaml:2: unknown key hello.intervall" in capsys.readouterr().err
    assert systemd.asked() == ["daemon-reload"]


def test_a_dry_run_asks_nothing_of_systemd(systemd, root, capsys):
    assert main(["install", "--now", "--dry-run"]) == 0
    assert "ran       systemctl start discoveryd.service" in capsys.readouterr().out
    assert systemd.asked() == []
    assert set(tree(root)) == {"etc", "etc/discoveryd", CONFIG}


@pytest.mark.parametrize(("found", "is_raised"), [(212_992, True), (4_194_304, False), (16_777_216, False)])
def test_the_receive_buffer_limit_is_raised_and_never_lowered(systemd, capsys, found, is_raised):
    limit = Path(machine.PROC) / "net/core/rmem_max"
    limit.write_text(f"{found}\n")
    assert main(["install", "--dry-run"]) == 0
    assert int(limit.read_text()) == found
    said = capsys.readouterr().out
    assert main(["install"]) == 0
    assert int(limit.read_text()) == max(found, 4_194_304)
    for text in (said, capsys.readouterr().out):
        assert ("raised    net.core.rmem_max  (from 212992 to 4194304)" in text) == is_raised
    assert main(["install"]) == 0
    assert "raised" not in capsys.readouterr().out


def test_a_limit_that_cannot_be_set_does_not_stop_the_install(systemd, capsys):
    limit = Path(machine.PROC) / "net/core/rmem_max"
    limit.unlink()
    assert main(["install"]) == 0
    assert f"note      {limit} cannot be set (No such file or directory): HELLOs are lost" in capsys.readouterr().out


def test_uninstall_stops_disables_and_cleans_the_service(systemd, root, capsys):
    main(["install", "--now"])
    systemd.asked()
    (state := root / "var/lib/discoveryd").mkdir(parents=True)
    (state / "node-id").write_text("0123456789abcdef\n")
    capsys.readouterr()
    assert main(["uninstall"]) == 0
    assert systemd.asked() == [
        "disable --now discoveryd.socket", "disable --now discoveryd.service",
        "clean --what=state discoveryd.service", "daemon-reload",
    ]  # fmt: skip
    assert "its node id 0123456789abcdef was chosen by reset-id: set node.id to keep it" in capsys.readouterr().out
    assert not (root / "usr").exists()


def test_a_unit_removed_by_hand_does_not_stop_an_uninstall(systemd, root):
    main(["install"])
    (root / UNIT).unlink()
    systemd.asked()
    assert main(["uninstall"]) == 0
    assert systemd.asked() == ["disable --now discoveryd.socket", "daemon-reload"]


def test_a_refusal_of_systemd_is_told_and_nothing_is_removed(systemd, root, capsys):
    main(["install"])
    systemd.refused.write_text("clean")
    assert main(["uninstall"]) == 1
    assert "discoveryd: systemctl clean --what=state discoveryd.service: Job for" in capsys.readouterr().err
    assert (root / UNIT).exists()


def test_the_command_that_opens_the_port_is_named(systemd, root, capsys):
    (root / "etc/ufw/applications.d").mkdir(parents=True)
    main(["install"])
    assert "ufw is here; to let the HELLOs through: ufw allow discoveryd" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_an_empty_prefix_is_not_this_machine(command, capsys):
    assert main([command, "--prefix", ""]) == 2
    assert "leave --prefix out for this machine" in capsys.readouterr().err
