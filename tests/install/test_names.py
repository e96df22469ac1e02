"""``install --dns`` and ``uninstall --dns``: which file is written for which resolver, and that it is taken back."""

import pytest

from discoveryd.config import parse
from discoveryd.dns import delegation
from discoveryd.dns.delegation import DELEGATE, DNSMASQ, NETWORK_MANAGER, RESOLVED
from discoveryd.errors import ConfigError
from discoveryd.install import machine, names
from tests.install.conftest import CONFIG, PORTS, ROOT

ADDRESS = ("127.0.0.1", 3453)
ACTIVE = "systemctl is-active"


def said(**answers):
    """Give what commands print: ``resolved="257"`` is a systemd-resolved of that version."""
    version = answers.pop("version", 252)
    active = answers.pop("active", "systemd-resolved")
    printed = {f"{ACTIVE} {active}": "active\n", "systemctl --version": f"systemd {version} (x)\n", **answers}

    def run(*command):
        return printed.get(" ".join(command), "")

    return run


@pytest.mark.parametrize(("version", "path", "lines"), [
    (258, DELEGATE, ["[Delegate]", "DNS=127.0.0.1:3453", "Domains=peers.internal"]),
    (252, RESOLVED, ["[Resolve]", "DNS=127.0.0.1:3453", "Domains=~peers.internal"]),
])  # fmt: skip
def test_systemd_resolved_gets_what_its_version_knows(tmp_path, version, path, lines):
    found = delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=said(version=version))
    assert found.path == path
    assert found.content.decode().splitlines() == [delegation.ABOUT, *lines]
    assert delegation.reload_of(path) == ("systemctl", "restart", "systemd-resolved")


@pytest.mark.parametrize(("address", "there"), [
    (("0.0.0.0", 53), "127.0.0.1:53"), (("::", 53), "127.0.0.1:53"), (("::1", 3453), "[::1]:3453"), (("10.0.0.1", 53), "10.0.0.1:53"),
])  # fmt: skip
def test_this_machine_asks_where_it_can(tmp_path, address, there):
    found = delegation.delegation(address, "x.example", root=str(tmp_path), run=said())
    assert f"DNS={there}\nDomains=~x.example" in found.content.decode()


def test_dnsmasq_gets_a_server_for_the_domain(tmp_path):
    """Peers have private addresses, which a guard against DNS rebinding would not let pass."""
    found = delegation.delegation(("::1", 3453), "peers.internal", root=str(tmp_path), run=said(active="dnsmasq"))
    assert (found.path, found.resolver) == (DNSMASQ, "dnsmasq")
    assert found.content.decode().splitlines()[1:] == ["server=/peers.internal/::1#3453", "rebind-domain-ok=/peers.internal/"]


@pytest.mark.parametrize("file", ["NetworkManager.conf", "conf.d/dns.conf"])
def test_network_manager_counts_where_it_runs_dnsmasq(tmp_path, file):
    settings = tmp_path / "etc/NetworkManager" / file
    settings.parent.mkdir(parents=True)
    run = said(active="NetworkManager")
    with pytest.raises(ValueError, match="no resolver runs here that could ask it"):
        delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=run)
    settings.write_text("[main]\ndns = dnsmasq\n")
    found = delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=run)
    assert (found.path, delegation.reload_of(found.path)[0]) == (NETWORK_MANAGER, "nmcli")


@pytest.mark.parametrize(("dns", "status", "why"), [
    ("Global: 1.1.1.1 9.9.9.9\nLink 2 (eth0): 10.0.0.1\n", "", r"servers for all links \(1\.1\.1\.1 9\.9\.9\.9\)"),
    ("Global:\nLink 2 (eth0):\n", "Fallback DNS Servers: 8.8.8.8\n", r"no servers but its built-in ones \(8\.8\.8\.8\)"),
    ("Global: 127.0.0.1:3453\nLink 2 (eth0): 10.0.0.1\n", "Fallback DNS Servers: 8.8.8.8\n", ""),
    ("Global:\nLink 2 (eth0):\n", "", ""),
])  # fmt: skip
def test_an_older_systemd_resolved_needs_servers_on_links(tmp_path, dns, status, why):
    """Else it would ask discoveryd in their place, for whatever name."""
    run = said(**{"resolvectl dns": dns, "resolvectl status": status})
    if why:
        with pytest.raises(ValueError, match=why):
            delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=run)
    else:
        delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=run)
    newer = said(version=258, **{"resolvectl dns": dns, "resolvectl status": status})
    delegation.delegation(ADDRESS, "peers.internal", root=str(tmp_path), run=newer)


# --- the configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "", "log: {level: debug}\n", 'dns:\n  listen: "off"\n  zone: a.example\n', "dns:\n  zone: a.example\n\n  # why\n  listen: off\nlog:\n  level: debug\n",
    "dns: # x\n  listen: off # later\n", "hello: {}\n",
])  # fmt: skip
def test_names_are_switched_on_and_the_rest_stays(text):
    before, made = parse("c", text.encode(), {}), names.enabled(text.encode())
    after = parse("c", made, {})
    assert after.dns.listen == names.LISTEN
    assert (after.dns.zone, after.log, after.query) == (before.dns.zone, before.log, before.query)
    assert names.is_on(made)
    assert not names.is_on(text.encode())


@pytest.mark.parametrize("text", ["dns: {zone: a.example}\n", "{log: {level: debug}}\n", "dns: {listen: off}\n"])
def test_what_cannot_be_changed_is_said_with_what_to_write(text):
    with pytest.raises(ConfigError, match=r'write dns: \{listen: "127\.0\.0\.1:3453"\}'):
        names.enabled(text.encode())


# --- an image ---------------------------------------------------------------------------------------


@pytest.fixture
def image(root):
    """A root with a systemd-resolved of 257."""
    for path in ("usr/lib/systemd/systemd-resolved", "usr/lib/x/systemd/libsystemd-shared-257.so"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_an_image_gets_the_file_the_address_and_the_port(image, run):
    assert run("install", "--dns")[0] == 0
    assert b"DNS=127.0.0.1:3453" in (image / RESOLVED[1:]).read_bytes()
    assert names.is_on((image / CONFIG).read_bytes())
    assert {"SocketBindAllow=udp:3453", "SocketBindAllow=tcp:3453"} <= {*(image / PORTS).read_text().splitlines()}
    code, lines = run("install")  # what is on stays on
    assert code == 0
    assert not [line for line in lines if not line.startswith(("unchanged", "note"))]


def test_a_later_release_brings_its_default_with_names(image, run, shipped):
    run("install", "--dns")
    text = (ROOT / "config/discoveryd.yaml").read_bytes()
    shipped(discoveryd=text.replace(b"interval: 800ms", b"interval: 700ms"))
    run("install")
    config = parse("c", (image / CONFIG).read_bytes(), {})
    assert (config.dns.listen, config.parameters.interval) == (names.LISTEN, 0.7)


def test_an_edited_configuration_keeps_its_edits(image, run):
    run("install")
    file = image / CONFIG
    file.write_text(file.read_text().replace("interval: 800ms", "interval: 900ms"))
    code, lines = run("install", "--dns")
    assert code == 0
    assert [line for line in lines if line.startswith("changed")] == [f"changed   /{CONFIG}  (dns.listen is 127.0.0.1:3453)"]
    config = parse("c", file.read_bytes(), {})
    assert (config.dns.listen, config.parameters.interval) == (names.LISTEN, 0.9)
    assert not (image / f"{CONFIG}.new").exists()


def test_uninstall_takes_it_back_alone_or_with_the_rest(image, run):
    run("install", "--dns")
    assert run("uninstall", "--dns") == (0, [f"removed   {RESOLVED}"])
    assert not (image / RESOLVED[1:]).parent.exists()
    assert (image / CONFIG).exists()
    run("install", "--dns")
    run("uninstall")
    assert not (image / RESOLVED[1:]).exists()
    assert run("uninstall", "--dns") == (0, [])


def test_a_file_of_another_is_neither_replaced_nor_removed(image, run, capsys):
    file = image / RESOLVED[1:]
    file.parent.mkdir(parents=True)
    file.write_text("[Resolve]\nDNS=10.0.0.53\n")
    assert run("install", "--dns")[0] == 1
    run("uninstall", "--dns")
    assert file.read_text() == "[Resolve]\nDNS=10.0.0.53\n"


def test_a_machine_without_a_resolver_is_left_as_it_was(root, run):
    assert run("install", "--dns") == (1, [])
    assert not list(root.iterdir())


def test_another_resolver_gets_its_file_and_the_former_one_goes(image, run):
    run("install", "--dns")
    (image / "usr/lib/x/systemd/libsystemd-shared-257.so").rename(image / "usr/lib/x/systemd/libsystemd-shared-258.so")
    run("install", "--dns")
    assert (image / DELEGATE[1:]).exists()
    assert not (image / RESOLVED[1:]).exists()
    assert delegation.written(str(image)) == DELEGATE


# --- a machine that runs ----------------------------------------------------------------------------


@pytest.fixture
def live(monkeypatch, image):
    """A machine that the test plays, with a systemd-resolved of 252; what is done is noted."""
    done = []
    monkeypatch.setattr(machine, "said", said())
    monkeypatch.setattr(machine, "do", lambda *command: done.append(" ".join(command)))
    return done


def test_the_resolver_is_restarted_after_a_change_only(live, tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "resolved.conf.d/discoveryd.conf")
    for name in ("PATHS", "OF_SYSTEMD"):
        monkeypatch.setattr(delegation, name, (path,))
    monkeypatch.setattr(delegation, "reload_of", lambda _: ("restart", "it"))
    wanted = delegation.Delegation(path, f"{delegation.ABOUT}\n[Resolve]\n".encode())
    monkeypatch.setattr(delegation.Delegation, "resolver", "it")
    for _ in range(2):
        names.put(wanted, "", is_dry=False)
    assert live == ["restart it"]
    names.put(wanted, "", is_dry=True)
    names.remove("", is_dry=True)
    assert live == ["restart it"]
    names.remove("", is_dry=False)
    assert live == ["restart it"] * 2
    assert "removed" in capsys.readouterr().out


def test_what_is_not_found_is_said(monkeypatch):
    monkeypatch.setattr(names, "PATIENCE", 0.0)
    monkeypatch.setattr(names, "resolve", _fail)
    assert "discoveryd.peers.internal is not found" in names.find("peers.internal")
    monkeypatch.setattr(names, "resolve", lambda *_: ("127.0.0.1",))
    assert names.find("peers.internal") == ""


def _fail(*_):
    raise OSError(-2, "Name or service not known")
