"""Ansible of two major versions reads the inventory, runs a play, and obeys nothing that a peer says."""

import json
import os
import subprocess

import pytest

from tests.ctl.played import Daemon
from tests.query.formats.contracts import HOSTILE
from tests.query.samples import peer

VERSIONS = ("ansible-older", "ansible-newer")
GOOD = peer(address="127.0.0.1", addresses=["127.0.0.1"])
PLAY = """\
- hosts: discoveryd
  gather_facts: false
  tasks:
    - ping:
    - copy:
        dest: "{{ seen }}/{{ inventory_hostname }}"
        content: "{{ discoveryd_name }} {{ discoveryd_tags }} {{ discoveryd_services }} {{ hostvars[inventory_hostname] }}"
    - debug: {var: "hostvars[inventory_hostname]"}
    - debug: {msg: "{{ hostvars.values() | list }} {{ groups }}"}
"""


class Inventory:
    """An inventory script, and Ansible that reads it."""

    def __init__(self, directory, programs, discoveryctl, daemon):
        self.directory = directory
        self._programs = programs
        self._script = directory / "inventory.sh"
        self._script.write_text('#!/bin/sh\nexec discoveryctl export ansible "$@"\n')
        self._script.chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:{discoveryctl}:{os.environ['PATH']}", "HOME": str(directory), "LC_ALL": "C.UTF-8",
            "DISCOVERYCTL_ADDRESS": daemon.address, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_DEVEL_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": str(programs / "python3"), "ANSIBLE_NOCOLOR": "1",
        }  # fmt: skip

    def run(self, program, *arguments):
        done = subprocess.run(
            [self._programs / program, "-i", self._script, *arguments],
            cwd=self.directory, env=self._environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stderr, done.stderr
        return done.stdout


def reply(*peers):
    return [{"ok": True, "schema": 1, "peers": list(peers)}]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_play_runs_and_no_peer_is_obeyed(tmp_path, environment, discoveryctl, version):
    programs = environment(version)
    owned = tmp_path / "owned"
    evils = [text.replace("/tmp/owned", str(owned)) for text in HOSTILE if text.isprintable()]
    services = [{"name": evil, "port": 1, "proto": evil, "tags": {evil: evil}} for evil in evils]
    template = evils[0]
    worst = {"tags": {evil: evil for evil in evils} | {"role": template}, "services": services, "link": template}
    peers = [GOOD, GOOD | worst | {"id": template, "boot": "1", "name": template}]
    (tmp_path / "play.yaml").write_text(PLAY)
    (tmp_path / "seen").mkdir()
    with Daemon([reply(*peers)] * 3) as daemon:
        inventory = Inventory(tmp_path, programs, discoveryctl, daemon)
        found = json.loads(inventory.run("ansible-inventory", "--list"))
        printed = inventory.run("ansible-playbook", "-c", "local", "-f", "8", "-e", f"seen={tmp_path}/seen", "play.yaml")
    assert not owned.exists()
    assert found["discoveryd_tag_role_gpu"]["hosts"] == ["alpha"]
    assert len(found["_meta"]["hostvars"]) == len(peers)
    assert found["_meta"]["hostvars"]["alpha"]["ansible_host"] == "127.0.0.1"
    assert printed.count("ok=4") == len(peers)
    assert "lookup('pipe'" in printed  # as text
