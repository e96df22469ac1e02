"""``discoveryd demo``: four daemons on this machine alone, and proof that what happens to them is seen.

Real processes, real sockets, HELLOs over the broadcast address of loopback. `anna` is asked throughout;
`bert` leaves, `cleo` is killed, `bert` comes back. The exit code is 0 only if all of it was seen in time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from discoveryd.cli.parse import Arguments
from discoveryd.config.durations import VARIABLE_PREFIX
from discoveryd.ctl.tables import peers_table, screen_of
from discoveryd.net.query_client import QueryClient
from discoveryd.net.stamps import boottime
from discoveryd.net.udp import free_port
from discoveryd.protocol.table.peer import Peer
from discoveryd.runtime.client import Client
from discoveryd.runtime.subscription import Subscription

NODES = {
    "anna": {"TAGS": "{role: watcher}"},
    "bert": {"TAGS": "{role: gpu}", "SERVICES": "[{name: render, port: 9000}]"},
    "cleo": {"TAGS": "{role: store}", "SERVICES": "[{name: nfs, port: 2049}]"},
    "dora": {"TAGS": "{role: gpu}", "SERVICES": "[{name: render, port: 9000}]"},
}
PATIENCE = 8.0
"""Seconds any step may take before the demo calls it failed."""
LOOK = 1.2
"""Seconds given to read each step on the screen."""
TTL = 4.0


class Demo:
    """The stage: who runs, and what anna's table shows."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="discoveryd-demo-"))
        # not 3400: an installed daemon keeps running beside the demo
        self._udp = free_port("127.0.0.1", "udp")
        self._tcp = free_port("127.0.0.1", "tcp")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._failures: list[str] = []
        self.client: Client
        self.events: Subscription

    def start(self, name: str) -> None:
        """Start a daemon on its own loopback address."""
        address = f"127.77.0.{1 + list(NODES).index(name)}"
        ours = {key: value for key, value in os.environ.items() if not key.startswith(VARIABLE_PREFIX)}
        settings = {
            "NODE__NAME": name,
            "NODE__ID": f"demo-{name}",
            **{f"NODE__{key}": value for key, value in NODES[name].items()},
            "HELLO__LOOPBACK": address,
            "HELLO__PORT": str(self._udp),
            "QUERY__LISTEN": f"{address}:{self._tcp}",
            "PATHS__STATE": self._directory,
            "PATHS__RUNTIME": self._directory,
            "LOG__LEVEL": "error",
        }
        empty = os.path.join(self._directory, "discoveryd.yaml")
        with open(empty, "a"):
            pass
        environment = {**ours, **{VARIABLE_PREFIX + key: value for key, value in settings.items()}}
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "discoveryd", "run", "--config", empty], env=environment
        )
        self._processes[name] = process
        self._stack.callback(_end, process)

    def watch(self, name: str) -> None:
        """Follow the table of one of them."""
        address = f"127.77.0.{1 + list(NODES).index(name)}"
        self.client = self._stack.enter_context(Client((address, self._tcp)))
        self.events = self.client.subscribe()

    def end(self, name: str, how: signal.Signals) -> None:
        """Send a signal to a daemon."""
        self._processes[name].send_signal(how)

    def expect(self, title: str, holds: Callable[[tuple[Peer, ...]], bool], within: float = PATIENCE) -> None:
        """Wait until something holds of the table, say how long it took, show the table."""
        began = boottime()
        found = self.client.wait_for(holds, within)
        took = boottime() - began
        verdict = f"seen after {took:.2f} s" if found is not None else f"NOT SEEN within {within:g} s"
        if found is None:
            self._failures.append(title)
        print(f"\n== {title}: {verdict}", flush=True)  # noqa: T201
        self.show(LOOK)

    def show(self, seconds: float) -> None:
        """Print the events as they come for a while, then the table."""
        until = boottime() + seconds
        while (left := until - boottime()) > 0:
            event = self.events.get(left)
            if event is not None:
                print(f"   {event.kind:<9} {event.peer.label:<6} {event.peer.address:<11} {event.reason}")  # noqa: T201
        with QueryClient(self.client.address) as query:
            peers = query.request("list")["peers"]
        print(peers_table(peers, screen_of(sys.stdout, os.environ)), flush=True)  # noqa: T201

    def verdict(self) -> int:
        """Say how it went; the exit code."""
        if self._failures:
            print(f"\nFAILED: {'; '.join(self._failures)}", file=sys.stderr)  # noqa: T201
            return 1
        print("\nAll of it was seen. Next: discoveryd run on two machines, then discoveryctl list.")  # noqa: T201
        return 0


def main(_: Arguments) -> int:
    """Play the demo and give its exit code."""
    with ExitStack() as stack:
        print("Four daemons on this machine, over loopback; what follows is anna's view of the others.")  # noqa: T201
        demo = Demo(stack)
        for name in NODES:
            demo.start(name)
        demo.watch("anna")
        demo.expect("bert, cleo and dora come up", _lists("bert", "cleo", "dora"))
        demo.end("bert", signal.SIGTERM)
        demo.expect("bert leaves, and says so", _lists("cleo", "dora"))
        demo.end("cleo", signal.SIGKILL)
        demo.expect(f"cleo is killed, and gone within its ttl of {TTL:g} s", _lists("dora"), TTL + 1)
        demo.start("bert")
        demo.expect("bert comes back", _lists("bert", "dora"))
        return demo.verdict()


def _lists(*names: str) -> Callable[[tuple[Peer, ...]], bool]:
    return lambda peers: {peer.name for peer in peers} == set(names)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
