"""Ways to have discoveryd on a machine: the Debian package, and the environments of uv tool and pipx.

The machines have nothing but what the distribution's mirror has, as a directory: there is no uplink.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from tests.netns.daemons import asking, names
from tests.netns.daemons import until as until_listed
from tests.netns.lab import Lab
from tests.systemd.goodbyes import reasons
from tests.systemd.machine import Machine, until
from tests.systemd.mirror import SOURCES, mirror, next_release, package, wheels, with_tools

CONFIG = "etc/discoveryd/discoveryd.yaml"
ENVIRONMENT = "/opt/discoveryd"
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy")
LISTED = 10.0
"""Seconds after `apt install` in which a peer has to be listed."""
TARGETS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9090/api/v1/targets', timeout=5).read().decode())"


class Packages:
    """Two machines of one suite, and ways to have discoveryd there.

    Args:
        suite: for the lines printed.
        image: the system they run.
        directory: for their disks.
        cache: where the mirror is kept.
        stack: ends what was begun.
    """

    def __init__(self, suite: str, image: Path, directory: Path, cache: Path, stack: ExitStack) -> None:
        self._suite = suite
        lab = stack.enter_context(Lab())
        debs = mirror(suite, image, cache)
        built = package(directory / "built")
        later = next_release(built)
        environments = with_tools(wheels(image, directory / "wheels"))
        self.machines = []
        for number, name in enumerate(("a", "b"), 1):
            machine = Machine(lab.host(name, address=f"10.77.0.{number}/24"), image, directory / "machines")
            stack.callback(machine.close)
            machine.prepare()
            for source, place in ((environments, "wheels"), (debs, "mirror"), (built, built.name), (later, later.name)):
                subprocess.run(["cp", "-r", source, machine.root / "srv" / place], check=True)
            (machine.root / "etc/apt/sources.list").write_text(SOURCES)
            self.machines.append(machine)
        self.a, self.b = self.machines
        self._package, self._later = f"/srv/{built.name}", f"/srv/{later.name}"

    def all(self) -> None:
        """Show everything, in an order in which each leaves the machines well."""
        self.booted()
        self.installed_by_apt()
        self.everything_is_in_its_place()
        self.it_takes_over_from_an_environment()
        self.dnsmasq_and_prometheus_read_the_exports()
        self.another_port_needs_install_alone()
        self.upgraded()
        self.another_python_gets_byte_code()
        self.another_python_gets_another_daemon()
        self.back_after_a_reboot()
        self.purged()
        self.installed_from_a_tool("uv")
        self.installed_from_a_tool("pipx")
        self.installed_from_a_tool_for_all()

    def say(self, text: str, seconds: float | None = None) -> None:
        """Print what was shown."""
        print(f"{self._suite:<9} ok  {text}" + ("" if seconds is None else f": {seconds:.2f} s"), flush=True)

    def booted(self) -> None:
        """Boot both; one has an environment's daemon, with an id, a history and a configuration of its own."""
        for machine in self.machines:
            machine.boot()
            machine.run("apt-get", "-q", "update")
        self.a.run("python3", "-m", "venv", ENVIRONMENT)
        self.a.run(f"{ENVIRONMENT}/bin/pip", "install", "-q", "--no-index", "--find-links=/srv/wheels", "discoveryd")
        self.files = _files(self.b)
        self.a.run(f"{ENVIRONMENT}/bin/discoveryd", "reset-id")
        self.a.run(f"{ENVIRONMENT}/bin/discoveryd", "install", "--now")
        self.say(f"two machines run {self.a.run('python3', '--version').stdout.strip()}; one has an environment's daemon")

    def installed_by_apt(self) -> None:
        """Install the package on the other."""
        began = monotonic()
        printed = self.b.run(*APT, "install", self._package)
        took = monotonic() - began
        with asking(self.b.host) as on_b:
            _, listed = until_listed(on_b, names("a"), within=LISTED)
        assert self.b.run("systemctl", "is-enabled", "discoveryd").stdout.strip() == "enabled", printed
        self.say(f"apt install of the package with all it needs, in {took:.0f} s; after it a peer is listed", listed)

    def everything_is_in_its_place(self) -> None:
        """Look at what the package has put where."""
        assert self.b.run("dpkg", "--verify", "discoveryd").stdout == ""
        assert self.b.run("head", "-1", "/usr/bin/discoveryctl").stdout == "#!/usr/bin/python3 -IS\n"
        verified = self.b.run("systemd-analyze", "verify", "--man=no", "discoveryd.service", "discoveryd.socket")
        assert not verified.stdout + verified.stderr, verified
        security = self.b.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "discoveryd").stdout
        for path in ("man/man8/discoveryd.8.gz", "bash-completion/completions/discoveryctl", "discoveryd/docs/routed.md"):
            self.b.run("test", "-s", f"/usr/share/{path}")
        assert self.b.run("discoveryd", "manual", "routed").stdout.startswith("# ")
        assert not [path for path in _files(self.b) - self.files if path.startswith("/usr/local/")]
        refused = self.b.run("discoveryd", "uninstall", check=False)
        assert "apt remove discoveryd" in refused.stderr, refused
        self.say(f"units, commands, pages, completions; security: {security.splitlines()[-1].lstrip('→ ')}")

    def it_takes_over_from_an_environment(self) -> None:
        """Give both a key and one a configuration, then install the package where an environment is."""
        self.a.run("sh", "-c", "mkdir -pm 700 /etc/credstore && discoveryd keygen /etc/credstore/discoveryd.key")
        (self.b.root / "etc/credstore").mkdir(mode=0o700, exist_ok=True)
        key = "etc/credstore/discoveryd.key"
        subprocess.run(["cp", "-p", self.a.root / key, self.b.root / key], check=True)
        sealed = "security: {mode: require, keys: [discoveryd.key]}"
        self._configure(self.a, f"node: {{tags: {{role: old}}}}\n{sealed}")
        self._configure(self.b, sealed)
        for machine in self.machines:
            machine.run("systemctl", "restart", "discoveryd")
        self._until_each_lists_the_other()
        until(lambda: self._joins(self.a) > 0, "a history, which begins some seconds after the start", 20.0)
        before, events = self._identity(self.a), self._joins(self.a)
        printed = self.a.run(*APT, "install", self._package).stdout
        assert f"rm -r {ENVIRONMENT}" in printed, printed
        took = self._until_each_lists_the_other(within=LISTED)
        assert self._identity(self.a) == before
        until(lambda: self._joins(self.a) >= events, "what the history knew before", 20.0)
        assert self.a.show("FragmentPath").endswith("/lib/systemd/system/discoveryd.service")
        assert self.a.run("systemctl", "is-enabled", "discoveryd").stdout.strip() == "enabled"
        assert self.a.run("find", "/usr/local", "-type", "f", "-o", "-type", "l", "-lname", "*discovery*").stdout == ""
        assert self.a.run("sh", "-c", "command -v discoveryctl").stdout == "/usr/bin/discoveryctl\n"
        self.a.run("rm", "-r", ENVIRONMENT)
        self.a.run("discoveryctl", "list")
        self.say("the package takes over from an environment: id, configuration, key and history are kept", took)

    def dnsmasq_and_prometheus_read_the_exports(self) -> None:
        """Have Debian's dnsmasq and Prometheus read what the unit exports, and restart it under them."""
        self.b.run(*APT, "install", "--no-install-recommends", "dnsmasq-base", "prometheus")
        self._configure(self.b, "security: {mode: require, keys: [discoveryd.key]}\n"
                                "export: [{format: dnsmasq}, {format: prometheus, port: 9341, self: off}]")  # fmt: skip
        self.b.run("systemctl", "reload", "discoveryd")
        jobs = "scrape_configs: [{job_name: nodes, file_sd_configs: [{files: [/run/discoveryd/export/prometheus.json]}]}]\n"
        (self.b.root / "etc/prometheus/prometheus.yml").write_text(jobs)
        self.b.run("systemctl", "restart", "prometheus")
        until(lambda: not self.b.run("test", "-s", "/run/discoveryd/export/dnsmasq/peers", check=False).returncode, "a file", 5.0)
        options = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces",
                   "--hostsdir=/run/discoveryd/export/dnsmasq", "--local=/peers.internal/")  # fmt: skip
        self.b.run("systemd-run", "--unit=names", "--quiet", "dnsmasq", *options)
        (self.b.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1\n")
        took = until(lambda: self._found() and self._targets(), "a name and a target", 30.0)
        lost = []
        for number in range(3):
            restarting = ["systemctl", "restart", *(["--no-block"] if number else []), "discoveryd"]
            self.b.run(*restarting)
            lost += [what for what, there in (("name", self._found()), ("target", self._targets())) if not there]
        self._until_each_lists_the_other()
        until(lambda: self.b.show("ActiveState") == "active" and self._found() and self._targets(), "both", 10.0)
        assert lost == []
        self.b.run("systemctl", "stop", "names", "prometheus")
        self.say("dnsmasq answers a peer's name and Prometheus has its target, through three restarts", took)

    def another_port_needs_install_alone(self) -> None:
        """Configure a port that the unit does not allow."""
        self._configure(self.b, "security: {mode: require, keys: [discoveryd.key]}\nmetrics: {listen: '127.0.0.1:9341'}")
        refused = self.b.run("systemctl", "reload", "discoveryd", check=False)
        assert refused.returncode
        assert "as root run discoveryd install" in self.b.journal()
        printed = self.b.run("discoveryd", "install", "--now").stdout
        assert "made      /etc/systemd/system/discoveryd.service.d/ports.conf" in printed, printed
        with asking(self.b.host) as on_b:
            assert on_b.request("status")["metrics"]["error"] is None
        self._until_each_lists_the_other()
        self.say("another port: discoveryd install allows it beside the unit of the package")

    def upgraded(self) -> None:
        """Install a later release: an edited configuration stays, the other becomes the later sample."""
        before = [self._identity(machine) for machine in self.machines]
        config = (self.a.root / CONFIG).read_text()
        for machine in self.machines:
            pid = machine.show("MainPID")
            machine.run(*APT, "install", self._later)
            assert machine.show("MainPID") not in {pid, "0"}
        took = self._until_each_lists_the_other(within=LISTED)
        until(lambda: reasons(self.a, "b")[-1:] == ["said goodbye: upgrade"], "the goodbye of an upgrade", 10.0)
        assert [self._identity(machine) for machine in self.machines] == before
        assert (self.a.root / CONFIG).read_text() == config
        assert (self.a.root / f"{CONFIG}.new").read_text().startswith("# of a later release\n")
        self.say("upgraded without a question: id, configuration, key and history are kept, and the others are told", took)

    def another_python_gets_byte_code(self) -> None:
        """Let dpkg tell the package of another Python: byte code is made, and a daemon of this Python stays."""
        pid, cache = self.b.show("MainPID"), "/usr/lib/python3/dist-packages/discoveryd/protocol/__pycache__"
        self.b.run("rm", "-r", cache)
        self.b.run("dpkg-trigger", "--by-package=python3-minimal", "--no-await", "/usr/bin/python3")
        self.b.run("dpkg", "--configure", "--pending")
        assert "node.cpython" in self.b.run("ls", cache).stdout
        assert self.b.show("MainPID") == pid
        self.say("another Python gets byte code; a daemon that runs on the same one goes on")

    def another_python_gets_another_daemon(self) -> None:
        """Let another interpreter take the place of /usr/bin/python3, as an upgrade to another minor release does."""
        pid, present = self.b.show("MainPID"), self.b.run("readlink", "/usr/bin/python3").stdout.strip()
        other = f"/usr/bin/{present}-other"
        self.b.run("cp", f"/usr/bin/{present}", other)
        for target in (other, present):
            self.b.run("ln", "-sf", target, "/usr/bin/python3")
            self.b.run("dpkg-trigger", "--by-package=python3-minimal", "--no-await", "/usr/bin/python3")
            self.b.run("dpkg", "--configure", "--pending")
            former, pid = pid, self.b.show("MainPID")
            assert pid not in {former, "0"}
            found = self.b.run("readlink", f"/proc/{pid}/exe").stdout.strip()
            assert os.path.basename(found) == os.path.basename(target), found
        self.b.run("rm", other)
        took = self._until_each_lists_the_other()
        until(lambda: reasons(self.a, "b")[-2:] == ["said goodbye: restart"] * 2, "two goodbyes of a restart", 10.0)
        self.say("with another Python in place dpkg restarts the daemon on it", took)

    def back_after_a_reboot(self) -> None:
        """Reboot."""
        for machine in self.machines:
            machine.reboot()
        self.say("both list each other after a reboot", self._until_each_lists_the_other())

    def purged(self) -> None:
        """Remove it and purge it; compare all files with what was there before."""
        self.b.run(*APT, "remove", "discoveryd")
        assert self.b.show("LoadState") == "not-found", self.b.show("LoadState")
        assert "/etc/discoveryd/discoveryd.yaml" in _files(self.b)
        for machine in self.machines:
            machine.run(*APT, "purge", "discoveryd")
            names = ("(", "-name", "*discoveryd*", "-o", "-name", "*discoveryctl*", ")")
            left = machine.run("find", "/etc", "/usr", "/var", "/opt", "/run", *names).stdout.split()
            # the key is the person's own, put where systemd keeps credentials
            assert left in ([], ["/etc/credstore/discoveryd.key"]), left
        self.say("apt purge leaves nothing")

    def installed_from_a_tool(self, tool: str) -> None:
        """Install with uv tool or pipx as root, then as a service: first as it says, then as it helps."""
        source = ("--no-index", "--find-links=/srv/wheels")
        if tool == "uv":
            self.a.run("/srv/wheels/uv", "tool", "install", "-q", "--offline", *source, "--python=/usr/bin/python3", "discoveryd")
            found = self.a.run("/srv/wheels/uv", "tool", "dir", "--bin").stdout.strip()
        else:
            self.a.run(*APT, "install", "--no-install-recommends", "pipx", timeout=240.0)
            pip = " ".join(source)
            self.a.run("env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/srv/wheels", "pipx", "install", f"--pip-args={pip}", "discoveryd")
            found = "/root/.local/bin"
        refused = self.a.run(f"{found}/discoveryd", "install", "--now", check=False)
        assert refused.returncode == 1, refused
        assert "ProtectHome= of its unit hides /root" in refused.stderr, refused
        assert "discoveryd install --copy copies this environment" in refused.stderr, refused
        printed = self.a.run(f"{found}/discoveryd", "install", "--copy", "--now").stdout
        assert "is active as a" in printed, printed
        assert self.a.run("head", "-1", "/usr/local/bin/discoveryctl").stdout == f"#!{ENVIRONMENT}/bin/python3 -IS\n"
        self.b.run(*APT, "install", self._package)
        took = self._until_each_lists_the_other(within=LISTED)
        again = self.a.run(f"{found}/discoveryd", "install", "--copy", "--now").stdout
        assert f"copied    {ENVIRONMENT}" in again, again
        self._taken_away(ENVIRONMENT)
        self.say(f"an environment of {tool} is refused with the remedy, and --copy installs it", took)

    def installed_from_a_tool_for_all(self) -> None:
        """Install with uv tool or pipx below /opt, where the service can reach it."""
        source = ("--no-index", "--find-links=/srv/wheels")
        uv = "/srv/wheels/uv tool install -q --offline --python=/usr/bin/python3"
        command = f"UV_TOOL_DIR=/opt/uv UV_TOOL_BIN_DIR=/usr/local/bin {uv} {' '.join(source)} discoveryd"
        tried = {"uv": (command, "/opt/uv")}
        if "--global" in self.a.run("pipx", "install", "--help").stdout:  # not in Debian 12
            tried["pipx"] = (f"pipx install --global --pip-args='{' '.join(source)}' discoveryd", "/opt/pipx")
        for tool, (line, place) in tried.items():
            self.a.run("sh", "-c", line)
            printed = self.a.run("discoveryd", "install", "--now").stdout
            assert "is active as a" in printed, printed
            assert self.a.run("head", "-1", "/usr/local/bin/discoveryctl").stdout.startswith(f"#!{place}/")
            self.b.run(*APT, "install", self._package)
            took = self._until_each_lists_the_other(within=LISTED)
            self._taken_away(place)
            self.say(f"an environment that {tool} makes for all is installed as it is", took)

    def _taken_away(self, place: str) -> None:
        """Uninstall, and remove the environment and the other's package."""
        self.a.run("discoveryd", "uninstall")
        self.a.run("rm", "-r", place, "/etc/discoveryd")
        self.b.run(*APT, "purge", "discoveryd")

    def _until_each_lists_the_other(self, within: float = 15.0) -> float:
        began = monotonic()
        for machine, other in ((self.a, "b"), (self.b, "a")):
            with asking(machine.host) as client:
                until_listed(client, names(other), within=max(0.0, began + within - monotonic()))
        return monotonic() - began

    def _identity(self, machine: Machine) -> tuple[str, object]:
        """Give the node id and the keys in force."""
        status = json.loads(machine.run("discoveryctl", "status", "--json").stdout)
        return status["node"]["id"], [key["id"] for key in status["security"]["keys"]]

    def _joins(self, machine: Machine) -> int:
        """Give how many peers joined as the history knows."""
        return machine.run("discoveryctl", "history", "--json", check=False).stdout.count('"joined"')

    def _found(self) -> bool:
        return self.b.run("getent", "ahostsv4", "a.peers.internal", check=False).stdout.startswith("10.77.0.1 ")

    def _targets(self) -> bool:
        return "10.77.0.1:9341" in self.b.run("python3", "-c", TARGETS, check=False).stdout

    def _configure(self, machine: Machine, text: str) -> None:
        (machine.root / CONFIG).write_text(f"{text}\n")


def _files(machine: Machine) -> set[str]:
    return set(machine.run("find", "/etc", "/usr", "/var/lib", "/opt", "-xdev").stdout.splitlines())
