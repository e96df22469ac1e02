"""The same events seen by other programs of this kind and by discoveryd, on the same two hosts, for docs/compared.md.

    sudo python tests/benchmarks/others.py

Needs root (network namespaces) and, of Debian's packages, those of serf, avahi-daemon, avahi-utils, dbus and
python3-zeroconf that are to be measured; what is not there is left out. Each program runs on A and, started anew for
each run, on B, without a configuration but what it cannot do without. A watcher of the same program on A tells what
came and went, by a line each. Measured from outside, with one clock

- from the start of B's program until A's watcher names B, and from an orderly end until it says that B is gone;
- from SIGKILL until A says that B is gone, or that it does not within --patience seconds;
- the resident memory of the program on A, and its command that lists, from start to end (20 runs).
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter

from installation import PLAIN, installed
from machine import describe

from tests.netns.lab import Host, Lab

ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
QUIET = 6.0
"""Seconds for which B runs before it is ended: what is known of it has settled."""
SYSTEM_PYTHON = "/usr/bin/python3"
ZEROCONF = """
import signal, socket, sys
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf
name, address, listens = sys.argv[1], sys.argv[2], len(sys.argv) > 3
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
made = Zeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
class Listener:
    def add_service(self, _, kind, found): print("+", found, flush=True)
    def remove_service(self, _, kind, found): print("-", found, flush=True)
    def update_service(self, *_): pass
if listens: ServiceBrowser(made, "_peer._tcp.local.", Listener())
else: made.register_service(ServiceInfo("_peer._tcp.local.", name + "._peer._tcp.local.", port=9, addresses=[socket.inet_aton(address)]))
signal.sigwait({signal.SIGTERM})
made.close()
"""
AVAHI = "[server]\nuse-ipv6=no\n[publish]\npublish-workstation=yes\n"


@dataclass
class Program:
    """How a program is run, watched and asked.

    Attributes:
        name: as the table shows it.
        daemon: its command line; `{name}` and `{address}` are those of the host.
        watch: what prints a line for each change.
        came: what such a line begins with.
        went: the same.
        lists: what prints the list.
        before: commands that it needs on each host.
        leave: the signal that ends it in an orderly way.
    """

    name: str
    daemon: Sequence[str]
    watch: Sequence[str]
    came: str
    went: str
    lists: Sequence[str] = ()
    before: Sequence[Sequence[str]] = ()
    leave: signal.Signals = signal.SIGTERM
    times: dict[str, list[float | None]] = field(default_factory=dict)


def programs(scripts: Path, directory: Path) -> Iterator[Program]:
    """Yield those that are installed here."""
    ours, ctl = str(scripts / "discoveryd"), str(scripts / "discoveryctl")
    yield Program("discoveryd", (ours, "run"), (ctl, "watch"), "+", "-", (ctl, "list"))
    if shutil.which("serf"):
        daemon = ("serf", "agent", "-node={name}", "-bind={address}", "-retry-join=10.77.0.1", "-retry-interval=1s")
        watch = ("serf", "monitor")
        came, went = "EventMemberJoin: b", ("EventMemberLeave: b", "EventMemberFailed: b")
        yield Program("Serf", daemon, watch, came, "|".join(went), ("serf", "members"), leave=signal.SIGINT)
    if all(map(shutil.which, ("avahi-daemon", "avahi-browse", "dbus-daemon"))):
        (directory / "avahi.conf").write_text(AVAHI)
        daemon = ("avahi-daemon", "-f", str(directory / "avahi.conf"), "--no-drop-root", "--no-chroot")
        watch, lists = ("avahi-browse", "-p", "_workstation._tcp"), ("avahi-browse", "-pt", "_workstation._tcp")
        bus = (("mkdir", "-p", "/run/dbus"), ("dbus-daemon", "--system", "--fork", "--nopidfile"))
        yield Program("Avahi", daemon, watch, "+;eth0;IPv4;b", "-;eth0;IPv4;b", lists, bus)
    if not subprocess.run([SYSTEM_PYTHON, "-c", "import zeroconf"], check=False, capture_output=True).returncode:
        (directory / "peer.py").write_text(ZEROCONF)
        daemon = (SYSTEM_PYTHON, str(directory / "peer.py"), "{name}", "{address}")
        yield Program("python-zeroconf", daemon, (*daemon, "listens"), "+ b.", "- b.")


class Bench:
    """One program on two hosts."""

    def __init__(self, program: Program, lab: Lab, patience: float) -> None:
        self.program, self.patience = program, patience
        self.hosts = {name: lab.host(name, address=f"{address}/24") for name, address in ADDRESSES.items()}
        for host in self.hosts.values():
            for command in program.before:
                host.run(*command)
        self.daemon = self._start(self.hosts["a"])
        select.select([], [], [], 2.0)
        self.watcher = self._popen(self.hosts["a"], program.watch, stdout=subprocess.PIPE, bufsize=0, text=False)
        self._rest = b""
        select.select([], [], [], 1.0)

    def life(self, *, is_killed: bool) -> None:
        """Measure one life of the program on B."""
        begun = perf_counter()
        other = self._start(self.hosts["b"])
        self._note("start until listed", begun, self._until(self.program.came, 15.0))
        self._until("no such line", QUIET)
        begun = perf_counter()
        other.send_signal(signal.SIGKILL if is_killed else self.program.leave)
        what = "SIGKILL until gone" if is_killed else "orderly end until gone"
        self._note(what, begun, self._until(self.program.went, self.patience))
        other.wait(15)
        self._until("no such line", 2.0)

    def costs(self) -> None:
        """Measure what the program on A takes, and its list."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        self.program.times["resident memory, MB"] = [kilobytes / 1024]
        for _ in range(20 if self.program.lists else 0):
            begun = perf_counter()
            self.hosts["a"].run(*self.program.lists, check=False, env=PLAIN)
            self._note("list, ms", begun, is_there=True)

    def _note(self, what: str, begun: float, is_there: bool) -> None:
        took = (perf_counter() - begun) * 1000
        self.program.times.setdefault(what, []).append(took if is_there else None)

    def _start(self, host: Host) -> subprocess.Popen[str]:
        return self._popen(host, self.program.daemon)

    def _popen(self, host: Host, argv: Sequence[str], **streams: object) -> subprocess.Popen[str]:
        words = {"name": host.name, "address": ADDRESSES[host.name]}
        return host.popen(*(word.format(**words) for word in argv), env=PLAIN, **streams)

    def _until(self, wanted: str, within: float) -> bool:
        """Read lines of the watcher until one has any of these; return whether one came in time."""
        assert self.watcher.stdout is not None
        deadline, texts = monotonic() + within, [text.encode() for text in wanted.split("|")]
        while (left := deadline - monotonic()) > 0:
            if select.select([self.watcher.stdout], [], [], left)[0]:
                found = os.read(self.watcher.stdout.fileno(), 65536)
                if not found:
                    raise SystemExit(f"the watcher of {self.program.name} ended")
                *lines, self._rest = (self._rest + found).split(b"\n")
                if any(text in line for line in lines for text in texts):
                    return True
        return False


@contextmanager
def prepared(python: str | None) -> Iterator[list[Program]]:
    """Give the programs, with an environment for ours."""
    with installed(python) as scripts, tempfile.TemporaryDirectory(prefix="others-") as directory:
        yield list(programs(scripts, Path(directory)))


def cell(times: Sequence[float | None], patience: float) -> str:
    """Return the median of some samples and how far they reach."""
    seen = [one for one in times if one is not None]
    if len(seen) < len(times):
        return f"not within {patience:g} s"
    if not seen:
        return ""
    text = f"{median(seen):.3g}" if median(seen) < 1000 else f"{median(seen):,.0f}"
    return text if len(seen) < 2 else f"{text} ({min(seen):,.3g} to {max(seen):,.3g})".replace(",", "")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="lives of each kind (default 7)")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds that a loss may take (default 30)")
    parser.add_argument("--only", nargs="*", help="names of programs")
    parser.add_argument("--python", metavar="FILE", help="interpreter of an environment with the package in it")
    options = parser.parse_args()
    with prepared(options.python) as found:
        found = [one for one in found if not options.only or one.name in options.only]
        for program in found:
            print(f"{program.name} ...", file=sys.stderr, flush=True)
            with Lab() as lab:
                bench = Bench(program, lab, options.patience)
                for is_killed in (False, True):
                    for _ in range(options.runs):
                        bench.life(is_killed=is_killed)
                        if None in program.times.get("SIGKILL until gone", ()):
                            break  # it will not the next time either, and waiting is all that is left to do
                bench.costs()
    print(f"{describe()}\n")
    print("| |", " | ".join(program.name for program in found), "|")
    print("|---|" + "---|" * len(found))
    for what in dict.fromkeys(what for program in found for what in program.times):
        unit = "" if "," in what else ", ms"
        print(f"| {what}{unit} |", " | ".join(cell(one.times.get(what, []), options.patience) for one in found), "|")


if __name__ == "__main__":
    main()
