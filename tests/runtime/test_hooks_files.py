"""Which files are hooks."""

import os

import pytest

from discoveryd.runtime import hooks
from tests.runtime.hooking import write_hook


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o755)
    found = tmp_path / "hooks.d"
    found.mkdir(mode=0o755)
    return found


def names(directory):
    found, faults = hooks.find_hooks(str(directory))
    assert faults == ()
    return [os.path.basename(hook) for hook in found]


def test_hooks_are_executables_in_the_order_of_their_names(directory):
    for name in ("20-b", "10-a.sh", "Z"):
        write_hook(directory, name, "true")
    assert names(directory) == ["10-a.sh", "20-b", "Z"]


def test_a_missing_directory_of_hooks_is_no_fault(tmp_path):
    assert hooks.find_hooks(str(tmp_path / "hooks.d")) == ((), ())


def test_backups_hidden_files_and_directories_are_passed_over(directory):
    for name in (".hidden", "a~", "a.bak", "a.dpkg-old", "a.dpkg-dist", "a.rpmsave", "a.rpmnew", "a.orig", "#a#", "a.swp"):
        write_hook(directory, name, "true", mode=0o777)
    (directory / "sub").mkdir()
    write_hook(directory, "bakery", "true")
    assert names(directory) == ["bakery"]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o644, "is not executable: chmod +x {0}"),
        (0o775, "{0} is writable by group or others: chmod go-w {0}"),
        (0o757, "{0} is writable by group or others: chmod go-w {0}"),
    ],
)
def test_a_hook_with_a_wrong_mode_is_refused_with_the_remedy(directory, mode, why):
    good, bad = write_hook(directory, "good", "true"), write_hook(directory, "bad", "true", mode=mode)
    assert hooks.find_hooks(str(directory)) == ((good,), ((bad, why.format(bad)),))


def test_a_hooks_directory_that_others_may_write_is_refused(directory):
    write_hook(directory, "good", "true")
    directory.chmod(0o777)
    why = f"{directory} is writable by group or others: chmod go-w {directory}"
    assert hooks.find_hooks(str(directory)) == ((), ((str(directory), why),))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["bad", "."])
def test_a_hook_of_another_owner_is_refused(directory, what):
    write_hook(directory, "bad", "true")
    path = os.path.normpath(directory / what)
    os.chown(path, 12345, -1)
    why = f"{path} belongs to uid 12345, neither root nor the daemon's: chown root {path}"
    assert hooks.find_hooks(str(directory)) == ((), ((path, why),))


def test_a_linked_hook_is_as_good_as_its_target(directory, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    target = write_hook(elsewhere, "target", "true")
    (directory / "link").symlink_to(target)
    assert names(directory) == ["link"]
    elsewhere.chmod(0o777)
    [fault] = hooks.find_hooks(str(directory))[1]
    assert fault[1] == f"{elsewhere} is writable by group or others: chmod go-w {elsewhere}"
    os.unlink(target)
    [fault] = hooks.find_hooks(str(directory))[1]
    assert fault == (str(directory / "link"), "cannot be looked at: No such file or directory")


def test_a_pipe_is_no_hook(directory):
    os.mkfifo(directory / "pipe", 0o755)
    assert hooks.find_hooks(str(directory))[1] == (
        (str(directory / "pipe"), "is no regular file: remove it"),
    )


def test_a_file_in_place_of_the_hooks_directory_is_told(tmp_path):
    (tmp_path / "hooks.d").write_text("")
    assert hooks.find_hooks(str(tmp_path / "hooks.d")) == (
        (), ((str(tmp_path / "hooks.d"), "cannot be read: Not a directory"),)
    )  # fmt: skip


def test_the_number_of_hooks_is_bounded(directory, monkeypatch):
    monkeypatch.setattr(hooks, "MAX_HOOKS", 2)
    for name in "abc":
        write_hook(directory, name, "true")
    found, [fault] = hooks.find_hooks(str(directory))
    assert [os.path.basename(hook) for hook in found] == ["a", "b"]
    assert fault[1] == "has 3 programs; only the first 2 by name are run"
