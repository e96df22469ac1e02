"""``doctor --bundle``: what is in the archive, and what never is."""

import json
import stat
import tarfile
from base64 import b64encode

import pytest

from discoveryd.ctl import bundle, main
from discoveryd.net.sockets import free_port
from discoveryd.query.doctor import report
from tests.ctl.played import Daemon, ask, peers_reply
from tests.query.samples import STATUS, peer

SECRET = b64encode(bytes(range(200, 232))).decode()
MEMBERS = {
    "version.txt", "doctor.json", "status.json", "peers.json", "discoveryd.yaml", "log.txt", "unit.txt", "interfaces.txt",
    "routes.txt", "rules.txt", "neighbours.txt", "firewall.txt", *(f"net/{name}.txt" for name in bundle.COUNTERS),
}  # fmt: skip


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Give the path of an archive, of a machine whose configuration and log hold a key by mistake."""
    config = tmp_path / "discoveryd.yaml"
    config.write_text(f"node: {{name: db1}}\n# {SECRET}\n")
    monkeypatch.setenv("DISCOVERYD_CONFIG", str(config))
    monkeypatch.setattr(bundle, "COMMANDS", {name: ("echo", f"{name} {SECRET}.") for name in bundle.COMMANDS})
    return tmp_path / "report.tar.gz"


def read(path):
    """Give the members of an archive by name, without the folder that all are in."""
    with tarfile.open(path) as opened:
        return {name.partition("/")[2]: opened.extractfile(name).read().decode() for name in opened.getnames()}


def test_it_has_all_that_is_known_and_no_key(capsys, archive):
    answers = [[report(STATUS)], [STATUS], [STATUS], [peers_reply(peer())]]
    with Daemon(answers) as daemon:
        code, out, err = ask(capsys, daemon, "doctor", "--bundle", str(archive))
    assert (code, err) == (0, "")
    assert out.startswith(f"{archive}: {len(MEMBERS)} files, ")
    found = read(archive)
    assert found.keys() == MEMBERS
    assert json.loads(found["doctor.json"])["verdict"] == "healthy"
    assert json.loads(found["status.json"])["node"] == STATUS["node"]
    assert json.loads(found["peers.json"])["peers"][0]["name"] == "alpha"
    assert found["discoveryd.yaml"] == f"node: {{name: db1}}\n# {bundle.REMOVED}\n"
    assert found["log.txt"] == f"log.txt {bundle.REMOVED}.\n"
    assert not any(SECRET in text for text in found.values())
    assert "Udp:" in found["net/snmp.txt"]
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


def test_without_a_daemon_it_has_the_rest(capsys, archive):
    nowhere = f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"
    assert main(["doctor", "--bundle", str(archive), "--address", nowhere]) == 0
    found = read(archive)
    assert found.keys() == MEMBERS
    assert json.loads(found["status.json"])["error"]["code"] == "unreachable"
    assert found["unit.txt"] == f"unit.txt {bundle.REMOVED}.\n"


def test_what_is_not_there_is_named_in_its_place(archive, monkeypatch):
    monkeypatch.setenv("DISCOVERYD_CONFIG", "/nowhere.yaml")
    monkeypatch.setattr(bundle, "COMMANDS", {"log.txt": ("no-such-program",), "unit.txt": ("sleep", "9")})
    monkeypatch.setattr(bundle, "TIMEOUT", 0.05)
    main(["doctor", "--bundle", str(archive), "--address", f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"])
    found = read(archive)
    assert found["discoveryd.yaml"] == "/nowhere.yaml: No such file or directory\n"
    assert found["log.txt"] == "no-such-program: No such file or directory\n"
    assert found["unit.txt"] == "sleep 9: not done after 0.05 s\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [("report.tar.gz", "File exists: choose another name"), ("none/report.tar.gz", "No such file or directory")],
)
def test_a_file_is_never_overwritten(capsys, tmp_path, name, told):
    (tmp_path / "report.tar.gz").write_text("mine")
    path = tmp_path / name
    assert main(["doctor", "--bundle", str(path)]) == 1
    assert capsys.readouterr().err == f"discoveryctl: {path}: {told}\n"
    assert (tmp_path / "report.tar.gz").read_text() == "mine"


def test_names_of_nodes_and_paths_are_no_keys():
    for text in ("/etc/discoveryd/discoveryd.yaml", "5e884898da280471", "id " + "a" * 32):
        assert bundle.without_secrets(text) == text
    assert bundle.without_secrets("key: " + "0f" * 32) == f"key: {bundle.REMOVED}"


def test_half_an_archive_is_not_left(archive, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "without_secrets", interrupt)
    assert main(["doctor", "--bundle", str(archive), "--address", f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"]) == 130
    assert not archive.exists()


def test_output_that_is_no_text_is_shown_as_it_can_be(archive, monkeypatch):
    monkeypatch.setattr(bundle, "COMMANDS", {"log.txt": ("printf", "caf\\351")})
    main(["doctor", "--bundle", str(archive), "--address", f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"])
    assert read(archive)["log.txt"] == "caf\\xe9"


def test_what_is_too_long_is_cut_and_says_so(archive, monkeypatch):
    monkeypatch.setattr(bundle, "COMMANDS", {"log.txt": ("printf", "12345678"), "unit.txt": ("printf", "123456789")})
    monkeypatch.setattr(bundle, "MOST", 8)
    main(["doctor", "--bundle", str(archive), "--address", f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"])
    found = read(archive)
    assert (found["log.txt"], found["unit.txt"]) == ("12345678", f"12345678{bundle.CUT.decode()}")
    assert found["net/snmp.txt"].endswith(bundle.CUT.decode())
