"""What README.md and docs/ say, held against the program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import discoveryd
from discoveryd.cli.ctl_commands import parse
from discoveryd.config import load
from discoveryd.daemon import run
from discoveryd.errors import ConfigError
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.peer import Peer
from discoveryd.runtime.discovery import Discovery
from tests.netns.daemons import asking, names, until
from tests.netns.lab import Lab, why_not
from tests.test_docs import PAGES, rows, section, words

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_discoveryctl_lines_are_valid():
    lines = [line for _, block in BLOCKS for line in block.splitlines() if line.startswith("discoveryctl ")]
    assert len(lines) >= 8
    for line in lines:
        parse(shlex.split(line, comments=True)[1:], {})


def test_the_links_lead_somewhere():
    for text in [README, *(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / target).exists() or (ROOT / "docs" / target).exists(), target


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


@pytest.mark.netns
def test_the_embedding_examples_run():
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip this: {reason}")
    elif reason:
        pytest.skip(reason)
    discovery, client = (block for kind, block in BLOCKS if kind == "python" and "from discoveryd" in block)
    with Lab() as lab:
        a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
        b.discoveryd()
        with asking(b) as on_b:
            until(on_b, names())
            printed = a.python(discovery).stdout  # b may have answered before the subscription, or after
            assert "joined b 10.77.0.2" in printed or "['b']" in printed
            (gone,) = on_b.request("list", all=True)["peers"]
            assert (gone["name"], gone["state"], gone["services"][0]["port"]) == ("renderer-3", "left", 9000)
        a.discoveryd()
        with asking(b) as on_b:
            until(on_b, names("a"))
            assert "name='a'" in b.python(client).stdout


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
