"""Booted machines: a Debian with its own systemd as process 1, in a host of the namespace lab.

The network is that of `tests.netns.lab`: hosts on a switch without an uplink. A machine is systemd-nspawn in the
network namespace of such a host, on a disk of its own (an overlay over a Debian that debootstrap made once), so when
the lab goes, the machine goes: its holder kills all that runs in the namespace. It reboots like a real one, with its
disk, its address and its machine id.

    with Lab() as lab, TemporaryDirectory() as directory:
        a = Machine(lab.host("a", address="10.77.0.1/24"), debian("trixie", cache), Path(directory))
        a.boot()
        a.run("systemctl", "is-system-running")
        a.close()

The overlays are mounted: run it in a mount namespace of its own, then they are gone with the process (`run.py` does).
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from tests.netns.lab import Host
from tests.netns.lab import why_not as why_no_lab

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,iproute2"
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dpkg-db-backup.timer", "fstrim.timer",
    "getty@.service", "systemd-modules-load.service", "systemd-networkd.service", "systemd-resolved.service",
    "systemd-sysctl.service", "systemd-timesyncd.service",
)  # fmt: skip
"""Units that would ask for what is not there (a console, an uplink) or set what belongs to the whole kernel."""

BOOT_TIMEOUT = 60.0
COMMAND_TIMEOUT = 120.0
"""Seconds; a virtual environment takes ten where nothing else runs."""
REBOOTED = 133
"""Exit code of systemd-nspawn --keep-unit when the machine wants to be started again."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
"""Where systemd-nspawn leaves an empty directory of each machine."""
_TOOLS = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "nsenter": "util-linux"}


def why_not() -> str | None:
    """Say why this machine cannot boot others, None if it can."""
    missing = [package for tool, package in _TOOLS.items() if not shutil.which(tool, path=PATH)]
    if missing:
        return f"needs root and the packages {', '.join(missing)} (apt-get install {' '.join(missing)})"
    return why_no_lab() or (None if _cgroup_roots() else "needs cgroup v2 (or the hybrid of v1 and v2)")


def debian(suite: str, cache: Path, mirror: str = MIRROR) -> Path:
    """Give a Debian's files, made by debootstrap the first time (a minute, and about 300 MB)."""
    image = cache / suite
    if image.exists():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    making = cache / f"{suite}.part"
    shutil.rmtree(making, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(making), mirror]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *command],
        env={**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"debootstrap {suite} failed: {done.stdout[-2000:]}{done.stderr[-500:]}")
    units = making / "etc/systemd/system"
    for name in MASKED:
        with suppress(FileNotFoundError):
            (units / name).unlink()
        (units / name).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (making / "var/log/journal").mkdir(exist_ok=True)  # a journal that outlives a reboot
    shutil.rmtree(making / "var/cache/apt", ignore_errors=True)
    making.rename(image)
    return image


class Machine:
    """One machine. Nothing runs before `boot`, and nothing after `close`.

    Args:
        host: its place in the network, and its name.
        image: the files of its system, which stay as they are.
        directory: where it may keep what it changes.
    """

    def __init__(self, host: Host, image: Path, directory: Path) -> None:
        self.host = host
        self.name = host.name
        self._directory = directory / host.name
        self.root = self._directory / "root"
        self._image = image
        self._id = f"discoveryd-lab-{os.getpid()}-{self.name}"
        self._cgroups = [Path(root) / self._id for root in _cgroup_roots()]
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def prepare(self) -> None:
        """Give it a disk, a name and an id."""
        for name in ("upper", "work", "root"):
            (self._directory / name).mkdir(parents=True)
        (self._directory / "upper").chmod(0o755)
        layers = f"lowerdir={self._image},upperdir={self._directory}/upper,workdir={self._directory}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "discoveryd-lab", self.root], check=True)
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "machine-id").write_text(f"{uuid4().hex}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")

    def boot(self) -> float:
        """Start it and wait until all is up; give the seconds that took.

        Raises:
            AssertionError: it did not come up; shows the end of its console.
        """
        began = monotonic()
        for cgroup in self._cgroups:
            cgroup.mkdir(exist_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
            (self._directory / "console").open("ab") as console,
        ):
            address = self._directory / "notify"
            address.unlink(missing_ok=True)
            listener.bind(str(address))
            self._process = subprocess.Popen(
                self._command(), cwd="/", stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True, preexec_fn=self._join_cgroups,
                env={"PATH": PATH, "NOTIFY_SOCKET": str(address), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )  # fmt: skip
            self._wait_ready(listener, began + BOOT_TIMEOUT)
        return monotonic() - began

    def reboot(self) -> float:
        """Have it reboot itself, and wait until all is up; give the seconds from its end to that."""
        code = self.go_down("reboot")
        assert code == REBOOTED, f"{self.name} did not reboot: {code}\n{self.console()}"
        return self.boot()

    def go_down(self, verb: str) -> int:
        """Have it do what a verb of systemctl says, and wait for its end; give its exit code."""
        assert self._process is not None
        self.run("systemctl", verb, check=False)  # which may be cut off while it answers
        return self._process.wait(BOOT_TIMEOUT)

    def run(
        self, *argv: str, check: bool = True, timeout: float = COMMAND_TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root; a failure shows what it printed."""
        done = subprocess.run(
            self._inside(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(
                f"on {self.name}: {' '.join(argv)!r:.300} gave {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def show(self, key: str, unit: str = "discoveryd.service") -> str:
        """Give one property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={key}", unit).stdout.strip()

    def journal(self, unit: str = "discoveryd.service", *options: str) -> str:
        """Give what a unit and systemd said of it."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, *options).stdout

    def console(self) -> str:
        """Give the end of what its console showed."""
        return "\n".join((self._directory / "console").read_text(errors="replace").splitlines()[-25:])

    def close(self) -> None:
        """Cut its power, and take its disk away. Safe to call again."""
        if self._process is not None:
            for cgroup in self._cgroups:
                with suppress(OSError):
                    (cgroup / "cgroup.kill").write_text("1")  # there is nothing in it but this machine
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._leader:
            with suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
            self._leader = 0
        for cgroup in self._cgroups:
            for path, _, _ in os.walk(cgroup, topdown=False):
                _remove_cgroup(Path(path))
        with suppress(OSError):
            (_PROPAGATE / self._id).rmdir()
        if self.root.is_mount():
            subprocess.run(["umount", "--lazy", self.root], check=True)

    def _command(self) -> list[str]:
        return [
            "systemd-nspawn", "--boot", "--quiet", f"--directory={self.root}", f"--hostname={self.name}",
            f"--machine={self._id}", f"--network-namespace-path=/proc/{self.host.pid}/ns/net",
            "--register=no", "--keep-unit", "--notify-ready=yes", "--private-users=no", "--console=read-only",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off",
            # devices of a unit are shut off by a BPF program; without these that is skipped in silence
            "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf",
        ]  # fmt: skip

    def _join_cgroups(self) -> None:
        """Make the child's cgroup the machine's own: nspawn builds below what it finds itself in."""
        for cgroup in self._cgroups:
            (cgroup / "cgroup.procs").write_text("0")

    def _wait_ready(self, listener: socket.socket, deadline: float) -> None:
        """Read what nspawn tells: the pid of process 1, and when systemd is done with booting."""
        while True:
            listener.settimeout(max(0.001, deadline - monotonic()))
            try:
                heard = listener.recv(4096).decode().splitlines()
            except TimeoutError:
                raise AssertionError(f"{self.name} did not come up:\n{self.console()}") from None
            for line in heard:
                key, _, value = line.partition("=")
                if key == "X_NSPAWN_LEADER_PID":
                    self._leader = int(value)
            if "READY=1" in heard:
                return

    def _inside(self, argv: tuple[str, ...]) -> list[str]:
        enter = ["nsenter", f"--target={self._leader}", "--all", "--", "env", "-i"]
        return [*enter, f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", *argv]


def until(holds: Any, what: str, within: float) -> float:
    """Ask again and again until something holds; give the seconds it took."""
    began = monotonic()
    while not holds():
        assert monotonic() - began < within, f"not within {within:g} s: {what}"
        select.select([], [], [], 0.05)  # there is nothing to read from
    return monotonic() - began


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup as soon as the last process in it is gone."""

    def is_gone() -> bool:
        with suppress(OSError):
            path.rmdir()
        return not path.exists()

    until(is_gone, f"{path} to be empty", 10.0)


def _cgroup_roots() -> list[str]:
    """Give where cgroup v2 is mounted and, on a hybrid machine, systemd's own hierarchy of v1."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        root, place = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if root == "/" and (kind == "cgroup2" or re.search(r"(^|,)name=systemd(,|$)", options)):
            found.append(place)
    return found
