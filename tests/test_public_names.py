"""Every public name that tests/public_names.txt lists is still there: names may be added, none may go.

The list has the names of the library with their methods, attributes and parameters, the commands with options and exit
codes, the configuration keys, the metrics, and the JSON keys of a peer, of `status` and of `simulate`. Of `Node` and
`PeerTable` it has what an embedding program calls; the engine's own rooms may change the rest. A new name is added to
the list by hand: ``python -m tests.test_public_names`` prints all that there are.
"""

import ast
import inspect
import io
import json
import re
import select
import socket
import subprocess
import tempfile
import textwrap
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from time import monotonic

import pytest
import yaml

import discoveryd
from discoveryd import ctl, daemon
from discoveryd.net.sockets import free_port
from tests.integration.process import Daemon

LIST = Path(__file__).with_name("public_names.txt")
PROGRAMS = {"discoveryd": daemon.main, "discoveryctl": ctl.main}


# --- the library ------------------------------------------------------------------------------------


def library():
    """Yield ``Class``, ``Class(parameter)``, ``Class.attribute`` and ``Class.method(parameter)``."""
    for name in discoveryd.__all__:
        value = getattr(discoveryd, name)
        yield name
        if inspect.isclass(value):
            yield from (f"{name}({parameter})" for parameter in parameters(value))
            for member in sorted(members(value)):
                yield f"{name}.{member}"
                method = getattr(value, member, None)
                if inspect.isroutine(method):
                    yield from (f"{name}.{member}({parameter})" for parameter in parameters(method))


def parameters(function):
    try:
        found = inspect.signature(function).parameters
    except ValueError:  # the constructor of an exception, which has none of its own
        return []
    return [name for name in found if name != "self" and not name.startswith("_")]


def members(cls):
    """Return the names of methods, properties, fields, and of attributes that a method sets."""
    own = [one for one in cls.__mro__ if one.__module__.startswith("discoveryd")]
    names = {name for one in own for name in (*vars(one), *getattr(one, "__annotations__", ()), *assigned(one))}
    return {name for name in names if not name.startswith("_")}


def assigned(cls):
    return {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls))))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and getattr(node.value, "id", "") == "self"
    }


# --- the commands -----------------------------------------------------------------------------------


@cache
def run_command(program, *arguments):
    """Run a command line and return its exit code with what it printed."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            code = PROGRAMS[program](list(arguments))
        except SystemExit as end:
            code = end.code
    return code or 0, output.getvalue()


def commands():
    """Yield ``program command``, ``program command --option VALUE`` and ``program exits CODE``."""
    for program in PROGRAMS:
        _, overview = run_command(program, "--help")
        yield from (f"{program} exits {code}" for code in re.findall(r"^ +(\d+)  +\S", overview, re.MULTILINE))
        yield from (f"{program} {option}" for option in options(overview))
        for command in dict.fromkeys(re.findall(r"^ {2,6}([a-z][a-z-]*)\b", overview, re.MULTILINE)):
            code, text = run_command(program, "help", command)
            if code == 0:
                yield f"{program} {command}"
                yield from (f"{program} {command} {option}" for option in options(text))


def options(text):
    return sorted(set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*(?: [A-Z][A-Z=:]*\b)?", text)))


def configuration():
    """Yield ``section.key``."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("node: {}\n")
        file.flush()
        _, text = run_command("discoveryd", "check", "--config", file.name)
    for section, keys in yaml.safe_load(text).items():
        yield from (f"{section}.{key}" for key in keys)


def simulation():
    _, text = run_command("discoveryd", "simulate", "--nodes", "3", "--minutes", "1", "--json")
    yield from json_keys(json.loads(text))


# --- what a daemon tells ----------------------------------------------------------------------------


def json_keys(value, place=""):
    """Yield the place of each key: ``key.key``, and ``key[].key`` inside a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}{key}"
            if key != "tags":
                yield from json_keys(inner, f"{place}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from json_keys(inner, f"{place.removesuffix('.')}[].")


@cache
def answers():
    """Return the replies of a daemon that has keys, hooks, services and peers, of which two have one id."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port("127.0.0.1", "udp")
        for name, text in (("hooks.d/10-nothing", "#!/bin/sh\n"), ("services.d/web.yaml", "name: web\nport: 80\n")):
            (directory / name).parent.mkdir()
            (directory / name).write_text(text)
        (directory / "hooks.d/10-nothing").chmod(0o755)
        run_command("discoveryd", "keygen", str(directory / "shared.key"))
        own = {
            "DISCOVERYD_METRICS__LISTEN": f"127.0.0.2:{free_port('127.0.0.2', 'tcp')}",
            "DISCOVERYD_WEB__LISTEN": f"127.0.0.2:{free_port('127.0.0.2', 'tcp')}",
            "DISCOVERYD_DNS__LISTEN": f"127.0.0.2:{free_port('127.0.0.2', 'tcp')}",
            "DISCOVERYD_SECURITY__MODE": "accept",
            "DISCOVERYD_SECURITY__KEYS": f"[{directory}/shared.key]",
        }
        twin = {"DISCOVERYD_NODE__ID": "twin", "DISCOVERYD_NODE__SERVICES": "[{name: ssh, port: 22}]"}
        asked = Daemon(directory, 2, port, config="log: {level: error}\n", environment=own, stderr=None)
        for one in (asked, *(Daemon(directory, number, port, environment=twin, stderr=subprocess.DEVNULL) for number in (3, 4))):
            stack.callback(one.close)
            one.run()
        stranger = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        deadline = monotonic() + 20
        while not ((status := status_of(asked)) and status["clones"] and status["drops"] and status["web"]["on"] and "names" in status["dns"]):
            assert monotonic() < deadline, status
            stranger.sendto(b"nonsense", (asked.address, port))
            select.select([], [], [], 0.1)
        return {"status": status, "peers": asked.ask("show", peer="twin"), "metrics": asked.ask("metrics")}


def status_of(daemon):
    try:
        return daemon.ask("status")
    except discoveryd.QueryError:
        return {}


def replies():
    yield from (f"status {place}" for place in json_keys(answers()["status"]))
    yield from (f"show {place}" for place in json_keys(answers()["peers"]))


def metrics():
    """Yield ``name`` and ``name{label}``."""
    for sample in answers()["metrics"]["metrics"]:
        if sample["name"].startswith("discoveryd_"):
            yield sample["name"]
            yield from (f"{sample['name']}{{{label}}}" for label in sample["labels"])


TOPICS = {
    "library": library,
    "commands": commands,
    "configuration": configuration,
    "simulation": simulation,
    "replies": replies,
    "metrics": metrics,
}


def expected(topic):
    """Return the lines of the list below the headline of a topic."""
    text = LIST.read_text(encoding="utf-8").partition(f"# {topic}\n")[2]
    return set(text.partition("\n# ")[0].split("\n")) - {""}


@pytest.mark.parametrize("topic", TOPICS)
def test_no_public_name_is_gone(topic):
    assert expected(topic)
    assert sorted(expected(topic) - set(TOPICS[topic]())) == []


if __name__ == "__main__":
    for title, names in TOPICS.items():
        print(f"# {title}\n" + "\n".join(dict.fromkeys(names())) + "\n")
