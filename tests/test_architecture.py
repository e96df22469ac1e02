"""The house: a floor is some folders, imports go down only, nothing goes round in a circle, and it stays small.

Run as a program it prints modules and code lines of each floor, and of the core: ``python tests/test_architecture.py``.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "discoveryd"

FLOORS = {  # floor -> its folders, and what it may import of the world besides the harmless
    "ground": ({"errors", "frozen", "protocol", "query", "simulation"}, {"cryptography", "hmac"}),
    "first": ({"net"}, {"socket", "_socket", "select", "selectors", "fcntl", "time", "os", "glob", "io", "ctypes",
              "signal"}),  # of the witness, which is a process
    "second": (
        {"runtime"},
        {"threading", "atexit", "queue", "time", "os", "sys", "platform", "prometheus_client", "wsgiref", "hmac",
         # a hook is a file that somebody else could have written, and a process that somebody waits for, and ends
         "subprocess", "select", "signal", "stat",
         "asyncio", "concurrent"},  # of AsyncClient, and of the loop
    ),
    "top": (
        {"__main__", "cli", "config", "ctl", "daemon", "dns", "exports", "files", "history", "install", "sites", "web"},
        {"signal", "yaml", "structlog", "os", "sys", "fcntl", "daemon", "subprocess",
         "shutil", "tempfile", "select", "stat", "pwd", "grp", "sysconfig", "queue", "time",
         "tarfile", "io", "platform",  # of the bundle for a report
         "pydoc",  # its pager, for the pages of topics
         "sqlite3",  # of the history
         "asyncio", "concurrent", "starlette", "uvicorn", "ssl", "hmac", "email",  # of the web
         "dnslib",  # of the names for resolvers
         "zlib", "nats", "nkeys"},  # of the sites
    ),
}  # fmt: skip
HARMLESS = {
    "__future__", "_blake2", "_json", "abc", "array", "ast", "base64", "binascii", "bisect", "collections", "contextlib", "csv", "dataclasses",
    "difflib", "errno", "fnmatch", "functools", "gettext", "hashlib", "heapq", "html", "importlib", "ipaddress", "itertools", "json",
    "math", "operator", "random", "re", "statistics", "struct", "textwrap", "types", "typing", "unicodedata"
}  # fmt: skip
OTHERS = {"yaml", "structlog", "daemon", "prometheus_client", "cryptography", "starlette", "uvicorn", "dnslib", "nats", "nkeys"}
ROOMS = {"dnslib": "dns", "sqlite3": "history", "starlette": "web", "uvicorn": "web", "nats": "sites", "nkeys": "sites"}
"""Libraries that one room alone knows."""
ORDER = list(FLOORS)

CORE = ("protocol", "net.batch", "net.interfaces", "net.netlink", "net.sources", "net.sockets", "net.stamps",
        "net.transport", "net.udp", "net.udp_socket", "runtime.discovery", "runtime.driver", "runtime.network")  # fmt: skip
"""What hears, keeps and says: the engine, the sockets it speaks by, the interfaces, and the threads that drive it."""

MOST_LINES = 350


def modules():
    """Yield the name and path of each module; the package itself holds public names, imported on first use."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            yield name, path


MODULES = dict(modules())


def floor_of(name):
    folder = name.partition(".")[0]
    return next((place for place, floor in enumerate(ORDER) if folder in FLOORS[floor][0]), None)


def imports(path, *, at_import=False):
    """Yield the modules that a file imports; with `at_import` only what it needs to be imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(tree.body) if at_import else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("discoveryd.") in MODULES else node.module


def code_lines(path):
    """Count the lines of a file that hold code: neither blank, nor comment, nor docstring."""
    source = path.read_text(encoding="utf-8")
    texts = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            texts.update(range(node.lineno, node.end_lineno + 1))
    empty = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in empty:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - texts)


def is_core(name):
    return any(name == part or name.startswith(f"{part}.") for part in CORE)


def test_every_module_is_on_a_floor():
    assert [name for name in MODULES if floor_of(name) is None] == []
    assert {name for name in MODULES if "." not in name} >= set().union(*(folders for folders, _ in FLOORS.values()))


@pytest.mark.parametrize(("name", "path"), list(MODULES.items()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_down_only(name, path):
    floor = floor_of(name)
    allowed = HARMLESS.union(*(FLOORS[one][1] for one in ORDER[floor : floor + 1]))
    for imported in imports(path):
        if imported == "discoveryd":
            continue  # the version
        if imported.startswith("discoveryd."):
            target = imported.removeprefix("discoveryd.")
            assert floor_of(target) <= floor, f"{name} imports {imported}, which is above it"
        else:
            top = imported.partition(".")[0]
            assert top in allowed, f"{name} ({ORDER[floor]}) imports {imported}: its home is elsewhere"
            assert top in sys.stdlib_module_names | OTHERS, imported


def test_no_module_needs_itself():
    """A circle of imports: none of its modules can be understood, or tested, alone."""
    needs = {
        name: {one.removeprefix("discoveryd.") for one in imports(path, at_import=True) if one.startswith("discoveryd.")}
        for name, path in MODULES.items()
    }
    while free := [name for name, needed in needs.items() if not needed & needs.keys() - {name}]:
        for name in free:
            del needs[name]
    assert needs == {}


def test_cryptography_has_one_home():
    users = {name for name, path in MODULES.items() if any(one.startswith("cryptography") for one in imports(path))}
    assert users == {"protocol.sealed.envelope", "protocol.sealed.payload"}  # where they wait for a key


def test_dnslib_has_one_home():
    users = {name for name, path in MODULES.items() if any(one.partition(".")[0] == "dnslib" for one in imports(path))}
    assert users == {"dns.message"}


def test_asyncio_has_one_home_beside_its_client():
    users = {name for name, path in MODULES.items() if any(one.partition(".")[0] == "asyncio" for one in imports(path))}
    assert {name for name in users if name.partition(".")[0] not in {"web", "dns", "sites"}} == {"runtime.loop", "runtime.async_client"}


@pytest.mark.parametrize(("library", "room"), ROOMS.items())
def test_a_library_is_known_in_one_room(library, room):
    users = {name for name, path in MODULES.items() if any(one.partition(".")[0] == library for one in imports(path))}
    assert {name.partition(".")[0] for name in users} == {room}


def test_nats_has_one_home():
    users = {name for name, path in MODULES.items() if any(one.partition(".")[0] == "nats" for one in imports(path))}
    assert users == {"sites.nats"}


def test_no_class_name_stands_twice():
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_is_too_long_to_be_read_at_once():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def report():
    """Print modules and code lines of each floor, and of the core."""
    sizes = {name: code_lines(path) for name, path in MODULES.items()}
    for place, floor in enumerate(ORDER):
        on_floor = [name for name in MODULES if floor_of(name) == place]
        print(f"{floor:8} {len(on_floor):4} modules {sum(sizes[name] for name in on_floor):6} lines of code")
        for folder in sorted({name.partition(".")[0] for name in on_floor}):
            inside = [name for name in on_floor if name.partition(".")[0] == folder]
            print(f"  {folder:12} {len(inside):4} {sum(sizes[name] for name in inside):6}")
    print(f"core     {sum(size for name, size in sizes.items() if is_core(name)):6} lines of code")
    print(f"package  {sum(sizes.values()) + code_lines(PACKAGE / '__init__.py'):6} lines of code in {len(MODULES) + 1} modules")


if __name__ == "__main__":
    report()
