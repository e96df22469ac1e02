"""``discoveryd demo``: four daemons on this machine alone, and proof that each change among them is seen.

Real processes, real sockets, HELLOs over the broadcast address of loopback. `anna` is asked throughout;
`bert` leaves, `cleo` is killed, `bert` comes back, and a doctor is asked why `cleo` is missing. The exit code is 0 only
if all of it was seen in time, and the doctor is right.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from discoveryd.cli.parse import Arguments
from discoveryd.config.durations import VARIABLE_PREFIX
from discoveryd.ctl.doctor import look_closer, report_text
from discoveryd.ctl.output import standard_screen
from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.net.stamps import boottime
from discoveryd.query.formats.table import peers_table
from discoveryd.runtime.client import Client

NODES = {
    "anna": {"TAGS": "{role: watcher}"},
    "bert": {"TAGS": "{role: gpu}", "SERVICES": "[{name: render, port: 9000}]"},
    "cleo": {"TAGS": "{role: store}", "SERVICES": "[{name: nfs, port: 2049}]"},
    "dora": {"TAGS": "{role: gpu}", "SERVICES": "[{name: render, port: 9000}]"},
}
ADDRESSES = {name: f"127.77.0.{number}" for number, name in enumerate(NODES, 1)}
PATIENCE = 8.0
"""Seconds that a step may take before the demo calls it failed."""
READING = 1.2
"""Seconds given to read each step on the screen."""
TTL = 4.0


class Demo:
    """Four daemons, and what the first of them sees of the others.

    Attributes:
        processes: of the daemons, by name.
        failures: steps that were not seen in time.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="discoveryd-demo-"))
        # not 3400: an installed daemon keeps running beside the demo
        self._udp = free_port("127.0.0.1", "udp")
        self._tcp = free_port("127.0.0.1", "tcp")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.failures: list[str] = []
        for name in NODES:
            self.start(name)
        self._client = stack.enter_context(Client((ADDRESSES["anna"], self._tcp)))
        self._events = self._client.subscribe()

    def start(self, name: str) -> None:
        """Start a daemon on a loopback address of its own."""
        settings = {
            "NODE__NAME": name,
            "NODE__ID": f"demo-{name}",
            **{f"NODE__{key}": value for key, value in NODES[name].items()},
            "HELLO__LOOPBACK": ADDRESSES[name],
            "HELLO__PORT": str(self._udp),
            "QUERY__LISTEN": f"{ADDRESSES[name]}:{self._tcp}",
            "PATHS__STATE": self._directory,
            "PATHS__RUNTIME": self._directory,
            "LOG__LEVEL": "error",
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(VARIABLE_PREFIX)}
        empty = os.path.join(self._directory, "discoveryd.yaml")
        with open(empty, "a"):
            pass
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "discoveryd", "run", "--config", empty],
            env={**inherited, **{VARIABLE_PREFIX + key: value for key, value in settings.items()}},
        )
        self.processes[name] = process
        self._stack.callback(_end, process)

    def expect(self, title: str, names: set[str], within: float = PATIENCE) -> None:
        """Wait until these peers are up and no others; print how long it took, the events, and the table."""
        began = boottime()
        found = self._client.wait_for(lambda peers: {peer.name for peer in peers} == names, within)
        verdict = f"NOT SEEN within {within:g} s" if found is None else f"seen after {boottime() - began:.2f} s"
        if found is None:
            self.failures.append(title)
        print(f"\n== {title}: {verdict}", flush=True)  # noqa: T201
        until = boottime() + READING
        while (left := until - boottime()) > 0:
            event = self._events.get(left)
            if event is not None:
                print(f"   {event.kind:<9} {event.peer.label:<6} {event.peer.address:<11} {event.reason}")  # noqa: T201
        with QueryClient(self._client.address) as query:
            peers = query.request("list")["peers"]
        print(peers_table(peers, standard_screen()), flush=True)  # noqa: T201


    def diagnose(self, name: str, verdict: str) -> None:
        """Ask the doctor why a peer is missing, and print the answer."""
        with QueryClient(self._client.address) as query:
            found = look_closer(query.request("doctor", peer=name), self._udp)
        print(f"\n== why is {name} missing? discoveryctl doctor {name}\n")  # noqa: T201
        print(report_text(found, standard_screen()), flush=True)  # noqa: T201
        if found["verdict"] != verdict:
            self.failures.append(f"the doctor says {found['verdict']}, not {verdict}")


def demo(_: Arguments) -> int:
    """Play the demo and return its exit code."""
    with ExitStack() as stack:
        print("Four daemons on this machine, over loopback; what follows is anna's view of the others.")  # noqa: T201
        demo = Demo(stack)
        demo.expect("bert, cleo and dora come up", {"bert", "cleo", "dora"})
        demo.processes["bert"].terminate()
        demo.expect("bert leaves, and says so", {"cleo", "dora"})
        demo.processes["cleo"].kill()
        demo.expect(f"cleo is killed, and gone within its ttl of {TTL:g} s", {"dora"}, TTL + 1)
        demo.start("bert")
        demo.expect("bert comes back", {"bert", "dora"})
        demo.diagnose("cleo", "not-running")
    if demo.failures:
        print(f"\nFAILED: {'; '.join(demo.failures)}", file=sys.stderr)  # noqa: T201
        return 1
    print("\nAll of it was seen. Next: discoveryd run on two machines, then discoveryctl list.")  # noqa: T201
    return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
