"""What the service may listen on: `check` and a reload name what the unit forbids, before a start fails by it."""

import errno

import pytest

from discoveryd.config import DEFAULT_PATH, Config, MetricsSection, QuerySection
from discoveryd.daemon import commands, ports, run
from discoveryd.errors import ConfigError
from discoveryd.net.sockets import explain_bind
from discoveryd.protocol.parameters import Parameters
from tests.install.test_install import ROOT

SYSTEM = "etc/systemd/system"
LOCAL = "usr/local/lib/systemd/system"


def config(hello=3400, query="127.0.0.1:3400", metrics="off", source=DEFAULT_PATH):
    return Config(
        parameters=Parameters(port=hello), query=QuerySection(listen=query), metrics=MetricsSection(listen=metrics),
        source=source,
    )  # fmt: skip


@pytest.fixture
def unit(tmp_path):
    """Write a unit, or a drop-in of it."""

    def write(text, place=f"{LOCAL}/discoveryd.service"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    write((ROOT / "systemd/discoveryd.service").read_bytes())
    return write


def forbidden(root, **given):
    try:
        ports.refuse_forbidden(config(**given), str(root))
    except ConfigError as error:
        return [problem.split(": ")[1] for problem in error.problems]
    return []


def test_the_unit_as_it_ships_is_for_the_default_ports(tmp_path, unit):
    assert forbidden(tmp_path) == []
    assert forbidden(tmp_path, hello=3401, query="127.0.0.1:9", metrics="0.0.0.0:9341") == [
        "hello.port", "query.listen", "metrics.listen",
    ]  # fmt: skip
    assert forbidden(tmp_path, query="off", source="/etc/discoveryd/other.yaml", hello=3401) == []  # not the service's


def test_what_install_writes_is_for_the_configuration(tmp_path, unit):
    given = {"hello": 3401, "query": "127.0.0.1:9", "metrics": "0.0.0.0:9341"}
    unit(ports.drop_in(config(**given)), f"{LOCAL}/{ports.DROP_IN}")
    assert forbidden(tmp_path, **given) == []
    assert forbidden(tmp_path) == ["hello.port", "query.listen"]


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("SocketBindAllow=tcp:9000-9999", []),
        ("SocketBindAllow=9341", []),
        ("SocketBindAllow=ipv4:tcp:9341", []),
        ("SocketBindAllow=ipv4:tcp", []),
        ("SocketBindAllow=tcp:any", []),
        ("SocketBindAllow=any", []),
        ("SocketBindDeny=", []),
        ("SocketBindDeny=\nSocketBindDeny=udp", []),
        ("SocketBindDeny=\nSocketBindDeny=9341", ["metrics.listen"]),
        ("SocketBindAllow=ipv6:tcp:9341", ["metrics.listen"]),
        ("SocketBindAllow=udp:9341", ["metrics.listen"]),
        ("SocketBindAllow=tcp:nonsense", ["metrics.listen"]),
        ("# SocketBindAllow=any", ["metrics.listen"]),
    ],
)
def test_a_drop_in_of_the_administrator_counts(tmp_path, unit, rules, refused):
    unit(f"[Service]\n{rules}\n", f"{SYSTEM}/discoveryd.service.d/override.conf")
    assert forbidden(tmp_path, metrics="127.0.0.1:9341") == refused


def test_drop_ins_are_read_by_name_the_administrators_unit_first(tmp_path, unit):
    unit("SocketBindAllow=tcp:9341\n", f"{LOCAL}/discoveryd.service.d/a.conf")
    unit("SocketBindAllow=\n", f"{SYSTEM}/discoveryd.service.d/b.conf")
    assert forbidden(tmp_path) == ["hello.port", "query.listen"]
    unit("", f"{SYSTEM}/discoveryd.service.d/b.conf")
    unit("SocketBindAllow=\n", f"{SYSTEM}/discoveryd.service.d/a.conf")  # in the place of that of the same name
    assert forbidden(tmp_path, metrics="127.0.0.1:9341") == ["hello.port", "query.listen", "metrics.listen"]
    unit("[Service]\n", f"{SYSTEM}/discoveryd.service")
    assert forbidden(tmp_path, metrics="127.0.0.1:9341") == []


def test_without_a_unit_nothing_is_forbidden(tmp_path):
    assert forbidden(tmp_path, metrics="127.0.0.1:9341") == []


def test_check_names_the_key_and_the_command(tmp_path, unit, monkeypatch):
    monkeypatch.setattr(ports, "DIRECTORIES", tuple(f"{tmp_path}{one}" for one in ports.DIRECTORIES))
    monkeypatch.setattr(commands, "load", lambda _: config(metrics="127.0.0.1:9341"))
    from discoveryd.cli.parse import Arguments

    with pytest.raises(ConfigError) as caught:
        commands.check(Arguments(config=None, quiet=True))
    assert str(caught.value) == (
        f"{DEFAULT_PATH}: metrics.listen: the unit of the service forbids it tcp port 9341 (SocketBindDeny=): as root "
        "run discoveryd install, which writes the ports of the configuration beside the unit, then restart discoveryd"
    )


def test_a_bind_that_the_unit_forbids_says_the_same():
    error = explain_bind(PermissionError(errno.EPERM, "Operation not permitted"), "TCP", "127.0.0.1", 9341)
    assert error.strerror == (
        "cannot listen on TCP port 9341 on 127.0.0.1: Operation not permitted: "
        "a unit that runs it forbids that port (SocketBindDeny=)"
    )
    assert run.remedy_at_start(error, config()) == (
        "as root run discoveryd install, which writes the ports of the configuration beside the unit, then restart discoveryd"
    )
    low = explain_bind(PermissionError(errno.EACCES, "Permission denied"), "UDP", "0.0.0.0", 34)
    assert "above 1023" in run.remedy_at_start(low, config())
