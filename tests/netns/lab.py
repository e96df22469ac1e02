"""Real hosts on one switch, in network namespaces of this machine, without an uplink.

A namespace lives as long as a process in it, the holder, and the holder lives as long as the pipe to
its stdin: closing the lab ends it, and so does the death of the test run, however violent. Before it
ends it kills what still runs in its namespace, detached daemons too. So nothing needs to be found
again by name, and nothing is left behind.

    with Lab() as lab:
        a = lab.host("a", address="10.77.0.1/24")
        b = lab.host("b", address="10.77.0.2/24")
        a.run("ping", "-c1", "10.77.0.2")
        a.cable(up=False)
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

REPOSITORY = Path(__file__).resolve().parents[2]

TIMEOUT = 20.0
"""Seconds after which a command in a host is taken for stuck."""

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))

_CLONE_NEWNET = 0x40000000
"""linux/sched.h. `os.setns` came with Python 3.12."""

# $1 host name, $2 machine id, the rest: directories the host has to itself.
# Ends when its stdin does, and takes along who else is in its network namespace.
_HOLDER = """
set -e
hostname "$1"
id="$2"
shift 2
for directory; do mount -t tmpfs -o mode=755 tmpfs "$directory"; done
if [ -e /etc/machine-id ] && [ -d /run ]; then
    echo "$id" > /run/machine-id
    mount --bind /run/machine-id /etc/machine-id
fi
for key in all default; do
    echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/$key/disable_ipv6 || true
done
echo ready
read -r _ || true
own=$(stat -Lc %i /proc/self/ns/net)
for entry in $(stat -Lc %i:%n /proc/[0-9]*/ns/net 2>/dev/null); do
    pid=${entry#*:/proc/}
    pid=${pid%%/*}
    case "$entry:$pid" in
        *":$$" | *":$PPID") ;;
        "$own":*) kill -9 "$pid" 2>/dev/null || true ;;
    esac
done
"""


def has_tool(name: str) -> bool:
    """Say whether a command is installed, in the places of the administrator too."""
    return shutil.which(name, path=_PATH) is not None


def importable(customization: str) -> str:
    """Give the import path of a daemon that is changed by a ``sitecustomize`` of this folder."""
    return os.pathsep.join((str(Path(__file__).with_name(customization)), str(REPOSITORY)))


@cache
def why_not() -> str | None:
    """Say why this machine cannot hold a lab, None if it can."""
    missing = [tool for tool in ("unshare", "nsenter", "ip", "mount", "stat") if not has_tool(tool)]
    if missing:
        return f"needs {', '.join(missing)} (packages util-linux, iproute2, mount, coreutils)"
    if os.geteuid() != 0:
        return "needs root: network namespaces with their own /run and machine id"
    probe = "ip link add br0 type bridge && ip link add port0 type veth peer name port1 && mount -t tmpfs tmpfs /tmp"
    found = subprocess.run(
        ["unshare", "--net", "--uts", "--mount", "sh", "-c", probe],
        env={**os.environ, "PATH": _PATH}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    return f"namespaces are not permitted here: {found.stderr.strip()}" if found.returncode else None


class Host:
    """One machine of a lab: its own network, host name, machine id, /run and /var/lib.

    Processes, /tmp and everything else are those of the machine the tests run on.
    """

    def __init__(self, name: str, lab: Lab) -> None:
        self.name = name
        self.lab = lab
        self._started: list[subprocess.Popen[Any]] = []
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "--mount", "sh", "-c", _HOLDER, "holder", name, uuid4().hex,
             *_own_directories()],
            cwd=REPOSITORY, env=self.environment(), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            reason = self._holder.stderr.read()
            self.close()
            raise RuntimeError(f"host {name} did not start: {reason}")

    @property
    def pid(self) -> int:
        """Process id of the holder."""
        return self._holder.pid

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a process in this host is given: the repository importable, no setting of the tester's own."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("DISCOVERYD_", "DISCOVERYCTL_"))}
        path = importable("one_socket") if os.environ.get("DISCOVERYD_ONE_SOCKET") else str(REPOSITORY)
        return {**ours, "PATH": _PATH, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(more or {})}

    def run(
        self, *argv: str, check: bool = True, timeout: float = TIMEOUT, input: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command to its end; a failure shows what it printed."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        done = subprocess.run(
            self._inside(argv), env=self.environment(env), capture_output=True, text=True, timeout=timeout,
            check=False, **streams,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"in host {self.name}: {' '.join(argv)!r:.300} gave {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def popen(self, *argv: str, env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.Popen[str]:
        """Start a command; `pid` and signals are its own. What it prints is in `log` unless piped elsewhere.

        It is killed when the lab closes.
        """
        with self._log_path.open("a") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "text": True, **streams}
            process = subprocess.Popen(
                self._inside(argv), env=self.environment(env), start_new_session=True, **streams
            )
        self._started.append(process)
        return process

    def python(self, code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Python code to its end, with the repository importable."""
        return self.run(sys.executable, "-c", code, *arguments, **options)

    def discoveryd(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``discoveryd run`` with these arguments."""
        return self.popen(sys.executable, "-m", "discoveryd", "run", *arguments, **options)

    def discoveryctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``discoveryctl`` with these arguments."""
        return self.run(sys.executable, "-m", "discoveryd.ctl", *arguments, **options)

    def log(self) -> str:
        """Read what the processes of `popen` have printed so far."""
        return self._log_path.read_text() if self._log_path.exists() else ""

    @contextmanager
    def namespace(self) -> Iterator[None]:
        """Put this thread into the host's network: sockets made in the block are the host's.

        Threads and processes started in the block stay there. Not to be left to a closing lab: the
        block ends first.
        """
        with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/proc/{self.pid}/ns/net").open("rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def ip(self, *commands: str) -> None:
        """Run commands of ``ip`` in one go: ``ip("link set eth0 down", "addr flush dev eth0")``."""
        self.run("ip", "-batch", "-", input="\n".join(commands) + "\n")

    def cable(self, *, up: bool, interface: str = "eth0") -> None:
        """Plug or unplug the cable: the port of the switch goes up or down, the host sees its carrier."""
        self.lab.switch.ip(f"link set {self._port(interface)} {'up' if up else 'down'}")

    def add_interface(self, name: str, address: str | None = None, *, bridge: str = "br0") -> None:
        """Hotplug an interface, up and cabled to a bridge of the switch (made when new)."""
        port = self.lab.plug(self, name, bridge)
        assert port == self._port(name)
        self.ip(*([f"addr add {address} dev {name}"] if address else []), f"link set {name} up")

    def remove_interface(self, name: str) -> None:
        """Pull an interface out."""
        self.ip(f"link del {name}")

    def set_address(self, old: str | None, new: str | None, *, interface: str = "eth0") -> None:
        """Exchange an address such as ``10.77.0.1/24``; None for none."""
        self.ip(
            *([f"addr del {old} dev {interface}"] if old else []),
            *([f"addr add {new} dev {interface}"] if new else []),
        )

    def release(self) -> None:
        """Let the holder go, which kills all that runs in the host. Does not wait."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()

    def close(self) -> None:
        """End everything in the host, and the host. Safe to call again."""
        self.release()
        try:
            self._holder.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()
        for process in self._started:
            process.kill()  # in case it went into a namespace of its own
            process.wait()
        for process in (self._holder, *self._started):
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    @property
    def _log_path(self) -> Path:
        return self.lab.directory / f"{self.name}.log"

    def _port(self, interface: str) -> str:
        return self.lab.ports[self.name, interface]

    def _inside(self, argv: tuple[str, ...]) -> list[str]:
        # without --pid nsenter does not fork: the process is the command itself
        return ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount", "--wd", "--", *argv]


class Lab:
    """A switch and the hosts on it; nothing exists before `open`, and nothing after `close`."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.ports: dict[tuple[str, str], str] = {}
        self._bridges: set[str] = set()
        self._port_numbers = count()
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Set up the switch.

        Raises:
            RuntimeError: this machine cannot; it says why.
        """
        reason = why_not()
        if reason:
            raise RuntimeError(reason)
        self._directory = tempfile.TemporaryDirectory(prefix="lab-")
        self.directory = Path(self._directory.name)
        self.switch = self.hosts["switch"] = Host("switch", self)

    def host(
        self, name: str, *, address: str | None = None, bridge: str = "br0", ipv6: bool = False, dad: bool = False
    ) -> Host:
        """Add a host with an eth0 that is up and cabled to the switch.

        With `ipv6` its interfaces have link-local addresses, with `dad` a second or two after they are up: it is asked
        first whether another machine has them.
        """
        assert name not in self.hosts, f"there is a host {name} already"
        host = self.hosts[name] = Host(name, self)
        if ipv6:
            keys = [f"net.ipv6.conf.{one}.disable_ipv6=0" for one in ("all", "default")]
            host.run("sysctl", "-qw", *keys, f"net.ipv6.conf.default.accept_dad={int(dad)}")
        host.ip("link set lo up")
        host.add_interface("eth0", address, bridge=bridge)
        return host

    def plug(self, host: Host, interface: str, bridge: str) -> str:
        """Lay a cable from a new interface of the host to a new port of the switch."""
        commands = []
        if bridge not in self._bridges:
            # no spanning tree: a port forwards as soon as it is up
            commands = [f"link add {bridge} type bridge stp_state 0 mcast_snooping 0", f"link set {bridge} up"]
            self._bridges.add(bridge)
        port = self.ports[host.name, interface] = f"port{next(self._port_numbers)}"
        self.switch.ip(
            *commands,
            f"link add {port} type veth peer name {interface} netns {host.pid}",
            f"link set {port} master {bridge} up",
        )
        return port

    def close(self) -> None:
        """Remove everything. Safe to call again."""
        hosts = list(self.hosts.values())
        self.hosts.clear()
        for host in hosts:
            host.release()  # all at once: each takes a moment
        for host in hosts:
            host.close()
        if self._directory is not None:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _own_directories() -> list[str]:
    """Directories a host has to itself; not one that would hide this checkout or interpreter from it."""
    needed = [REPOSITORY, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix)]
    return [
        name
        for name in ("/run", "/var/lib")
        if Path(name).is_dir() and not any(path.is_relative_to(name) for path in needed)
    ]


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
