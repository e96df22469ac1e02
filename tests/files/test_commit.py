"""The commit that a version is followed by."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from discoveryd import __version__
from discoveryd.files import commit


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one commit, whose package is the one that runs."""
    if not shutil.which("git"):
        pytest.skip("needs git (Debian package git)")
    (tmp_path / "discoveryd").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(commit, "PACKAGE", str(tmp_path / "discoveryd"))
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]

    def git(*words):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | own
        done = subprocess.run(
            ["git", "-C", tmp_path, *who, *words], env=environment, capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_checkout_says_its_commit_and_what_is_changed(checkout):
    root, head = checkout
    version, _, found = commit.version().partition(" ")
    assert version == __version__
    assert found.startswith("(")
    assert head.startswith(found.strip("()"))
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert commit.version() == f"{__version__} ({found.strip('()')}-dirty)"


def test_a_checkout_without_git_says_the_version_alone(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert commit.version() == __version__


def test_what_was_built_from_a_checkout_says_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(commit, "PACKAGE", str(tmp_path / "discoveryd"))
    assert commit.version() == __version__
    place = tmp_path / commit.FILE
    place.parent.mkdir()
    place.write_text("1b307a0\n")
    assert commit.version() == f"{__version__} (1b307a0)"


def test_a_repository_around_the_package_is_not_its_own(checkout):
    root, _ = checkout
    Path(root, "pyproject.toml").unlink()
    assert commit.version() == __version__
