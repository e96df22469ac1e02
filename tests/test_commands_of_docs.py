"""README, docs/ and the other pages: each block of commands that is marked so is run, and each recipe is checked.

``<!-- run -->`` above a block of shell or Python: beside daemons of four hosts, in namespaces without an uplink, as a
service has the programs on its PATH. ``<!-- run: no daemon -->``: on a host where none runs.
"""

import os
import re
import select
import sys
from time import monotonic

import pytest

from discoveryd.daemon import OK, main
from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import PATIENCE, asking, names, until
from tests.netns.lab import Lab, why_not
from tests.test_pages import PAGES

RUN = re.compile(r"^<!-- run(: no daemon)? -->\n```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(page, *found) for page, text in sorted(PAGES.items()) for found in RUN.findall(text)]
PROGRAMS = {"discoveryd": "discoveryd", "discoveryctl": "discoveryd.ctl"}


def test_each_mark_stands_above_a_block():
    for page, text in PAGES.items():
        assert len(re.findall(r"^<!-- run", text, re.MULTILINE)) == len(RUN.findall(text)), page


@pytest.mark.parametrize("number", range(len(re.findall(r"^ *```yaml", PAGES["docs/networks.md"], re.MULTILINE))))
def test_a_recipe_for_a_network_is_a_configuration(number, tmp_path, capsys):
    """It is one as it stands, with the key that it names."""
    recipe = re.findall(r"^( *)```yaml\n(.*?)^\1```", PAGES["docs/networks.md"], re.DOTALL | re.MULTILINE)[number][1]
    (tmp_path / "discoveryd.yaml").write_text(recipe)
    write_key(str(tmp_path / "3fa29c01.key"), Key(bytes(32)))
    assert main(["check", "--config", str(tmp_path / "discoveryd.yaml")]) == OK
    assert capsys.readouterr().err == ""


@pytest.fixture
def hosts(tmp_path):
    """Give a host with a daemon and three peers, one without a daemon, and the variables of a person there."""
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip this: {reason}")
    elif reason:
        pytest.skip(reason)
    texts = {name: f'exec {sys.executable} -m {module} "$@"' for name, module in PROGRAMS.items()} | {"sudo": 'exec "$@"'}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "discoveryd.yaml").touch()
    variables = {"DISCOVERYD_CONFIG": str(tmp_path / "discoveryd.yaml")}  # whatever this machine itself has
    with Lab() as lab:
        anna, spare = lab.host("anna", address="10.77.0.1/24"), lab.host("spare", address="10.77.0.9/24")
        anna.discoveryd(env=variables)
        for number, (name, role) in enumerate({"bert": "gpu", "cleo": "worker", "dora": "worker"}.items(), 2):
            record = {"DISCOVERYD_NODE__TAGS": f"{{role: {role}}}", "DISCOVERYD_NODE__SERVICES": "[{name: render, port: 9000}]"}
            lab.host(name, address=f"10.77.0.{number}/24").discoveryd(env=variables | record)
        with asking(anna) as client:
            until(client, names("bert", "cleo", "dora"))
            deadline = monotonic() + PATIENCE
            while not client.request("status")["history"]["nodes"]:  # it begins some seconds after the start
                assert monotonic() < deadline
                select.select([], [], [], 0.05)
        yield anna, spare, variables | {"PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"}


@pytest.mark.netns
def test_the_blocks_of_commands_run(hosts, tmp_path):
    anna, spare, variables = hosts
    (tmp_path / "scratch").mkdir()
    assert len(BLOCKS) >= 3
    for page, where, language, text in BLOCKS:
        shell = ["bash", "-euo", "pipefail", "-c", f"cd {tmp_path}/scratch\n{text}"]
        done = (spare if where else anna).run(*(shell if language == "sh" else [sys.executable, "-c", text]), check=False, env=variables)
        assert done.returncode == 0, f"{page}:\n{text}\n{done.stdout}{done.stderr}"
