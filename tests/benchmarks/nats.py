"""What sites cost a daemon: memory and processor time of a gateway, a standby and a daemon without sites.

``python -m tests.benchmarks.nats [SECONDS]`` in a network namespace: daemons on loopback, a real nats-server (2.9 or later).
Without another daemon's traffic in the way each site is a realm of loopback addresses of its own.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from discoveryd.net.query_client import QueryClient
from tests.consumers.nats_server import NatsServer

CONFIG = """\
node: {{name: {name}, id: {name}}}
hello: {{loopback: 127.{net}.0.{number}, port: {port}, families: [ipv4]}}
query: {{listen: "127.{net}.0.{number}:3400"}}
history: {{keep: off}}
paths: {{state: {directory}/s, runtime: {directory}/r}}
{sites}
"""
SITES = 'sites: {{name: {site}, servers: ["{url}"]}}'
CPUCLOCK_SCHED = 2
"""linux/posix-timers.h: the clock of all that a process has used."""


class Measured:
    """A daemon, and what it took since `begin`."""

    def __init__(self, directory, name, net, number, port, site, url):
        self.name, self.address = name, f"127.{net}.0.{number}"
        home = Path(directory) / name
        home.mkdir()
        sites = SITES.format(site=site, url=url) if site else ""
        (home / "c.yaml").write_text(CONFIG.format(name=name, net=net, number=number, port=port, directory=home, sites=sites))
        command = [sys.executable, "-m", "discoveryd", "run", "--config", str(home / "c.yaml")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def cpu(self):
        return time.clock_gettime((~self.process.pid << 3) | CPUCLOCK_SCHED)  # in ns; a tick of /proc/PID/stat is 10 ms

    def wakes(self):
        """Return how often its threads have waited."""
        texts = [path.read_text() for path in Path(f"/proc/{self.process.pid}/task").glob("*/status")]
        return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in texts)

    def memory(self):
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(("Rss", "Pss:", "Private_Dirty"))}

    def role(self):
        with QueryClient((self.address, 3400)) as client:
            sites = client.request("status").get("sites")
        return sites["role"] if sites else "without sites"


def main(seconds):
    with tempfile.TemporaryDirectory() as directory:
        server = NatsServer("nats-server", Path(directory) / "nats")
        made = [Measured(directory, f"a{number}", 1, number, 3461, "a", server.url) for number in (1, 2, 3)]
        made += [Measured(directory, f"b{number}", 2, number, 3462, "b", server.url) for number in (1, 2, 3)]
        made += [Measured(directory, f"n{number}", 3, number, 3463, "", server.url) for number in (1, 2, 3)]
        try:
            time.sleep(12)
            before = {one: (one.cpu(), one.wakes()) for one in made}
            time.sleep(seconds)
            for one in made:
                share, wakes = (one.cpu() - before[one][0]) / seconds, (one.wakes() - before[one][1]) / seconds
                memory = ", ".join(f"{name} {value:.1f} MB" for name, value in one.memory().items())
                print(f"{one.name} {one.role():14} CPU {share:.2%}  woken {wakes:.1f}/s  {memory}", flush=True)
        finally:
            for one in made:
                one.process.terminate()
            for one in made:
                one.process.wait(10)
            server.stop()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
