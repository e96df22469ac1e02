"""``discoveryd install --copy``: this environment, copied to where the service can reach it."""

import os
import subprocess
import sys
import sysconfig

import pytest

from discoveryd.daemon import main
from discoveryd.install import environment, machine

MAIN = """\
import sys
def main():
    print("copied", *sys.argv[1:])
    return 5
"""
LIBRARY = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """An environment as uv makes it, and a place for its copy."""
    made = tmp_path / "tools/discoveryd"
    for name in ("bin", f"{LIBRARY}/discoveryd", "share/discoveryd/docs"):
        (made / name).mkdir(parents=True)
    (made / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    (made / LIBRARY / "discoveryd/__init__.py").write_text("")
    (made / LIBRARY / "discoveryd/daemon.py").write_text(MAIN)
    (made / LIBRARY / "discoveryd/daemon.py").chmod(0o600)
    (made / "share/discoveryd/docs/keys.md").write_text("# Keys\n")
    body = "import sys\nfrom discoveryd.daemon import main\nsys.exit(main())\n"
    for name in environment.COMMANDS:
        (made / "bin" / name).write_text(f"#!{made}/bin/python3\n{body}")
    monkeypatch.setattr(environment, "PLACE", str(tmp_path / "opt/discoveryd"))
    monkeypatch.setattr(environment, "PACKAGE", str(made / LIBRARY / "discoveryd"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(made / {"purelib": LIBRARY, "scripts": "bin"}[name]))
    monkeypatch.setattr(sys, "prefix", str(made))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(machine, "obstacle", lambda path: "")
    monkeypatch.setattr(machine, "intruder", lambda path: "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "pycache_prefix", None)  # byte code lies beside its source, as it does without this run
    return tmp_path / "opt/discoveryd"


def run(command):
    return subprocess.run([command, "install", "--now"], capture_output=True, text=True, check=False, cwd="/")


def test_the_copy_installs_itself(source, place, capfd):
    former = os.umask(0o077)
    try:
        assert main(["install", "--copy", "--now", "--socket"]) == 5
    finally:
        os.umask(former)
    assert capfd.readouterr().out == f"copied    {place}  (from {source})\ncopied install --now --socket\n"
    source.rename(source.with_name("gone"))
    done = run(place / "bin/discoveryctl")
    assert (done.returncode, done.stdout, done.stderr) == (5, "copied install --now\n", "")
    assert (place / "share/discoveryd/docs/keys.md").read_text() == "# Keys\n"
    assert list((place / LIBRARY / "discoveryd/__pycache__").glob("daemon.*.pyc"))
    for path in place.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o044 == 0o044, path
            assert not path.stat().st_mode & 0o022, path


def test_a_later_copy_takes_the_place_of_the_former(source, place):
    environment.copy()
    (source / LIBRARY / "discoveryd/daemon.py").write_text(MAIN.replace("copied", "later"))
    environment.copy()
    assert run(place / "bin/discoveryd").stdout == "later install --now\n"
    assert [path.name for path in place.parent.iterdir()] == ["discoveryd"]


def test_a_copy_that_fails_leaves_the_former(source, place):
    environment.copy()
    (source / "bin/discoveryctl").unlink()
    with pytest.raises(FileNotFoundError):
        environment.copy()
    assert run(place / "bin/discoveryd").stdout == "copied install --now\n"
    assert [path.name for path in place.parent.iterdir()] == ["discoveryd"]


def test_a_dry_run_copies_nothing(place, capsys):
    assert main(["install", "--copy", "--dry-run"]) == 0
    assert f"copied    {place}" in capsys.readouterr().out
    assert not place.exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("own", "is no environment of its own"),
        ("copy", "this is the copy in"),
        ("editable", "an editable installation cannot be copied"),
        ("hidden", "uv tool install --python /usr/bin/python3"),
        ("theirs", "is there already, and no copy of this command"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_a_remedy(source, place, monkeypatch, capsys, what, said):
    if what == "own":
        monkeypatch.setattr(sys, "base_prefix", str(source))
    elif what == "copy":
        monkeypatch.setattr(sys, "prefix", str(place))
    elif what == "editable":
        monkeypatch.setattr(environment, "PACKAGE", "/root/checkout/discoveryd")
    elif what == "hidden":
        monkeypatch.setattr(machine, "obstacle", lambda path: f"the service cannot reach {path}")
    else:
        place.mkdir(parents=True)
    assert main(["install", "--copy"]) == 1
    assert said in capsys.readouterr().err
    assert not (place / "bin").exists()


def test_a_copy_and_a_prefix_exclude_each_other(tmp_path, capsys):
    assert main(["install", "--copy", "--prefix", str(tmp_path)]) == 2
    assert "--prefix leaves it alone" in capsys.readouterr().err


def test_an_environment_that_is_hidden_is_told_of_the_copy(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "BOOTED", str(tmp_path))
    monkeypatch.setattr(machine, "obstacles", lambda: ["hidden"])
    assert main(["install", "--now"]) == 1
    assert f"discoveryd install --copy copies this environment to {environment.PLACE}" in capsys.readouterr().err
