"""What README.md and docs/ say, held against the program."""

import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import discoveryd
from discoveryd.cli import daemon_commands
from discoveryd.cli.ctl_commands import parse
from discoveryd.cli.parse import UsageError
from discoveryd.cli.parse import parse as parse_words
from discoveryd.config import load
from discoveryd.daemon import run
from discoveryd.errors import ConfigError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.peer import Peer
from discoveryd.runtime.discovery import Discovery
from tests.test_docs import PAGES, rows, section, words

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARSERS = {"discoveryd": partial(parse_words, daemon_commands.PROGRAM), "discoveryctl": lambda words: parse(words, {})}


COMMAND = re.compile(r"(?:^|&& )(?:[#$] )?(?:sudo )?(?:exec )?(?:[\w./]*/)?(discoveryd|discoveryctl) ([^|&;<>\n]*)", re.MULTILINE)


def test_command_lines_of_all_pages_are_valid():
    """In blocks of shell, and where a page shows what is typed and what comes of it."""
    found = 0
    for name, page in PAGES.items():
        for kind, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE):
            for program, words_ in COMMAND.findall(block) if kind in ("", "sh") else ():
                words = [word for word in shlex.split(words_, comments=True) if word != "$@"]
                if ":" not in words[0]:  # else a line of the log
                    found += 1
                    try:
                        PARSERS[program](words)
                    except UsageError as error:
                        pytest.fail(f"{name}: {program} {words_}: {error}")
    assert found >= 40


def test_docs_query_names_every_key_of_a_peer():
    page = (ROOT / "docs" / "query.md").read_text(encoding="utf-8")
    section = page.partition("## A peer")[2].partition("## A watch")[0]
    named = {key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert named == set(Peer.__slots__) - {"paths"}


def test_the_configuration_error_is_the_one_shown(tmp_path):
    shown = re.search(r"^discoveryd: (/etc/.*)$", README, re.MULTILINE)[1]
    file = tmp_path / "discoveryd.yaml"
    file.write_text("\n" * 5 + "hello:\n  intervall: 1s\n")
    with pytest.raises(ConfigError) as caught:
        load(str(file), {})
    assert caught.value.problems == (shown.replace("/etc/discoveryd/discoveryd.yaml", str(file)),)


def test_public_names():
    for name in discoveryd.__all__:
        assert getattr(discoveryd, name) is not None
    assert set(dir(discoveryd)) == set(discoveryd.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = discoveryd.nonsense


def test_importing_the_package_imports_nothing_of_it():
    code = "import sys, discoveryd; print([name for name in sys.modules if name.startswith('discoveryd.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_packages():
    assert f'version = "{discoveryd.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_docs_name_every_drop_reason():
    """A reason in capitals is an error name of the kernel."""
    listed = PAGES["metrics.md"].partition("\nReasons: ")[2].partition("\n\n")[0]
    assert set(words(listed)) - {"discoveryctl status"} == set(DROP_REASONS)
    told = {reason for cell, _ in rows(section("security.md", "What drops mean")) for reason in words(cell)}
    assert told <= set(DROP_REASONS)


def test_docs_query_names_every_key_of_the_status():
    status = Discovery(Parameters(loopback="127.0.0.2")).status()
    reported = {part.section for part in run.Part.__subclasses__() if part.section}
    assert {"dropins", "hooks", "peer_log"} <= reported
    told = {key for cell, _ in rows(section("query.md", "The status")) for key in words(cell)}
    assert told == {*status, *reported} - {"ok", "schema"}
