"""The control token: readable for owner and group only, and one for all daemons of a directory."""

import os
import stat
from queue import SimpleQueue
from threading import Barrier, Thread

import pytest

from discoveryd.errors import QueryError
from discoveryd.files import token


@pytest.fixture
def held():
    """Collect what keeps tokens in use; a test may end it earlier."""
    descriptors = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def create(directory, held=None):
    """Make a token as a daemon does that ends at once, or that goes on."""
    made, descriptor = token.create(str(directory))
    if held is None:
        os.close(descriptor)
    else:
        held.append(descriptor)
    return made


def test_a_created_token_can_be_read(tmp_path):
    directory = tmp_path / "run" / "discoveryd"
    made = create(directory)
    assert len(bytes.fromhex(made)) == token.SIZE
    assert token.read(str(directory / "control.token")) == made
    assert os.listdir(directory) == ["control.token"]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_others_may_not_read_the_token_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        create(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "control.token").st_mode) == 0o640


def test_a_second_daemon_keeps_the_token_of_the_first(tmp_path, held):
    first = create(tmp_path, held)
    assert create(tmp_path, held) == first
    os.close(held.pop(0))  # the first one ends
    assert create(tmp_path, held) == first


def test_a_restarted_daemon_has_a_new_token(tmp_path):
    assert len({create(tmp_path) for _ in range(3)}) == 3


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o666), lambda path: path.write_text("0" * 63),
                                   lambda path: path.write_text("")])  # fmt: skip
def test_a_token_that_others_could_have_read_is_replaced(tmp_path, spoil, held):
    path = tmp_path / "control.token"
    create(tmp_path, held)
    spoil(path)
    former = path.read_text().strip()
    with path.open() as file:
        fresh = create(tmp_path)
        assert file.read().strip() == former  # replaced as a whole, never half written
    assert token.read(str(path)) == fresh != former
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_in_place_of_the_token_is_not_written_to(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "control.token").symlink_to(victim)
    made = create(tmp_path)
    assert victim.read_text() == "mine"
    assert token.read(str(tmp_path / "control.token")) == made
    assert sorted(os.listdir(tmp_path)) == ["control.token", "victim"]


def test_a_directory_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        token.create(str(tmp_path / "file"))
    (tmp_path / "control.token").mkdir()
    with pytest.raises(IsADirectoryError):
        token.create(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["control.token", "file"]


def refusal(path):
    with pytest.raises(QueryError) as caught:
        token.read(str(path))
    assert caught.value.code == "denied"
    assert str(path).replace("\0", "") in caught.value.message.replace("\0", "")
    return caught.value.message


def test_an_unreadable_token_says_what_to_do(tmp_path, monkeypatch):
    assert "--token-file" in refusal(tmp_path / "none")
    assert "it is no regular file; remove it" in refusal(tmp_path)
    assert "embedded null" in refusal("a\0b")
    for text in ("\n", "0" * 63, "G" * 64, "0" * 4096):
        (tmp_path / "other").write_text(text)
        assert "holds no control token" in refusal(tmp_path / "other")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)  # root may read anything
    assert "as root, or as a user of the file's group" in refusal(tmp_path / "mine")


def test_daemons_that_start_at_one_moment_have_one_token(tmp_path):
    for round_ in range(10):
        directory = tmp_path / str(round_)
        begin, found = Barrier(4), SimpleQueue()

        def start(directory=directory, begin=begin, found=found):
            begin.wait(10)
            found.put(token.create(str(directory)))

        threads = [Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        tokens = [found.get(timeout=1) for _ in threads]
        assert {one for one, _ in tokens} == {token.read(str(directory / token.NAME))}
        for _, descriptor in tokens:
            os.close(descriptor)
