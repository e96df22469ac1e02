"""packaging/container: the recipe and the DaemonSet say what the program knows."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from discoveryd import __version__
from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.cli.parse import parse
from discoveryd.config import load
from discoveryd.daemon.keys import CREDENTIALS
from discoveryd.files import directories

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "packaging/container/Containerfile").read_text(encoding="utf-8")
MANIFEST = yaml.safe_load((ROOT / "packaging/container/daemonset.yaml").read_text(encoding="utf-8"))
POD = MANIFEST["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
UID = 3400
PROGRAMS = {"discoveryd": daemon_commands.PROGRAM, "discoveryctl": ctl_commands.PROGRAM}


def test_the_recipe_copies_what_a_build_needs():
    """All that setup.py and pyproject.toml name is in the stage that builds."""
    copied = {name for line in re.findall(r"^COPY (?!--)(.*)$", RECIPE, re.MULTILINE) for name in shlex.split(line)[:-1]}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = [*tools["script-files"], *(file for some in tools["data-files"].values() for file in some)]
    assert {file.partition("/")[0] for file in files} | {"discoveryd", "setup.py", "pyproject.toml", "LICENSE"} <= copied


def test_the_recipe_runs_without_root_in_directories_of_its_user():
    assert f"USER {UID}:{UID}\n" in RECIPE
    assert f"install -d -o {UID} -g {UID} {directories.STATE} {directories.RUNTIME}\n" in RECIPE
    assert f"{CREDENTIALS}=/run/secrets" in RECIPE


def commands():
    for found in re.findall(r"^(?:HEALTHCHECK.*CMD|CMD|ENTRYPOINT) (\[.*\])$", RECIPE, re.MULTILINE):
        yield yaml.safe_load(found)
    for probe in ("livenessProbe", "readinessProbe"):
        yield CONTAINER[probe]["exec"]["command"]


@pytest.mark.parametrize("words", [words for words in commands() if words[0] in PROGRAMS and len(words) > 1])
def test_the_commands_of_recipe_and_probes_are_commands(words):
    assert parse(PROGRAMS[words[0]], words[1:]).command == words[1]


def test_the_daemonset_has_the_network_of_its_node_and_no_rights():
    assert POD["hostNetwork"] is True
    user = POD["securityContext"]
    assert (user["runAsUser"], user["runAsGroup"], user["runAsNonRoot"]) == (UID, UID, True)
    rights = CONTAINER["securityContext"]
    assert rights == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert CONTAINER["image"].endswith(f":{__version__}")


def test_the_daemonset_mounts_what_the_daemon_reads_and_writes():
    mounted = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert set(mounted) == {directories.STATE, directories.RUNTIME, "/etc/machine-id", "/etc/discoveryd", "/run/secrets"}
    assert {path for path, mount in mounted.items() if not mount.get("readOnly")} == {directories.STATE, directories.RUNTIME}
    assert {mount["name"] for mount in mounted.values()} == {volume["name"] for volume in POD["volumes"]}


def test_the_variables_of_the_daemonset_are_keys(tmp_path):
    (file := tmp_path / "discoveryd.yaml").write_text("")
    variables = {one["name"]: "node-7" for one in CONTAINER["env"]}
    assert load(str(file), variables).node.name == "node-7"
