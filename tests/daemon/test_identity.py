"""The node id: the same from run to run, and nothing that could be traced back."""

import errno
import os

import pytest

from discoveryd.cli.ctl_commands import parse
from discoveryd.config import Config, PathsSection
from discoveryd.daemon import commands, identity, main
from discoveryd.daemon.identity import node_id
from discoveryd.files import directories, token
from discoveryd.protocol.parameters import MAX_ID, is_word


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Stand for /etc/machine-id, which is not there at first."""
    path = tmp_path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", str(path))
    return path


def test_the_node_id_is_a_keyed_hash_of_the_machine_id(machine, tmp_path):
    secret = "0123456789abcdef" * 2
    machine.write_text(secret + "\n")
    found, doubt = node_id(str(tmp_path / "state"))
    assert doubt == ""
    assert is_word(found, MAX_ID)
    assert found not in secret
    assert node_id("/nowhere") == (found, "")
    machine.write_text("f" + secret[1:])
    assert node_id(str(tmp_path / "state"))[0] != found
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", [None, "", "uninitialized\n", "0" * 31, "g" * 32, "\udcff", "0" * 33])
def test_without_a_machine_id_a_made_up_id_is_kept(machine, tmp_path, text):
    if text is not None:
        machine.write_text(text, errors="surrogateescape")
    state = tmp_path / "state" / "deep"
    found, doubt = node_id(str(state))
    assert doubt == ""
    assert is_word(found, MAX_ID)
    assert (state / "node-id").read_text() == found + "\n"
    assert node_id(str(state)) == (found, "")
    assert node_id(str(tmp_path / "other"))[0] != found


@pytest.mark.parametrize("text", ["0" * 32, "f" * 32, "F" * 32, "deadbeef" * 4, "88544b92092430bc5d3fbbffc12a2f04"])
def test_a_placeholder_is_no_machine_id(machine, tmp_path, text):
    machine.write_text(text + "\n")
    state = str(tmp_path / "state")
    found, doubt = node_id(state)
    assert doubt == ""
    assert node_id(state) == (found, "")
    assert node_id(str(tmp_path / "other"))[0] != found  # two machines of this image are not one
    assert identity.placeholder(state) == (
        f"{machine} is {text.lower()}, as on many machines: an id made up is kept in {state}/node-id instead"
    )
    (tmp_path / "file").touch()
    assert node_id(str(tmp_path / "file" / "state"))[1].startswith(f"{machine} is a placeholder, and ")


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0123456789abcdef" * 2])
def test_a_missing_or_good_machine_id_gives_no_warning(machine, tmp_path, text):
    machine.write_text(text)
    assert identity.placeholder(str(tmp_path)) == ""


def test_a_spoilt_node_id_file_is_told_and_replaced(machine, tmp_path):
    path = tmp_path / "node-id"
    path.write_text("half a li")
    found, doubt = node_id(str(tmp_path))
    assert doubt == f"{path} is not used (it is not 16 hexadecimal digits): discoveryd reset-id makes a new id"
    assert node_id(str(tmp_path)) == (found, "")


def test_a_refused_node_id_file_is_told_and_the_machine_id_used(machine, tmp_path):
    machine.write_text("0123456789abcdef" * 2 + "\n")
    expected, _ = node_id(str(tmp_path / "other"))
    path = tmp_path / "node-id"
    path.symlink_to("elsewhere")
    assert node_id(str(tmp_path)) == (
        expected,
        f"{path} is not used (it is a symbolic link): a link is not followed here: remove it, or name its target",
    )


def test_a_node_id_that_cannot_be_kept_lasts_for_the_run(machine, tmp_path):
    (tmp_path / "file").touch()
    state = str(tmp_path / "file" / "state")
    found, doubt = node_id(state)
    assert is_word(found, MAX_ID)
    assert str(machine) in doubt
    assert f"{state}/node-id cannot be written (Not a directory)" in doubt
    assert doubt.endswith("set node.id or paths.state")
    assert node_id(state)[0] != found


def test_a_full_disk_does_not_cost_the_id_that_is_kept(machine, tmp_path, monkeypatch):
    machine.write_text("0123456789abcdef" * 2 + "\n")
    state = str(tmp_path / "state")
    kept = identity.reset(state)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)  # where a file system that allots late says it
        with pytest.raises(OSError, match="No space left"):
            identity.reset(state)
    assert os.listdir(state) == ["node-id"]
    assert node_id(state) == (kept, "")


def test_reset_chooses_another_node_id_for_good(machine, tmp_path):
    machine.write_text("0123456789abcdef" * 2 + "\n")
    before, _ = node_id(str(tmp_path / "state"))
    fresh = identity.reset(str(tmp_path / "state"))
    assert fresh != before
    assert is_word(fresh, MAX_ID)
    assert node_id(str(tmp_path / "state")) == (fresh, "")
    assert identity.reset(str(tmp_path / "state")) != fresh


def test_daemons_on_loopback_are_no_clones_of_each_other(tmp_path):
    ids = {node_id(str(tmp_path), loopback)[0] for loopback in ("", "127.0.0.2", "127.0.0.3")}
    assert len(ids) == 3
    assert node_id(str(tmp_path), "127.0.0.2") == node_id(str(tmp_path), "127.0.0.2")


# --- directories of a user without root ------------------------------------------------------------------


@pytest.fixture
def without_root(monkeypatch, tmp_path):
    """Be a user who may not write to the directories of the machine."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    access = os.access
    machines = (directories.RUNTIME, directories.STATE, token.DEFAULT_PATH)
    monkeypatch.setattr(os, "access", lambda path, mode: path not in machines and access(path, mode))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_without_root_the_directories_are_those_of_the_user(without_root, monkeypatch):
    paths = Config().paths
    assert paths.pid_file == f"{without_root}/run/discoveryd/discoveryd.pid"
    assert paths.token_file == f"{without_root}/run/discoveryd/control.token"
    assert paths.state_directory == f"{without_root}/state/discoveryd"
    assert f'runtime: ""  # {without_root}/run/discoveryd\n' in Config().to_yaml()
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/passed/over")
    monkeypatch.setenv("HOME", "/home/anna")
    assert paths.state_directory == "/home/anna/.local/state/discoveryd"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert paths.pid_file == "/run/discoveryd/discoveryd.pid"


def test_directories_that_are_set_come_first(without_root):
    assert PathsSection(runtime="/srv/run").pid_file == "/srv/run/discoveryd.pid"
    assert PathsSection(state="/srv/state").state_directory == "/srv/state"


def test_root_uses_the_directories_of_the_machine(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    assert Config().paths.pid_file == "/run/discoveryd/discoveryd.pid"
    assert Config().paths.state_directory == "/var/lib/discoveryd"


def test_a_users_token_is_found_if_the_machines_is_unreadable(without_root):
    assert token.default_path() == token.DEFAULT_PATH  # the message then names what is usual
    made, held = token.create(Config().paths.runtime_directory)
    os.close(held)
    assert token.default_path() == Config().paths.token_file
    assert parse(["reload"], {}).token() == made


def test_start_without_a_session_says_which_variable_is_missing(without_root, monkeypatch, capsys):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(commands, "holder", refuse)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert main(["start"]) == 1
    assert capsys.readouterr().err == (
        "discoveryd: cannot read /run/discoveryd/discoveryd.pid: Permission denied; "
        "XDG_RUNTIME_DIR is not set, so this user has no directory for it: set paths.runtime, or run as root\n"
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert main(["start"]) == 1
    assert capsys.readouterr().err.endswith("; run as root, or set paths.runtime\n")


@pytest.mark.parametrize(
    ("number", "helps"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "mounted read-only"), (errno.EACCES, "set node.id or paths.state")],
)
def test_the_remedy_depends_on_the_error(tmp_path, monkeypatch, number, helps):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(identity, "MACHINE_ID", str(tmp_path / "none"))
    monkeypatch.setattr(os, "makedirs", refuse)
    assert helps in node_id(str(tmp_path))[1]
