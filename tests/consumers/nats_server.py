"""A real nats-server on loopback, or in a namespace, for tests."""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from select import select

from tests.stopping import stop


def free_port():
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class NatsServer:
    """A server with a configuration; it can be killed, stopped and continued, and begun again at the same port."""

    def __init__(self, program, directory, config="", port=None, prefix=()):
        self.port = port or free_port()
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file = self.directory / "nats.conf"
        self.file.write_text(f'listen: "127.0.0.1:{self.port}"\n{config}' if "listen" not in config else config)
        self._command = [*prefix, program, "-c", str(self.file)]
        self.process = None
        self.start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        if self.process is not None:
            self.process.stderr.close()
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.wait_for("Server is ready", 10.0)

    def wait_for(self, text, timeout):
        """Read the log until a text is in it."""
        seen, deadline = "", time.monotonic() + timeout
        while text not in seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in: {seen}"
            select([self.process.stderr], [], [], left)
            piece = self.process.stderr.read() or b""
            assert piece or self.process.poll() is None, f"ended: {seen}"
            seen += piece.decode()
        return seen

    def send(self, number):
        self.process.send_signal(number)

    def hang(self):
        stop(self.process.pid)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
        self.process.wait(10)
        self.process.stderr.close()
