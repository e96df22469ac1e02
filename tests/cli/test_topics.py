"""``discoveryd manual TOPIC``: the pages of docs/, README and CHANGELOG."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from discoveryd.cli import topics
from discoveryd.daemon import main

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in (ROOT / "docs").glob("*.md")}
PAGES |= {"readme": ROOT / "README.md", "changelog": ROOT / "CHANGELOG.md"}


def test_each_page_is_a_topic():
    assert set(topics.topics()) == set(PAGES)
    assert len(PAGES) > 15


@pytest.mark.parametrize("topic", ["routed", "readme", "changelog"])
def test_a_topic_is_printed_as_it_is_written(capsys, topic):
    assert main(["manual", topic]) == 0
    assert capsys.readouterr().out.rstrip("\n") == PAGES[topic].read_text(encoding="utf-8").rstrip("\n")


def test_an_unknown_topic_names_all(capsys):
    assert main(["manual", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert all(topic in said for topic in PAGES)


def test_without_the_pages_there_are_no_topics(monkeypatch):
    def missing(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(topics, "shipped", missing)
    assert topics.topics() == ()


def test_a_page_that_went_missing_is_named(capsys, monkeypatch):
    def missing(name):
        raise FileNotFoundError(f"{name} of discoveryd is missing")

    monkeypatch.setattr(topics, "shipped", missing)
    assert main(["manual", "routed"]) == 1
    assert capsys.readouterr().err == "discoveryd: docs/routed.md of discoveryd is missing\n"


def test_the_pages_are_in_the_wheel():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    files = {file.relative_to(ROOT) for patterns in named.values() for one in patterns for file in ROOT.glob(one)}
    assert {path.relative_to(ROOT) for path in PAGES.values()} <= files
    configs = {path.relative_to(ROOT) for path in (ROOT / "config").rglob("*") if path.is_file()}
    assert configs <= files


def test_a_reader_that_has_seen_enough_ends_it_in_silence():
    """As `discoveryd manual protocol | head -1` does; the page is longer than a pipe holds."""
    command = [sys.executable, "-m", "discoveryd", "manual", "changelog"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 0
