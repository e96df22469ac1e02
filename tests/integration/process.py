"""Daemons as processes, on loopback, with what a test wants to know of them."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port

ROOT = Path(__file__).parents[2]
PROMPT = 5.0
"""Seconds for an end that takes 0.1 s on idle cores (tests/benchmarks/start.py): two busy cores may take longer."""


class Daemon:
    """One ``discoveryd run``: its process, its log and its query socket.

    Args:
        directory: for its files.
        number: of its address, 127.0.0.`number`.
        port: UDP port that it shares with others.
        config: text of a configuration file; the environment below overrides it.
        environment: more ``DISCOVERYD_`` keys, or other variables.
        stderr: where the log goes; read by `log_until` if it is a pipe.
    """

    def __init__(self, directory, number, port, *, config=None, environment=None, stderr=subprocess.PIPE):
        self.address = f"127.0.0.{number}"
        self.port = port
        self.query = (self.address, free_port(self.address, "tcp"))
        self.config = directory / f"config-{number}.yaml"
        if config is not None:
            self.config.write_text(config, encoding="utf-8")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DISCOVERYD_")},
            "PYTHONPATH": str(ROOT),
            "DISCOVERYD_HELLO__LOOPBACK": self.address,
            "DISCOVERYD_HELLO__PORT": str(port),
            "DISCOVERYD_QUERY__LISTEN": f"{self.query[0]}:{self.query[1]}",
            "DISCOVERYD_NODE__ID": f"id-{number}",
            "DISCOVERYD_NODE__NAME": f"node-{number}",
            "DISCOVERYD_PATHS__RUNTIME": str(directory / f"run-{number}"),
            "DISCOVERYD_PATHS__STATE": str(directory / f"state-{number}"),
            **({"DISCOVERYD_CONFIG": str(self.config)} if config is not None else {}),
            **(environment or {}),
        }
        self._stderr = stderr
        self._unread = b""
        self.process = None

    def forget(self, *names):
        """Leave variables to the configuration file."""
        for name in names:
            del self.environment[name]

    def run(self, *code):
        """Start it in the foreground, as a child of ours; with `code`, that is what starts it."""
        self.process = subprocess.Popen(
            [sys.executable, *(("-c", *code) if code else ("-m", "discoveryd", "run"))],
            env=self.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._stderr,
        )  # fmt: skip
        return self

    def command(self, *arguments, timeout=20):
        """Run another command of the same configuration to its end."""
        return subprocess.run(
            [sys.executable, "-m", "discoveryd", *arguments],
            env=self.environment, cwd="/", capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def log_until(self, text, timeout=10.0):
        """Give the log lines up to one that has `text` in it."""
        deadline = monotonic() + timeout
        lines = []
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                lines.append(line.decode())
                if text in lines[-1]:
                    return lines
            descriptor = self.process.stderr.fileno()
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - monotonic()))
            chunk = os.read(descriptor, 65536) if ready else b""
            assert chunk, f"no {text!r} in the log, but: {lines}"
            self._unread += chunk

    def log_rest(self):
        """Give the log lines from here to the end of the process."""
        return (self._unread + self.process.stderr.read()).decode().splitlines()

    def client(self):
        return QueryClient(self.query)

    def ask(self, op, **fields):
        with self.client() as client:
            return client.request(op, **fields)

    def kill(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM):
        """Tell it to end; give exit code and seconds."""
        began = monotonic()
        self.kill(number)
        code = self.process.wait(10)
        return code, monotonic() - began

    def close(self):
        """Leave nothing behind, however the test went."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stderr:
            self.process.stderr.close()
