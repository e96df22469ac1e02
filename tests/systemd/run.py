"""The service on booted machines: what issue and README promise of it, shown on a real systemd.

    sudo python tests/systemd/run.py                    Debian 12 and 13, two machines each
    sudo python tests/systemd/run.py --suite trixie     one of them
    sudo python tests/systemd/run.py --show packages    the Debian package, and environments of uv tool and pipx, alone

For a person with root: it needs systemd-container and debootstrap, a Debian mirror and a package index the first
time, and about three minutes for each suite (the watchdog's 30 s among them). The machines have no uplink, and are
gone when it ends, however it ends. It prints a line for each promise, and ends with 0 if all were kept.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.netns.daemons import asking, names  # noqa: E402
from tests.netns.daemons import until as until_listed  # noqa: E402
from tests.netns.lab import Lab  # noqa: E402
from tests.systemd.goodbyes import each_way  # noqa: E402
from tests.systemd.machine import MIRROR, Machine, debian, until, why_not  # noqa: E402
from tests.systemd.mirror import wheels  # noqa: E402
from tests.systemd.packages import Packages  # noqa: E402

SUITES = ("bookworm", "trixie")
ENVIRONMENT = "/opt/discoveryd"
CONFIG = "/etc/discoveryd/discoveryd.yaml"
WATCHDOG = 30.0
"""Seconds, WatchdogSec= of the unit."""
INSIDE = "DISCOVERYD_LAB_INSIDE"
SEALED = "security: {mode: require, keys: [discoveryd.key]}"


def main() -> int:
    """Show it all, on each suite."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", action="append", choices=SUITES, help="Debian to boot (all)")
    parser.add_argument("--mirror", default=MIRROR, help="where debootstrap gets Debian (%(default)s)")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument("--cache", type=Path, default=Path(home, "discoveryd-lab"), help="what is kept (%(default)s)")
    parser.add_argument("--show", action="append", choices=("service", "packages"), help="what to show (both)")
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot be shown here: {reason}", file=sys.stderr)
        return 2
    if not os.environ.get(INSIDE):  # a mount namespace of its own: the disks are gone with it
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe("unshare", command, {**os.environ, INSIDE: "1"})
    for suite in options.suite or SUITES:
        image = debian(suite, options.cache, options.mirror)
        for show in options.show or ("service", "packages"):
            with TemporaryDirectory(prefix="discoveryd-lab-") as directory, ExitStack() as stack:
                if show == "service":
                    Show(suite, image, Path(directory), stack).all()
                else:
                    Packages(suite, image, Path(directory), options.cache, stack).all()
    return 0


class Show:
    """Two machines of one suite, and what they show.

    Args:
        suite: for the lines printed.
        image: the system they run.
        directory: for their disks.
        stack: ends what was begun.
    """

    def __init__(self, suite: str, image: Path, directory: Path, stack: ExitStack) -> None:
        self._suite = suite
        lab = stack.enter_context(Lab())
        made = wheels(image, directory / "wheels")
        self.machines = []
        for number, name in enumerate(("a", "b"), 1):
            machine = Machine(lab.host(name, address=f"10.77.0.{number}/24"), image, directory / "machines")
            stack.callback(machine.close)
            machine.prepare()
            subprocess.run(["cp", "-r", made, machine.root / "srv/wheels"], check=True)
            self.machines.append(machine)
        self.a, self.b = self.machines

    def all(self) -> None:
        """Show everything, in an order in which each leaves the machines well."""
        self.booted()
        self.installed()
        self.each_lists_the_other()
        self.a_second_install_changes_nothing()
        self.a_reload_keeps_the_table()
        self.a_broken_configuration_is_refused()
        self.a_health_command_runs_in_the_sandbox()
        self.a_hook_runs_in_the_sandbox()
        self.exports_are_for_all_and_outlive_a_restart()
        self.what_changes_anything_needs_the_token()
        self.a_key_is_a_credential_and_stays_one_at_a_reload()
        self.a_message_reaches_a_program_in_the_sandbox()
        self.a_message_reaches_a_service_of_the_user()
        self.no_port_but_those_of_the_configuration()
        self.killed_it_is_restarted()
        self.stopped_it_is_restarted_by_the_watchdog()
        self.a_goodbye_says_why()
        self.back_after_a_reboot()
        self.back_after_a_boot_without_network()
        self.back_after_the_cable_was_pulled()
        self.activated_by_its_socket()
        self.uninstalled()

    def say(self, text: str, seconds: float | None = None) -> None:
        """Print what was shown."""
        print(f"{self._suite:<9} ok  {text}" + ("" if seconds is None else f": {seconds:.2f} s"), flush=True)

    def booted(self) -> None:
        """Boot them and make them an environment with the wheel in it."""
        for machine in self.machines:
            machine.boot()
            machine.run("python3", "-m", "venv", ENVIRONMENT)
            pip = (f"{ENVIRONMENT}/bin/pip", "install", "-q", "--no-index", "--find-links=/srv/wheels", "discoveryd")
            machine.run(*pip)
        self.before = _files(self.b)
        version = self.a.run("systemctl", "--version").stdout.partition("\n")[0]
        self.say(f"two machines run {version}; the wheel is in {ENVIRONMENT}")

    def installed(self) -> None:
        """Install, and look at the unit with systemd's own eyes."""
        for machine in self.machines:
            printed = machine.run(f"{ENVIRONMENT}/bin/discoveryd", "install", "--now").stdout
            assert "made      /etc/discoveryd/discoveryd.yaml" in printed, printed
            assert machine.run("systemctl", "is-active", "discoveryd").stdout.strip() == "active"
            assert machine.run("systemctl", "is-enabled", "discoveryd").stdout.strip() == "enabled"
            assert machine.show("StatusText").endswith(" 1 link"), machine.show("StatusText")
        self.say(f"discoveryd install --now: {printed.splitlines()[-1]}")
        verified = self.a.run("systemd-analyze", "verify", "--man=no", "discoveryd.service", "discoveryd.socket")
        assert not verified.stdout + verified.stderr, verified
        security = self.a.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "discoveryd").stdout
        self.say(f"systemd-analyze verify is silent; security: {security.splitlines()[-1].lstrip('→ ')}")

    def each_lists_the_other(self) -> None:
        """Wait until it is so."""
        took = self._until_each_lists_the_other()
        printed = self.a.run("discoveryctl", "list").stdout
        assert "b " in printed, printed
        self.say("each lists the other", took)
        with asking(self.a.host) as on_a:
            assert on_a.request("status")["receive_buffer"]["quiet"]
        assert self.a.run("head", "-1", "/usr/local/bin/discoveryctl").stdout == f"#!{ENVIRONMENT}/bin/python3 -IS\n"
        self.say("in the sandbox quiet HELLOs have a socket of their own; discoveryctl starts without site")

    def a_second_install_changes_nothing(self) -> None:
        """Install again: the process stays."""
        pid = self.a.show("MainPID")
        printed = self.a.run("discoveryd", "install", "--now").stdout
        said = {line.split()[0] for line in printed.splitlines()[:-1]}
        assert said == {"unchanged"}, printed
        assert self.a.show("MainPID") == pid
        self.say("a second install changes nothing")

    def a_reload_keeps_the_table(self) -> None:
        """Change a tag and reload."""
        pid = self.a.show("MainPID")
        with asking(self.a.host) as on_a, asking(self.b.host) as on_b:
            (before,) = on_a.request("list")["peers"]
            self._configure(self.a, "node: {tags: {role: db}}")
            self.a.run("systemctl", "reload", "discoveryd")
            (after,) = on_a.request("list")["peers"]
            assert after["first_seen_s"] >= before["first_seen_s"]
            _, took = until_listed(on_b, lambda peers: [peer["tags"] for peer in peers] == [{"role": "db"}])
        assert self.a.show("MainPID") == pid
        self.say("systemctl reload keeps process and table; the other sees the new tag", took)

    def a_broken_configuration_is_refused(self) -> None:
        """Break it and reload, and start with it."""
        self._configure(self.a, "hello: {intervall: 1s}")
        reloaded = self.a.run("systemctl", "reload", "discoveryd", check=False)
        assert reloaded.returncode, "a reload that changed nothing must not look like one that did"
        until(lambda: "did you mean hello.interval?" in self.a.journal(), "the fault in the journal", 5.0)
        assert self.a.run("systemctl", "is-active", "discoveryd").stdout.strip() == "active"
        assert self.a.run("discoveryctl", "list").stdout.count("\n") == 2
        tried = self.a.run("systemctl", "restart", "discoveryd", check=False)
        assert tried.returncode
        # "failed", not "activating": RestartPreventExitStatus=
        assert self.a.run("systemctl", "is-active", "discoveryd", check=False).stdout.strip() == "failed"
        self._configure(self.a, "")
        self.a.run("systemctl", "start", "discoveryd")
        self._until_each_lists_the_other()
        self.say("a broken configuration is refused on reload, and not tried again at a start")

    def a_health_command_runs_in_the_sandbox(self) -> None:
        """Announce a service while a command finds another user's process and reads the addresses."""
        command = "grep -qx dbus-daemon /proc/[0-9]*/comm && ip -br addr | grep -q eth0"
        (self.a.root / "etc/discoveryd/services.d/bus.yaml").write_text(
            f"name: bus\nport: 99\nhealth: {{command: '{command}', interval: 1s, timeout: 1s}}\n"
        )
        with asking(self.b.host) as on_b:
            _, took = until_listed(on_b, lambda peers: bool(peers), service="bus")
            self.a.run("systemctl", "stop", "dbus.service", "dbus.socket")
            until_listed(on_b, names(), service="bus")
        self.a.run("systemctl", "start", "dbus.socket", "dbus.service")
        (self.a.root / "etc/discoveryd/services.d/bus.yaml").unlink()
        self.say("a health command in the sandbox sees processes and addresses: its service comes and goes", took)

    def a_hook_runs_in_the_sandbox(self) -> None:
        """Have a hook of root's write down what becomes of the other."""
        hook, heard = self.a.root / "etc/discoveryd/hooks.d/10-note", self.a.root / "var/lib/private/discoveryd/heard"
        hook.write_text('#!/bin/sh\necho "$DISCOVERYD_EVENT $DISCOVERYD_PEER" >> /var/lib/discoveryd/heard\n')
        hook.chmod(0o755)
        self.a.run("systemctl", "reload", "discoveryd")
        self.b.run("systemctl", "stop", "discoveryd")
        took = until(lambda: heard.exists() and "left b" in heard.read_text(), "a hook that heard of it", 10.0)
        self.b.run("systemctl", "start", "discoveryd")
        hook.unlink()
        self._until_each_lists_the_other()
        self.say("a hook in the sandbox hears of the other", took)

    def exports_are_for_all_and_outlive_a_restart(self) -> None:
        """Keep a file that nobody in particular reads, restart meanwhile; and one where the sandbox does not let it."""
        kept, elsewhere = "/run/discoveryd/export/dnsmasq/peers", "/srv/peers.json"
        self._configure(self.a, f"export: [{{format: dnsmasq}}, {{format: json, path: {elsewhere}}}]")
        self.a.run("systemctl", "reload", "discoveryd")
        read = f"setpriv --reuid=nobody --regid=nogroup --clear-groups grep -q ' b.peers.internal' {kept}"
        until(lambda: not self.a.run("sh", "-c", read, check=False).returncode, "a file that nobody reads", 5.0)
        loop = f"systemctl restart discoveryd & while kill -0 $! 2>/dev/null; do {read} || echo lost; done; wait $!"
        assert self.a.run("sh", "-c", loop).stdout == ""
        until(lambda: "ReadWritePaths=/srv" in self.a.journal(), "the drop-in in the journal", 5.0)
        drop_in = "mkdir -p /etc/systemd/system/discoveryd.service.d; printf '[Service]\nReadWritePaths=/srv\n' > $0"
        place = "/etc/systemd/system/discoveryd.service.d/srv.conf"
        self.a.run("sh", "-c", f"{drop_in}; systemctl daemon-reload; chown --reference=/run/discoveryd /srv", place)
        self.a.run("systemctl", "restart", "discoveryd")
        took = until((self.a.root / elsewhere[1:]).exists, f"the file {elsewhere}", 10.0)
        self._configure(self.a, "")
        self.a.run("sh", "-c", f"rm -r {os.path.dirname(place)} {elsewhere}; chown root /srv; systemctl daemon-reload")
        self.a.run("systemctl", "restart", "discoveryd")
        self._until_each_lists_the_other()
        self.say("exports are readable for nobody and stay in a restart; the drop-in of the error helps", took)

    def what_changes_anything_needs_the_token(self) -> None:
        """Reload and register over the query socket, as root and as nobody."""
        self.a.run("discoveryctl", "reload")
        refused = self.a.run("setpriv", "--reuid=65534", "--clear-groups", "discoveryctl", "reload", check=False)
        assert refused.returncode
        assert "control.token" in refused.stderr, refused
        self.say("discoveryctl reload works for root, and not for a user without the token")

    def a_key_is_a_credential_and_stays_one_at_a_reload(self) -> None:
        """Give both one key of root's alone, and reload: what checks the configuration then has to see it too."""
        with self._sealed():
            pid = self.a.show("MainPID")
            self._configure(self.a, f"{SEALED}\nnode: {{tags: {{role: sealed}}}}")
            self.a.run("systemctl", "reload", "discoveryd")
            with asking(self.a.host) as on_a, asking(self.b.host) as on_b:
                until_listed(on_b, lambda peers: [peer["tags"] for peer in peers] == [{"role": "sealed"}])
                (key,) = on_a.request("status")["security"]["keys"]
                assert [peer["key"] for peer in on_b.request("list")["peers"]] == [key["id"]]
            assert self.a.show("MainPID") == pid
        self.say("a key that is a credential: sealed, and a reload finds it")

    @contextmanager
    def _sealed(self) -> Iterator[None]:
        """Give both one key, as a credential; take it away after the block."""
        made = self.a.run("sh", "-c", "mkdir -pm 700 /etc/credstore && discoveryd keygen /etc/credstore/discoveryd.key")
        assert "is in /etc/credstore/discoveryd.key" in made.stdout, made
        path = "etc/credstore/discoveryd.key"
        (self.b.root / path).parent.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["cp", "-p", self.a.root / path, self.b.root / path], check=True)
        for machine in self.machines:
            self._configure(machine, SEALED)
            machine.run("systemctl", "restart", "discoveryd")
        self._until_each_lists_the_other()
        yield
        for machine in self.machines:
            self._configure(machine, "")
            machine.run("systemctl", "restart", "discoveryd")
            (machine.root / path).unlink()
            if "/etc/credstore" not in self.before:
                (machine.root / path).parent.rmdir()
        self._until_each_lists_the_other()

    def a_message_reaches_a_program_in_the_sandbox(self) -> None:
        """Ask for programs of messages.d: one that tries what the unit forbids, one that hangs, one that nobody may start."""
        directory = self.a.root / "etc/discoveryd/messages.d"
        assert directory.is_dir()
        scripts = {
            "note": 'echo "$(cat) of $DISCOVERYD_PEER, $(touch /etc/discoveryd/mine 2>&1 && echo written)"',
            "hang": "sleep 600 & sleep 600",
            "other": "echo never",
        }
        for name, script in scripts.items():
            (directory / name).write_text(f"#!/bin/sh\n{script}\n")
            (directory / name).chmod(0o755)
        with self._sealed():
            rules = "[{name: note, from: b}, {name: hang, from: '*'}]"
            self._configure(self.a, f"{SEALED}\nmessages: {{allow: {rules}}}\nlimits: {{hook_timeout: 1s}}")
            self.a.run("systemctl", "reload", "discoveryd")
            pid = self.a.show("MainPID")
            self._until_answered("note")
            said = self.b.run("discoveryctl", "ask", "note", "hello", "--everyone").stdout
            assert "hello of b, " in said, said
            assert "cannot touch" in said, said
            refused = self.b.run("discoveryctl", "ask", "other", "--everyone", check=False)
            assert "refused, denied" in refused.stderr, refused
            hung = self.b.run("discoveryctl", "ask", "hang", "--everyone", check=False)
            assert "refused, failed" in hung.stderr, hung
            assert "sleep" not in self.a.run("systemctl", "status", "--no-pager", "discoveryd").stdout
            nobody = ("setpriv", "--reuid=65534", "--clear-groups", "discoveryctl")
            denied = self.b.run(*nobody, "ask", "note", "--everyone", check=False)
            assert "control.token" in denied.stderr, denied
            assert self.b.run(*nobody, "ask", "upper", "hello", "--everyone").stdout.endswith("HELLO\n")
            assert self.a.show("MainPID") == pid
        for name in scripts:
            (directory / name).unlink()
        self.say("a program of messages.d answers from the sandbox, and one that hangs is ended")

    def _until_answered(self, name: str) -> None:
        """Wait until the other has looked at its messages.d, and each has answered the other."""
        asked = ("discoveryctl", "ask", name, "x", "--everyone")
        until(lambda: self.b.run(*asked, check=False).returncode == 0, f"an answer to {name}", 10.0)

    def a_message_reaches_a_service_of_the_user(self) -> None:
        """Follow the recipe of docs/messages.md: a service of its own deploys what a message names."""
        page = (ROOT / "docs/messages.md").read_text(encoding="utf-8")
        section = page.partition("### A deploy signal to all workers, with a quorum")[2].partition("\n###")[0]
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        agent, line = (dict(blocks)[kind] for kind in ("python", "sh"))
        group, unit = (block for kind, block in blocks if kind == "ini")
        self.a.run("useradd", "--system", "--user-group", "deploy")
        files = {
            "opt/deploy/agent.py": agent, "etc/systemd/system/deploy-agent.service": unit,
            "etc/systemd/system/discoveryd.service.d/group.conf": group,
            "usr/local/bin/deploy": '#!/bin/sh\necho "$*" >> /tmp/deployed\n',
        }  # fmt: skip
        for path, text in files.items():
            (self.a.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.a.root / path).write_text(text)
        (self.a.root / "usr/local/bin/deploy").chmod(0o755)
        self._configure(self.a, "node: {tags: {role: worker}}")
        self.a.run("systemctl", "daemon-reload")
        self.a.run("systemctl", "restart", "discoveryd")
        self.a.run("systemctl", "start", "deploy-agent")
        took = until(lambda: self.b.run("sh", "-c", line, check=False).returncode == 0, "the worker's word", 15.0)
        until(lambda: self.a.run("cat", "/tmp/deployed", check=False).stdout.startswith("v2\n"), "the deployment", 5.0)
        self.a.run("systemctl", "stop", "deploy-agent")
        for path in files:
            (self.a.root / path).unlink()
        self._configure(self.a, "")
        self.a.run("systemctl", "daemon-reload")
        self.a.run("systemctl", "restart", "discoveryd")
        self._until_each_lists_the_other()
        self.say("the deploy recipe: a service of its own user gets the message", took)

    def no_port_but_those_of_the_configuration(self) -> None:
        """Ask for another port: refused by reload, check and bind, until install has written it beside the unit."""
        self._configure(self.a, "metrics: {listen: '127.0.0.1:9341'}")
        why = "metrics.listen: the unit of the service forbids it tcp port 9341 (SocketBindDeny=): as root run discoveryd install"
        checked = self.a.run("discoveryd", "check", check=False)
        assert checked.returncode == 2, checked
        assert why in checked.stderr, checked
        assert self.a.run("systemctl", "reload", "discoveryd", check=False).returncode
        asked = self.a.run("discoveryctl", "reload", check=False)
        assert asked.returncode, asked
        assert why in asked.stderr, asked
        self.a.run("systemctl", "restart", "discoveryd")
        with asking(self.a.host) as on_a:
            error = on_a.request("status")["metrics"]["error"]
        if "+BPF_FRAMEWORK" in self.a.run("systemctl", "--version").stdout:  # not in Debian 12: nothing is enforced there
            assert "Operation not permitted: a unit that runs it forbids that port" in error, error
        else:
            assert error is None, error
        printed = self.a.run("discoveryd", "install", "--now").stdout
        assert "ports.conf" in printed, printed
        with asking(self.a.host) as on_a:
            assert on_a.request("status")["metrics"]["error"] is None
        self.a.run("discoveryd", "check")
        self._configure(self.a, "")
        self.a.run("discoveryd", "install", "--now")
        self._until_each_lists_the_other()
        self.say("a port that the configuration had not is forbidden, and said so, until install allows it")

    def killed_it_is_restarted(self) -> None:
        """Kill it the hard way."""
        took = self._restarted("SIGKILL", within=10.0)
        self.say("kill -9: restarted, and listed again", took)

    def stopped_it_is_restarted_by_the_watchdog(self) -> None:
        """Stop it, so that it lives and does nothing."""
        took = self._restarted("SIGSTOP", within=WATCHDOG + 20.0)
        journal = self.a.journal("discoveryd.service", "-b")
        assert "Watchdog timeout" in journal, journal
        assert "most recent call first" in journal, journal
        self.say("SIGSTOP: the watchdog restarts it, what its threads were at is in the journal", took)

    def a_goodbye_says_why(self) -> None:
        """Restart and stop it, reboot the machine and switch it off."""
        took = each_way(self.a, self.b, self._until_each_lists_the_other)
        self.say("restart, stop, reboot and poweroff: the other reads which it was; a stop takes", took)

    def back_after_a_reboot(self) -> None:
        """Reboot."""
        booting = self.a.reboot()
        assert self.a.run("systemctl", "is-active", "discoveryd").stdout.strip() == "active"
        took = self._until_each_lists_the_other()
        self.say(f"reboot: up in {booting:.2f} s, then each lists the other", took)

    def back_after_a_boot_without_network(self) -> None:
        """Reboot without a link, and give it one later."""
        self.a.host.ip("link set eth0 down")
        self.a.reboot()
        assert self.a.run("systemctl", "is-active", "discoveryd").stdout.strip() == "active"
        with asking(self.a.host) as on_a:
            assert on_a.request("status")["links"] == []
        self.a.host.ip("link set eth0 up")
        took = self._until_each_lists_the_other(within=2.0)
        self.say("booted without a network it is active; the link comes, and each lists the other", took)

    def back_after_the_cable_was_pulled(self) -> None:
        """Pull the cable until nobody is listed, and plug it in again."""
        with asking(self.a.host) as on_a, asking(self.b.host) as on_b:
            self.a.host.cable(up=False)
            until_listed(on_a, names())
            until_listed(on_b, names())
            self.a.host.cable(up=True)
            took = self._until_each_lists_the_other(within=2.0)
        self.say("cable pulled and replugged: each lists the other", took)

    def activated_by_its_socket(self) -> None:
        """Have systemd hold the query port."""
        self.a.run("discoveryd", "install", "--now", "--socket")
        self.a.run("systemctl", "stop", "discoveryd")
        self.a.run("discoveryctl", "status")  # whoever asks starts it
        assert self.a.run("systemctl", "is-active", "discoveryd").stdout.strip() == "active"
        self.a.run("systemctl", "restart", "--no-block", "discoveryd")
        self.a.run("discoveryctl", "status")  # whoever asks meanwhile waits
        self._until_each_lists_the_other()
        self.say("with discoveryd.socket a question starts the service, and waits for one that restarts")

    def uninstalled(self) -> None:
        """Uninstall, and compare all files with what was there before."""
        for machine in self.machines:
            machine.run("discoveryd", "uninstall")
            assert machine.run("systemctl", "is-active", "discoveryd", check=False).stdout.strip() == "inactive"
            assert machine.show("LoadState") == "not-found", machine.show("LoadState")
            assert machine.show("LoadState", "discoveryd.socket") == "not-found"
        left = _files(self.b) - self.before
        assert left == {"/etc/discoveryd", CONFIG}, left
        assert not self.before - _files(self.b)
        self.say(f"uninstall leaves nothing but {CONFIG}")

    def _until_each_lists_the_other(self, within: float = 15.0) -> float:
        began = monotonic()
        for machine, other in ((self.a, "b"), (self.b, "a")):
            with asking(machine.host) as client:
                until_listed(client, names(other), within=max(0.0, began + within - monotonic()))
        return monotonic() - began

    def _restarted(self, signal: str, within: float) -> float:
        """Send the daemon a signal; give the seconds until another one is ready and both list each other."""
        began = monotonic()
        pid = self.a.show("MainPID")
        self.a.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "discoveryd")
        ready = lambda: self.a.show("MainPID") not in {pid, "0"} and self.a.show("ActiveState") == "active"
        until(ready, f"another process after {signal}", within)
        self._until_each_lists_the_other()
        return monotonic() - began

    def _configure(self, machine: Machine, text: str) -> None:
        (machine.root / CONFIG.lstrip("/")).write_text(f"{text}\n")


def _files(machine: Machine) -> set[str]:
    """Give all files of the system, but for those that come and go without us."""
    listed = machine.run("find", "/etc", "/usr", "/var", "/opt", "-xdev", "-not", "-name", "__pycache__",
                         "-not", "-path", "*/__pycache__/*").stdout  # fmt: skip
    passing = ("/var/log/", "/var/tmp/", "/var/lib/systemd/", "/var/cache/")
    return {path for path in listed.splitlines() if not path.startswith(passing)}


if __name__ == "__main__":
    sys.exit(main())
