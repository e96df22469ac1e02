"""The floors: imports go down only, each dangerous module has one home, and every module is listed."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "discoveryd"

FLOORS = {  # floor -> (what it may import of ours, what it may import of the world besides the harmless)
    "ground": ({"ground"}, {"cryptography", "hmac"}),
    "first": ({"ground", "first"}, {"socket", "_socket", "selectors", "fcntl", "time", "os", "io", "wsgiref", "ctypes"}),
    "second": (
        {"ground", "first", "second"},
        {"threading", "atexit", "queue", "time", "os", "sys", "platform", "prometheus_client", "wsgiref", "hmac",
         # a hook is a file that somebody else could have written, and a process that somebody waits for, and ends
         "subprocess", "select", "signal", "stat"},
    ),
    "top": (
        {"ground", "first", "second", "top"},
        {"argparse", "signal", "yaml", "structlog", "os", "sys", "fcntl", "daemon", "subprocess",
         "tempfile", "select", "stat", "pwd", "grp", "sysconfig", "queue", "unicodedata", "time", "getopt"},
    ),
}  # fmt: skip
HARMLESS = {
    "__future__", "array", "ast", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses",
    "difflib", "errno", "fnmatch", "functools", "gettext", "hashlib", "heapq", "importlib", "itertools", "json",
    "math", "random", "re", "statistics", "struct", "textwrap", "types", "typing"
}  # fmt: skip
MODULES = {
    "ground": """
        errors protocol protocol.aliases protocol.answers protocol.armour protocol.challenges protocol.doubles
        protocol.credit protocol.events protocol.flood protocol.gate protocol.hello protocol.histogram protocol.keyring protocol.limiter protocol.link
        protocol.limited protocol.liveness protocol.medium protocol.namesakes protocol.news protocol.node protocol.outcome
        protocol.outlet protocol.parameters protocol.peer protocol.pressure protocol.probe protocol.prober protocol.proof
        protocol.query protocol.record protocol.replay protocol.request protocol.row protocol.seal protocol.sealing
        protocol.sharing protocol.shortcuts protocol.speaker protocol.standing protocol.strangers protocol.table
        protocol.tally protocol.voice
    """,
    "first": """
        net net.batch net.ifconf net.interfaces net.links net.metrics_client net.metrics_server net.netlink net.owner net.query_acceptor
        net.query_backend net.query_client net.query_connection net.query_crowd net.query_server net.query_turns
        net.rp_filter net.scrape net.senders net.sluice net.stamps net.syslog net.systemd net.web_host
    """,
    "second": """
        runtime runtime.backend runtime.calm runtime.client runtime.discovery runtime.entropy runtime.floodgate runtime.health
        runtime.hook_files runtime.hook_queue runtime.hook_run runtime.hooks runtime.machine runtime.metrics
        runtime.notices runtime.offers runtime.outsiders runtime.pings runtime.pulse runtime.rescan runtime.subscription runtime.worker
    """,
    "top": """
        __main__ completion completion.bash completion.fish completion.zsh config config.dropin config.file
        config.text config.values ctl ctl.__main__ ctl.arguments ctl.ask ctl.commands ctl.describe ctl.follow
        ctl.register ctl.tables ctl.usage daemon daemon.arguments daemon.budget daemon.control daemon.detached daemon.hooking daemon.ports
        daemon.reload daemon.report daemon.serve demo directories dropins identity install install.environment install.kernel install.layout
        install.manifest install.places install.units keys logs manual manual.roff manual.sample manual.texts
        pidfile programs remedies shipped simulate simulate.counts simulate.lan simulate.plan simulate.report token trusted
    """,
}
FLOOR_OF = {module: floor for floor, modules in MODULES.items() for module in modules.split()}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:  # the package itself holds public names, imported on first use
            yield name, path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def test_every_module_is_on_a_floor():
    assert {name for name, _ in modules()} == set(FLOOR_OF)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_down_only(name, path):
    below, world = FLOORS[FLOOR_OF[name]]
    for imported in imports(path):
        if imported == "discoveryd":
            continue  # the version
        if imported.startswith("discoveryd."):
            target = imported.removeprefix("discoveryd.")
            assert FLOOR_OF[target] in below, f"{name} imports {imported}, which is above it"
        else:
            top = imported.partition(".")[0]
            assert top in HARMLESS | world, f"{name} ({FLOOR_OF[name]}) imports {imported}: its home is elsewhere"
            assert top in sys.stdlib_module_names | {"yaml", "structlog", "daemon", "prometheus_client", "cryptography"}, imported


def test_cryptography_has_one_home():
    users = {name for name, path in modules() if any(imported.startswith("cryptography") for imported in imports(path))}
    assert users == {"protocol.seal"}  # where it waits for a key; test_seal sees that it does
