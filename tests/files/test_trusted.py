"""Files of a less trusted user: none of them makes a command of root read, write or end what is not ours."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from discoveryd.config import Config, SecuritySection
from discoveryd.daemon import identity, keys, main
from discoveryd.daemon.commands import hold
from discoveryd.errors import ConfigError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.protocol.sealed.keyring import Key

NOBODY = 65534
SECRET = "root:$6$not for everybody\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """The directory of a daemon whose user is not us, as the configuration has it."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    os.chmod(tmp_path, 0o755)
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    monkeypatch.setenv("DISCOVERYD_PATHS__STATE", str(directory))
    monkeypatch.setenv("DISCOVERYD_PATHS__RUNTIME", str(directory))
    monkeypatch.setenv("DISCOVERYD_QUERY__LISTEN", "off")
    monkeypatch.setenv("DISCOVERYD_HELLO__LOOPBACK", "127.0.0.77")
    monkeypatch.setattr(identity, "MACHINE_ID", str(tmp_path / "none"))
    return directory


@pytest.fixture
def precious(tmp_path):
    path = tmp_path / "precious"
    path.write_text(SECRET)
    return path


# --- what root runs in the daemon's directories ---------------------------------------------------------


def test_reset_id_does_not_write_through_a_link(theirs, precious, capsys):
    (theirs / "node-id").symlink_to(precious)
    assert main(["reset-id"]) == 1
    assert capsys.readouterr().err == (
        f"discoveryd: cannot write to {theirs}: it is a symbolic link; "
        "a link is not followed here: remove it, or name its target\n"
    )
    assert precious.read_text() == SECRET
    assert os.listdir(theirs) == ["node-id"]


@needs_root
def test_an_id_that_root_chose_belongs_to_the_daemon(theirs):
    before = os.umask(0o077)
    try:
        fresh = identity.reset(str(theirs))
    finally:
        os.umask(before)
    found = (theirs / "node-id").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, NOBODY, 0o644)
    assert identity.kept(str(theirs)) == (fresh, "")


def test_start_does_not_truncate_what_a_link_leads_to(theirs, precious, capsys):
    (theirs / "discoveryd.pid").symlink_to(precious)
    assert main(["start"]) == 1
    assert "discoveryd.pid: it is a symbolic link; a link is not followed" in capsys.readouterr().err
    assert precious.read_text() == SECRET
    with pytest.raises(UntrustedFile), hold(str(theirs / "discoveryd.pid")):  # as the forked child would
        pass
    assert precious.read_text() == SECRET


def test_start_does_not_truncate_a_file_with_two_names(theirs, precious):
    os.link(precious, theirs / "discoveryd.pid")
    with pytest.raises(UntrustedFile, match="has another name too"), hold(str(theirs / "discoveryd.pid")):
        pass
    assert precious.read_text() == SECRET


@pytest.fixture
def holding(theirs):
    """Start processes that hold the lock of the pid file, and have the pid of another one in it."""
    started = []

    def hold(pid, owner):
        path = theirs / "discoveryd.pid"
        path.write_text(f"{pid}\n")
        if os.geteuid() == 0:
            os.chown(path, owner, owner)
        script = f"import fcntl, sys; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()

    yield hold
    for process in started:
        process.communicate(b"")


@pytest.fixture
def run_as():
    started = []

    def run(uid, *words):
        process = subprocess.Popen(  # nobody may not enter root's own Python
            ["/bin/sh", "-c", "echo; read forever", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            **({"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}),
        )  # fmt: skip
        started.append(process)
        process.stdout.readline()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@needs_root
@pytest.mark.parametrize(
    ("words", "uid", "owner", "why"),
    [
        (("discoveryd", "start"), 0, NOBODY, f"belongs to uid 0, not to uid {NOBODY} as the file"),
        (("sshd",), 0, 0, "is no daemon that `discoveryd start` began"),
        (("discoveryd", "start"), NOBODY, 0, f"belongs to uid {NOBODY}, not to uid 0 as the file"),
    ],
)
def test_stop_ends_no_process_that_another_user_chose(holding, run_as, capsys, words, uid, owner, why):
    victim = run_as(uid, *words)
    holding(victim.pid, owner)
    assert main(["stop"]) == 1
    said = capsys.readouterr().err
    assert f"it names pid {victim.pid}, which {why}" in said
    assert "nothing was ended; remove" in said
    assert victim.poll() is None


def test_stop_ignores_a_number_that_is_no_pid(holding, theirs, capsys):
    holding("9" * 30, NOBODY)
    assert main(["stop"]) == 3
    assert f"no daemon runs that start began ({theirs}/discoveryd.pid)" in capsys.readouterr().err


@needs_root
def test_stop_ends_a_daemon_that_start_began(holding, run_as, theirs):
    daemon = run_as(NOBODY, "discoveryd", "start")
    holding(daemon.pid, NOBODY)
    assert main(["stop"]) == 0
    assert daemon.wait(5) == -signal.SIGTERM


@needs_root
def test_a_key_of_another_user_is_refused(tmp_path):
    path = tmp_path / "a.key"
    keys.write_key(str(path), Key(b"k" * 32))
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError) as caught:
        keys.read_keyring(Config(security=SecuritySection(keys=(str(path),)), source="c.yaml"))
    assert caught.value.problems == (
        f"c.yaml: security.keys: {path}: it belongs to uid {NOBODY}; run this as that user, or, if it is yours: chown root {path}",
    )
    credentials = {keys.CREDENTIALS: str(tmp_path)}  # systemd answers for those
    assert keys.read_keyring(Config(security=SecuritySection(keys=("a.key",))), credentials).keys


# --- the floor of it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "socket"])
def test_only_regular_files_are_opened_without_waiting(tmp_path, precious, kind):
    path = tmp_path / "it"
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    for act in (
        lambda: trusted.read(str(path), 10, owners=trusted.beside(str(path))),
        lambda: trusted.open_in_place(str(path)),
        lambda: trusted.check(str(path)),
    ):
        with pytest.raises(OSError, match=r"it is (a symbolic link|no regular file)|Is a directory|No such device"):
            act()
    assert precious.read_text() == SECRET


@needs_root
@pytest.mark.parametrize(("owner", "is_fine"), [(0, True), (NOBODY, True), (1234, False)])
def test_a_file_may_belong_to_root_or_its_directorys_owner(theirs, owner, is_fine):
    path = theirs / "it"
    path.write_text("said")
    os.chown(path, owner, owner)
    owners = trusted.beside(str(path))
    if is_fine:
        trusted.check(str(path))
        assert trusted.read(str(path), 100, owners=owners) == b"said"
        assert trusted.read(str(path), 2, owners=owners) == b"sa"
        return
    for act in (lambda: trusted.check(str(path)), lambda: trusted.read(str(path), 9, owners=owners)):
        with pytest.raises(UntrustedFile, match="belongs to uid 1234") as caught:
            act()
        assert caught.value.remedy == f"remove it, or chown it: its owner must be root or uid {NOBODY}"


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, precious, monkeypatch):
    path = tmp_path / "it"
    path.symlink_to(precious)
    trusted.write(str(path), b"new", 0o640)
    assert (path.read_text(), precious.read_text()) == ("new", SECRET)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o640

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trusted.write(str(path), b"other")
    assert path.read_text() == "new"
    assert sorted(one.name for one in Path(tmp_path).iterdir()) == ["it", "precious"]
