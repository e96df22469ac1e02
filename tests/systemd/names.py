"""Names on booted machines: systemd-resolved asks the daemon as `install --dns` says, and everything else as before.

    sudo python tests/systemd/names.py                    Debian 12 and 13
    sudo python tests/systemd/names.py --suite trixie     one of them

For a person with root: it needs what run.py needs, and a Debian mirror each time, for systemd-resolved. It takes half a
minute for each suite. A machine runs the service; the other host has a peer, and the DNS server of the rest of the world.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.netns.daemons import TTL, asking, events, names  # noqa: E402
from tests.netns.daemons import until as until_listed  # noqa: E402
from tests.netns.lab import Lab  # noqa: E402
from tests.systemd.machine import MIRROR, PATH, Machine, debian, until, why_not  # noqa: E402
from tests.systemd.mirror import wheels  # noqa: E402

SUITES = ("bookworm", "trixie")
PACKAGES = ("systemd-resolved", "libnss-resolve")
ENVIRONMENT = "/opt/discoveryd"
FOREIGN = "printer.example.org"
FOREIGN_ADDRESS = "93.184.216.34"
FILE = "/etc/systemd/resolved.conf.d/discoveryd.conf"
SERVICE = {"DISCOVERYD_NODE__SERVICES": "[{name: render, port: 9000}]"}


def main() -> int:
    """Show it on each suite."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", action="append", choices=SUITES, help="Debian to boot (all)")
    parser.add_argument("--mirror", default=MIRROR, help="where debootstrap gets Debian (%(default)s)")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument("--cache", type=Path, default=Path(home, "discoveryd-lab"), help="what is kept (%(default)s)")
    options = parser.parse_args()
    if reason := why_not():
        print(f"cannot be shown here: {reason}", file=sys.stderr)
        return 2
    if not os.environ.get("DISCOVERYD_LAB_INSIDE"):  # a mount namespace of its own: the disks are gone with it
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe("unshare", command, {**os.environ, "DISCOVERYD_LAB_INSIDE": "1"})
    for suite in options.suite or SUITES:
        with TemporaryDirectory(prefix="discoveryd-lab-") as directory, ExitStack() as stack:
            NamesShow(suite, debian(suite, options.cache, options.mirror), Path(directory), stack).all()
    return 0


class NamesShow:
    """A machine with the service, a host with a peer, and what programs of the machine find.

    Args:
        suite: for the lines printed.
        image: the system it runs.
        directory: for its disk.
        stack: ends what was begun.
    """

    def __init__(self, suite: str, image: Path, directory: Path, stack: ExitStack) -> None:
        self._suite = suite
        lab = stack.enter_context(Lab())
        self.a = Machine(lab.host("a", address="10.77.0.1/24"), image, directory / "machines")
        self.b = lab.host("b", address="10.77.0.2/24")
        stack.callback(self.a.close)
        self.a.prepare()
        _install(self.a.root)
        subprocess.run(["cp", "-r", wheels(image, directory / "wheels"), self.a.root / "srv/wheels"], check=True)
        self.b.popen(
            shutil.which("dnsmasq", path=f"{PATH}:/usr/sbin"), "--keep-in-foreground", "--no-hosts", "--no-resolv", "--user=root",
            "--pid-file=", "--listen-address=10.77.0.2", "--bind-interfaces", f"--address=/{FOREIGN}/{FOREIGN_ADDRESS}",
        )  # fmt: skip

    def all(self) -> None:
        """Show everything."""
        self.booted()
        self.installed()
        self.found_and_lost()
        self.a_resolver_that_does_not_ask_is_a_finding()
        self.taken_back()

    def say(self, text: str) -> None:
        """Print what was shown."""
        print(f"{self._suite:<9} ok  {text}", flush=True)

    def booted(self) -> None:
        """Boot it; foreign names resolve by the server of its link."""
        self.a.boot()
        self.a.run("python3", "-m", "venv", ENVIRONMENT)
        self.a.run(f"{ENVIRONMENT}/bin/pip", "install", "-q", "--no-index", "--find-links=/srv/wheels", "discoveryd")
        self._give_the_link_its_server()
        version = self.a.run("systemctl", "--version").stdout.partition("\n")[0]
        self.say(f"{version}: {FOREIGN} resolves by the server of the link")

    def installed(self) -> None:
        """Install with --dns, twice."""
        self.a.run(f"{ENVIRONMENT}/bin/discoveryd", "install", "--now")
        printed = self.a.run("discoveryd", "install", "--dns").stdout
        self._give_the_link_its_server()
        assert f"made      {FILE}  (systemd-resolved asks discoveryd)" in printed, printed
        assert "found     discoveryd.peers.internal  (through systemd-resolved)" in printed, printed
        again = self.a.run("discoveryd", "install", "--now", "--dns").stdout
        assert {line.split()[0] for line in again.splitlines()} <= {"unchanged", "found", "discoveryd"}, again
        assert self._found("discoveryd.peers.internal") == "127.0.0.1"
        assert self._found("a.peers.internal") == "10.77.0.1"
        self.say("discoveryd install --dns where it runs: the name of the server is found; a second run changes nothing")

    def found_and_lost(self) -> None:
        """Let a peer join, leave and crash, and ask as programs ask."""
        query = ("resolvectl", "query", "--legend=no")
        with asking(self.a.host) as watching:
            stream = events(watching)
            daemon = self.b.discoveryd(env=SERVICE)
            assert next(stream)["event"] == "joined"
            joined = _since(lambda: self._found("b.peers.internal") == "10.77.0.2")
            assert "10.77.0.2" in self.a.run(*query, "b.peers.internal").stdout
            service = self.a.run(*query, "--type=SRV", "_render._tcp.peers.internal").stdout
            assert "9000 b.peers.internal" in service, service
            reverse = self.a.run(*query, "10.77.0.2", check=False)
            assert self._found(FOREIGN) == FOREIGN_ADDRESS
            daemon.terminate()
            while next(stream)["event"] != "left":
                pass
            left = _since(lambda: not self._found("b.peers.internal"))
            daemon = self.b.discoveryd(env={**SERVICE, "DISCOVERYD_HELLO__LAST_WILL": "off"})
            _since(lambda: self._found("b.peers.internal") == "10.77.0.2")
            daemon.kill()
            crashed = _since(lambda: not self._found("b.peers.internal"))
        assert crashed < TTL + 1
        self.say(
            f"getent and resolvectl find a peer {joined * 1000:.0f} ms after it joined, lose it {left * 1000:.0f} ms after a "
            f"goodbye, {crashed:.2f} s after a crash (a question takes {self._question() * 1000:.0f} ms); {FOREIGN} resolves"
        )
        self.say(f"resolvectl query 10.77.0.2: {(reverse.stdout + reverse.stderr).strip()}")

    def a_resolver_that_does_not_ask_is_a_finding(self) -> None:
        """Stop the resolver: the doctor says so at once, the daemon in time."""
        self.a.run("systemctl", "stop", "systemd-resolved")
        said = self.a.run("discoveryctl", "doctor", check=False)
        assert said.returncode == 1, said
        assert "names-not-found" in said.stdout, said
        self.a.run("systemctl", "restart", "discoveryd")
        with asking(self.a.host) as client:
            codes = lambda: [one["code"] for one in client.request("status")["findings"]]
            took = until(lambda: "names-not-found" in codes(), "the finding", 20.0)
            self.a.run("systemctl", "start", "systemd-resolved")
            self._give_the_link_its_server()
            until(lambda: "names-not-found" not in codes(), "its end", 20.0)
        self.say(f"a resolver that does not find names is a finding after {took:.1f} s, and no more once it does")

    def taken_back(self) -> None:
        """Uninstall the names alone, then all."""
        daemon = self.b.discoveryd()
        with asking(self.a.host) as client:
            until_listed(client, names("b"))
        _since(lambda: self._found("b.peers.internal") == "10.77.0.2")
        self.a.run("discoveryd", "uninstall", "--dns")
        self._give_the_link_its_server()
        assert not self._found("b.peers.internal")
        assert self._found(FOREIGN) == FOREIGN_ADDRESS
        self.a.run("discoveryd", "install", "--now", "--dns")
        self.a.run("discoveryd", "uninstall")
        assert not (self.a.root / FILE.lstrip("/")).parent.exists()
        daemon.terminate()
        self.say("uninstall --dns, and uninstall, take it back; foreign names resolve")

    def _give_the_link_its_server(self) -> None:
        """Do what DHCP would have done, also after each restart of the resolver."""
        _since(lambda: self.a.run("resolvectl", "dns", "eth0", "10.77.0.2", check=False).returncode == 0)
        _since(lambda: self._found(FOREIGN) == FOREIGN_ADDRESS)

    def _found(self, name: str) -> str:
        """Return the address of a name, as programs of the machine find it."""
        return (self.a.run("getent", "hosts", name, check=False).stdout.split() or [""])[0]

    def _question(self) -> float:
        """Return the seconds that a question takes by itself."""
        began = monotonic()
        self._found("discoveryd.peers.internal")
        return monotonic() - began


def _since(holds: Callable[[], bool]) -> float:
    """Wait until something holds; return the seconds it took."""
    return until(holds, "what was waited for", 20.0)


def _install(root: Path) -> None:
    """Put systemd-resolved onto the disk of a machine."""
    (root / "etc/systemd/system/systemd-resolved.service").unlink(missing_ok=True)  # masked on the others
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["chroot", root, *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")


if __name__ == "__main__":
    sys.exit(main())
