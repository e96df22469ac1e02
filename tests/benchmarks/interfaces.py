"""What the interfaces of containers cost a daemon that wants none of them (needs root: a namespace).

- One scan on a machine with 400 pairs of veth, all of them up and excluded. Floor: the same without them.
- The daemon's share of a core while five containers a second come and go beside those: a pair each, plugged in and
  pulled out. Floor: the same daemon before that begins.
- From the moment that a new eth1 has its address until `status` has it as a link, in the middle of that.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, perf_counter

from machine import Figure, parser, report

from discoveryd.net.interfaces import survey
from discoveryd.net.netlink import Netlink
from tests.netns.daemons import asking
from tests.netns.lab import Host, Lab

PAIRS = 400
CONTAINERS = 5
"""A second."""
TRIPS = 20
"""Scans to one sample."""
PATIENCE = 10.0


def scan_ms(host: Host) -> float:
    """Time a scan."""
    with host.namespace(), closing(Netlink()) as netlink:
        begun = perf_counter()
        for _ in range(TRIPS):
            if len(survey(["*"], netlink)) != 1:
                raise SystemExit("eth0 is no link")
        return (perf_counter() - begun) / TRIPS * 1000


@contextmanager
def containers(host: Host) -> Iterator[None]:
    """Let containers come and go, for the block."""
    is_over = threading.Event()
    shell = host.popen("ip", "-batch", "-", stdin=subprocess.PIPE)

    def churn() -> None:
        assert shell.stdin is not None
        number = 0
        while not is_over.wait(1 / CONTAINERS):
            name, number = f"vethc{number}", number + 1
            commands = f"link add {name} type veth peer name ceth0\nlink set {name} up\nlink set ceth0 up\n"
            shell.stdin.write(f"{commands}link del {name}\n")
            shell.stdin.flush()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        shell.communicate(timeout=PATIENCE)


def core_seconds(pid: int) -> float:
    """Give the processor time of all threads so far, by the scheduler's own account."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def share(pid: int, seconds: float) -> float:
    """Give the per cent of a core that a process takes."""
    before, begun = core_seconds(pid), monotonic()
    threading.Event().wait(seconds)
    return 100 * (core_seconds(pid) - before) / (monotonic() - begun)


def seconds_to_link(host: Host) -> float:
    """Plug eth1 in, and wait until it is a link."""
    with asking(host) as client:
        host.add_interface("eth1", "10.78.0.1/24", bridge="br1")
        begun = perf_counter()
        while "eth1" not in {link["name"] for link in client.request("status")["links"]}:
            if perf_counter() - begun > PATIENCE:
                raise SystemExit("eth1 is no link")
        took = perf_counter() - begun
        host.remove_interface("eth1")
        while "eth1" in {link["name"] for link in client.request("status")["links"]}:
            pass
    return took


def main() -> None:
    """Run the benchmark."""
    made = parser(__doc__, runs=5)
    made.add_argument("--seconds", type=float, default=10.0, help="length of each measured time (default 10)")
    options = made.parse_args()
    with Lab() as lab:
        host = lab.host("a", address="10.77.0.1/24")
        threading.Event().wait(1)  # for the carrier
        alone = [scan_ms(host) for _ in range(options.runs)]
        host.ip(*[f"link add veth{number} type veth peer name vethp{number}" for number in range(PAIRS)])
        host.ip(*[f"link set veth{name}{number} up" for number in range(PAIRS) for name in ("", "p")])
        scans = [scan_ms(host) for _ in range(options.runs)]
        daemon = host.discoveryd()
        with asking(host) as client:
            client.request("status")
        share(daemon.pid, 5)  # its start
        quiet = [share(daemon.pid, options.seconds)]
        with containers(host):
            busy = [share(daemon.pid, options.seconds) for _ in range(options.runs)]
            plugged = [seconds_to_link(host) for _ in range(options.runs)]
        if daemon.poll() is not None:
            raise SystemExit(f"the daemon ended: {host.log()}")
    what = f"{PAIRS} pairs of veth"
    report(
        [
            Figure(
                what=f"scan, {what} that nobody wants", unit="ms", samples=scans, most=10,
                floor=Figure(what="without them", unit="ms", samples=alone),
            ),
            Figure(
                what=f"daemon, {what}, {CONTAINERS} containers a second", unit="% of a core", samples=busy, most=5,
                by_worst=True, floor=Figure(what="without containers", unit="% of a core", samples=quiet),
            ),
            Figure(what="a new eth1 is a link", unit="s", samples=plugged, most=0.5, by_worst=True),
        ],
        as_json=options.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
