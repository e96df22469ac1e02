"""``discoveryd install`` and ``uninstall``: into a directory, and with a systemd that the test plays."""

import os
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from discoveryd import __version__, install
from discoveryd.daemon import main
from discoveryd.install import environment, kernel, layout, manifest, units
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery

ROOT = Path(__file__).parents[2]
CONFIG = "etc/discoveryd/discoveryd.yaml"
UNIT = "usr/local/lib/systemd/system/discoveryd.service"
PORTS = f"{UNIT}.d/ports.conf"


@pytest.fixture(autouse=True)
def commands(tmp_path, monkeypatch):
    """An environment with the commands in it."""
    directory = tmp_path / "environment/bin"
    directory.mkdir(parents=True)
    for name in ("discoveryd", "discoveryctl"):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    monkeypatch.setattr(environment, "commands", lambda: str(directory))
    return directory


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def run(root, capsys):
    """Run a command on the root; give its exit code and its lines."""

    def run(command, *options):
        code = main([command, "--prefix", str(root), *options])
        return code, capsys.readouterr().out.replace(str(root), "").splitlines()

    return run


def tree(root):
    """Everything in a directory: path to content, target, or nothing."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def did(lines):
    """What was done, by path; notes left out."""
    return {path: what for what, path, *_ in (line.split() for line in lines) if what != "note"}


@pytest.fixture
def shipped(monkeypatch):
    """Have an earlier or later version ship something else."""
    read = layout._read

    def shipped(**contents):
        monkeypatch.setattr(layout, "_read", lambda name: contents.get(Path(name).stem) or read(name))

    return shipped


# --- putting it there -----------------------------------------------------------------------------


def test_all_is_put_in_place_and_said(root, run, commands):
    code, lines = run("install")
    assert code == 0
    put = tree(root)
    assert {f"/{name}" for name in put if name} - set(did(lines)) == {manifest.PATH}
    assert set(did(lines).values()) == {"made"}
    assert f"ExecStart={commands}/discoveryd run\n" in put[UNIT].decode()
    assert put[UNIT.replace(".service", ".socket")] == (ROOT / "systemd/discoveryd.socket").read_bytes()
    assert put[CONFIG] == (ROOT / "config/discoveryd.yaml").read_bytes()
    assert put["usr/local/bin/discoveryctl"] == f"{commands}/discoveryctl"
    assert put["etc/discoveryd/hooks.d"] is None
    assert "etc/discoveryd/services.d/ssh.yaml.example" in put
    assert {path.split("/")[4] for path in put if path.startswith("usr/local/share/man/man")} >= {"man8"}
    assert put["usr/local/lib/sysctl.d/10-discoveryd.conf"] == (ROOT / "config/sysctl.d/10-discoveryd.conf").read_bytes()
    assert "usr/local/share/bash-completion/completions/discoveryd" in put


def test_whatever_the_umask_all_may_read_it(root, run):
    former = os.umask(0o077)
    try:
        run("install")
    finally:
        os.umask(former)
    for path in root.rglob("*"):
        assert path.stat().st_mode & 0o004, path
        assert path.is_file() or path.stat().st_mode & 0o001, path


def test_a_second_time_changes_nothing(root, run):
    run("install")
    before = {name: (root / name).lstat().st_mtime_ns for name in tree(root)}
    code, lines = run("install")
    assert code == 0
    assert set(did(lines).values()) == {"unchanged"}
    assert {name: (root / name).lstat().st_mtime_ns for name in tree(root)} == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_dry_run_says_the_same_and_does_nothing(root, run, command):
    if command == "uninstall":
        run("install")
    before = tree(root)
    _, said = run(command, "--dry-run")
    assert tree(root) == before
    assert said.pop().endswith("this was a dry run: nothing has been changed")
    assert run(command)[1] == said


def test_an_unedited_configuration_is_replaced(root, run, shipped):
    shipped(discoveryd=b"# of an earlier version\n")
    run("install")
    shipped()
    assert did(run("install")[1])[f"/{CONFIG}"] == "replaced"
    assert (root / CONFIG).read_bytes() == (ROOT / CONFIG.replace("etc/discoveryd", "config")).read_bytes()


def test_an_edited_configuration_stays_and_each_new_default_comes_beside_it_once(root, run, shipped):
    run("install")
    (root / CONFIG).write_text("node: {name: mine}\n")
    beside = root / f"{CONFIG}.new"
    assert did(run("install")[1])[f"/{CONFIG}"] == "kept"
    assert not beside.exists()  # the default is the one that was edited
    shipped(discoveryd=b"# a later default\n")
    _, lines = run("install")
    assert f"kept      /{CONFIG}  (it was edited; the new default is /{CONFIG}.new)" in lines
    assert beside.read_bytes() == b"# a later default\n"
    beside.unlink()  # merged by hand
    run("install")
    assert not beside.exists()
    assert (root / CONFIG).read_text() == "node: {name: mine}\n"


def test_a_configuration_from_before_counts_as_edited(root, run):
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("log: {level: debug}\n")
    assert did(run("install")[1])[f"/{CONFIG}.new"] == "made"
    assert (root / CONFIG).read_text() == "log: {level: debug}\n"


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_command_of_somebody_else_stays(root, run, what):
    path = root / "usr/local/bin/discoveryctl"
    path.parent.mkdir(parents=True)
    path.symlink_to("/bin/true") if what == "link" else path.write_text("#!/bin/sh\n")
    before = tree(root)
    assert did(run("install")[1])["/usr/local/bin/discoveryctl"] == "kept"
    run("uninstall")
    assert tree(root)["usr/local/bin/discoveryctl"] == before["usr/local/bin/discoveryctl"]


def test_a_link_into_an_environment_that_is_gone_is_taken_over(root, run):
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/bin/discoveryd").symlink_to("/opt/gone/bin/discoveryd")
    assert did(run("install")[1])["/usr/local/bin/discoveryd"] == "replaced"


def test_another_environment_takes_over(root, run, commands, monkeypatch):
    run("install")
    monkeypatch.setattr(environment, "commands", lambda: "/opt/second/bin")
    done = did(run("install")[1])
    assert {path for path, what in done.items() if what == "replaced"} == {
        f"/{UNIT}", "/usr/local/bin/discoveryd", "/usr/local/bin/discoveryctl",
    }  # fmt: skip
    assert run("uninstall")[0] == 0
    assert not (root / "usr").exists()


def test_what_a_version_no_longer_has_is_removed(root, run, monkeypatch):
    run("install")
    monkeypatch.setattr(layout, "_completions", list)
    removed = {path for path, what in did(run("install")[1]).items() if what == "removed"}
    assert "/usr/local/share/bash-completion/completions/discoveryd" in removed
    run("uninstall")
    assert not (root / "usr").exists()


def test_into_the_systems_own_python_no_links_are_needed(root, run, monkeypatch):
    monkeypatch.setattr(environment, "commands", lambda: "/usr/local/bin")
    run("install")
    assert not (root / "usr/local/bin").exists()


def test_a_failure_half_way_says_where_and_can_be_undone(root, run, capsys):
    (root / "usr/local/share").mkdir(parents=True)
    (root / "usr/local/share/man").write_text("in the way")
    assert main(["install", "--prefix", str(root)]) == 1
    assert capsys.readouterr().err == f"discoveryd: {root}/usr/local/share/man: File exists\n"
    assert (root / UNIT).exists()
    assert run("uninstall")[0] == 0
    assert not (root / UNIT).exists()


# --- taking it away -------------------------------------------------------------------------------


def test_uninstall_leaves_the_configuration_and_what_was_there_before(root, run):
    (root / "usr/local/share/man").mkdir(parents=True)
    (root / "usr/local/share/man/other.1").write_text("")
    before = tree(root)
    run("install")
    code, lines = run("uninstall")
    assert code == 0
    assert f"kept      /{CONFIG}  (the configuration is yours)" in lines
    assert {name for name in tree(root) if name not in before} == {"etc", "etc/discoveryd", CONFIG}
    assert all(name in tree(root) for name in before)


def test_uninstall_leaves_hooks_and_what_was_changed(root, run):
    run("install")
    hook = root / "etc/discoveryd/hooks.d/mail"
    hook.write_text("#!/bin/sh\n")
    (root / UNIT).write_text("[Service]\n")
    lines = run("uninstall")[1]
    assert hook.exists()
    assert f"kept      /{UNIT}  (it was changed since)" in lines
    assert "kept      /etc/discoveryd/hooks.d  (it holds mail)" in lines


def test_uninstall_where_nothing_is(root, run):
    code, lines = run("uninstall")
    assert code == 0
    assert lines == [f"note      nothing is installed here: there is no {manifest.PATH}"]
    assert not tree(root)


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": [{}]}', '{"entries": [{"path": "/x", "sort": 1}]}'])
def test_a_damaged_list_is_told_with_what_to_do(root, run, capsys, text):
    run("install")
    (root / manifest.PATH.lstrip("/")).write_text(text)
    for command in ("install", "uninstall"):
        assert main([command, "--prefix", str(root)]) == 1
        assert "installed.json is damaged" in capsys.readouterr().err
    assert (root / UNIT).exists()


# --- firewalls ------------------------------------------------------------------------------------


def test_profiles_are_put_where_their_firewall_is(root, run):
    (root / "etc/ufw/applications.d").mkdir(parents=True)
    put = set(did(run("install")[1]))
    assert "/etc/ufw/applications.d/discoveryd" in put
    assert not any("firewalld" in path for path in put)
    (root / "etc/firewalld/services").mkdir(parents=True)
    assert did(run("install")[1])["/etc/firewalld/services/discoveryd.xml"] == "made"


def test_the_profiles_open_the_port_of_the_hellos():
    port = str(Parameters().port)
    assert f"ports={port}/udp\n" in (ROOT / "config/ufw/discoveryd").read_text()
    opened = ET.parse(ROOT / "config/firewalld/discoveryd.xml").findall("port")
    assert [one.attrib for one in opened] == [{"protocol": "udp", "port": port}]


def test_units_go_into_the_wheel():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    files = {file for files in named.values() for file in files}
    assert {f"systemd/{file.name}" for file in (ROOT / "systemd").iterdir()} <= files


# --- the ports of the service ---------------------------------------------------------------------


def allowed(root):
    return [line.partition("=")[2] for line in (root / PORTS).read_text().splitlines() if line.startswith("SocketBindAllow=")]


def test_the_ports_of_the_configuration_may_be_bound_and_no_other(root, run):
    assert did(run("install")[1])[f"/{PORTS}"] == "made"
    assert allowed(root) == ["", "udp:3400", "tcp:3400"]
    (root / CONFIG).write_text("hello: {port: 3401}\nquery: {listen: off}\nmetrics: {listen: '127.0.0.1:9341'}\n")
    assert did(run("install")[1])[f"/{PORTS}"] == "replaced"
    assert allowed(root) == ["", "udp:3401", "tcp:9341"]
    run("uninstall")
    assert not (root / "usr").exists()


def test_a_wrong_configuration_leaves_the_ports_as_they_are(root, run):
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("hello: {port: x}\n")
    _, lines = run("install")
    assert f"note      the ports of the service stay: discoveryd check says what is wrong with /{CONFIG}" in lines
    assert not (root / PORTS).exists()
    (root / CONFIG).write_text("hello: {port: 3401}\n")
    run("install")
    (root / CONFIG).write_text("hello: {port: x}\n")
    assert did(run("install")[1][1:])[f"/{PORTS}"] == "unchanged"
    assert allowed(root) == ["", "udp:3401", "tcp:3400"]


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_only_root_may(monkeypatch, capsys, command):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main([command]) == 1
    assert f"discoveryd: {command} needs root" in capsys.readouterr().err


def test_now_is_for_this_machine_only(root, capsys):
    assert main(["install", "--now", "--prefix", str(root)]) == 2
    assert "--prefix leaves it alone" in capsys.readouterr().err
    assert not tree(root)


def test_without_systemd_it_says_what_else_there_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(units, "BOOTED", str(tmp_path / "no"))
    assert main(["install"]) == 1
    said = capsys.readouterr().err
    assert "systemd does not run this machine" in said
    assert "discoveryd start" in said


def test_an_environment_that_the_sandbox_hides_is_refused(monkeypatch, tmp_path, capsys, commands):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(units, "BOOTED", str(tmp_path))
    monkeypatch.setattr(environment, "_HIDDEN", ((str(tmp_path), "PrivateTmp="),))
    assert main(["install"]) == 1
    said = capsys.readouterr().err
    assert f"the service cannot reach {commands}/discoveryd: PrivateTmp= of its unit hides {tmp_path}" in said
    assert "python3 -m venv /opt/discoveryd" in said


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("/home/anna/venv/bin/discoveryd", "ProtectHome="),
        ("/root/venv/bin/discoveryd", "ProtectHome="),
        ("/tmp/venv/bin/discoveryd", "PrivateTmp="),
        ("/var/tmp/venv/bin/discoveryd", "PrivateTmp="),
    ],
)
def test_the_unit_hides(path, setting):
    assert f"cannot reach {path}: {setting}" in environment.obstacle(path)
    assert f"\n{setting}yes\n" in (ROOT / "systemd/discoveryd.service").read_text()


def test_what_the_services_user_may_not_read_is_an_obstacle(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_HIDDEN", ())
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & 0o001:  # pytest's own directories are for their user alone
            assert f"cannot enter {path}," in environment.obstacle(str(tmp_path / "file"))
            break
    mode = os.stat("/etc").st_mode
    assert environment.obstacle("/etc/passwd") == ""
    monkeypatch.setattr(environment, "_mode", lambda path: 0o640 if path == "/etc/passwd" else mode)
    assert environment.obstacle("/etc/passwd") == "the service's user cannot read /etc/passwd"
    monkeypatch.setattr(environment, "_mode", lambda path: 0o750 if path == "/etc" else mode)
    assert "cannot enter /etc, needed for /etc/passwd" in environment.obstacle("/etc/passwd")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda bin: os.chown(bin, 1234, 0), "uid 1234, who owns it, may change {bin}"),
        (lambda bin: os.chown(bin / "discoveryd", 1234, 0), "uid 1234, who owns it, may change {bin}/discoveryd"),
        (lambda bin: bin.parent.chmod(0o777), "everybody may change {bin.parent}"),
        (lambda bin: (os.chown(bin, 0, 4242), bin.chmod(0o775)), "the group 4242 may change {bin}"),
        (lambda bin: bin.chmod(0o1777), None),  # sticky: nobody replaces what is root's
        (lambda bin: bin.chmod(0o775), None),  # the group is root's
    ],
)
def test_an_environment_that_others_may_write_is_an_obstacle(commands, monkeypatch, spoil, told):
    monkeypatch.setattr(environment, "_HIDDEN", ())
    assert environment.intruder(f"{commands}/discoveryd") == ""
    spoil(commands)
    found = environment.intruder(f"{commands}/discoveryd")
    if told is None:
        assert found == ""
        return
    place = told.format(bin=commands)
    assert found.startswith(f"{place}, and root would run it: chown -R root:root ")
    assert found in environment.obstacles()


def test_an_environment_without_the_command_or_with_an_odd_path_is_refused(commands, monkeypatch, tmp_path):
    (odd := tmp_path / "my environment").mkdir()
    (odd / "discoveryd").write_text("")
    monkeypatch.setattr(environment, "commands", lambda: str(odd))
    assert "a unit cannot name" in environment.obstacles()[0]
    (odd / "discoveryd").unlink()
    assert "install the package into this environment first" in environment.obstacles()[0]


# --- with a systemd -------------------------------------------------------------------------------

SYSTEMCTL = r"""#!/bin/sh
for unit; do :; done
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
    monkeypatch.setattr(units, "BOOTED", str(directory))
    (limit := directory / "proc/net/core/rmem_max").parent.mkdir(parents=True)
    limit.write_text("4194304\n")
    monkeypatch.setattr(kernel, "PROC", str(directory / "proc"))
    monkeypatch.setattr(environment, "_HIDDEN", ())
    monkeypatch.setattr(environment, "obstacle", lambda path: "")
    monkeypatch.setattr(environment, "intruder", lambda path: "")
    monkeypatch.setattr(install, "_root", lambda arguments: str(root))
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("query: {listen: off}\n")
    return Systemd(directory)


def test_install_alone_starts_nothing(systemd, capsys):
    assert main(["install"]) == 0
    assert systemd.asked() == ["daemon-reload"]
    assert "to start it: systemctl enable --now discoveryd" in capsys.readouterr().out


def test_now_enables_and_starts_and_a_second_time_leaves_it_running(systemd, capsys):
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == ["daemon-reload", "enable discoveryd.service", "start discoveryd.service"]
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == []
    assert "unchanged discoveryd.service  (enabled and active)" in capsys.readouterr().out


def test_a_changed_unit_is_taken_over(systemd, shipped):
    main(["install", "--now"])
    systemd.asked()
    shipped(discoveryd=b"ExecStart=/opt/discoveryd/bin/discoveryd run --other\n")
    assert main(["install", "--now"]) == 0
    assert systemd.asked() == ["daemon-reload", "restart discoveryd.service"]


@pytest.mark.parametrize("version", [__version__, "0.0.9"])
def test_it_is_restarted_only_where_another_version_runs(systemd, root, monkeypatch, capsys, version):
    port, query = free_port("127.0.0.1", "udp"), ("127.0.0.1", free_port("127.0.0.1", "tcp"))
    (root / CONFIG).write_text(f"query: {{listen: '127.0.0.1:{query[1]}'}}\n")
    monkeypatch.setattr(install, "__version__", version)
    with Discovery(Parameters(port=port, loopback="127.0.0.1"), name="anna", query=query):
        Path(f"{systemd.state}.discoveryd.service").touch()
        main(["install"])
        systemd.asked()
        assert main(["install", "--now"]) == 0
    assert systemd.asked() == ([] if version == __version__ else ["restart discoveryd.service"])
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"discoveryd {version} is active as anna: no peers yet")


def test_the_socket_holds_the_query_port_where_it_is_wanted(systemd, root, capsys):
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
def test_the_receive_buffer_is_allowed_at_once_and_nothing_is_lowered(systemd, capsys, found, is_raised):
    limit = Path(kernel.PROC) / "net/core/rmem_max"
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


def test_where_the_kernel_is_anothers_the_rest_is_installed(systemd, capsys):
    limit = Path(kernel.PROC) / "net/core/rmem_max"
    limit.unlink()
    assert main(["install"]) == 0
    assert f"note      {limit} cannot be set (No such file or directory): HELLOs are lost" in capsys.readouterr().out


def test_uninstall_stops_disables_and_cleans(systemd, root, capsys):
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


def test_what_systemd_refuses_is_told_and_nothing_is_removed(systemd, root, capsys):
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
