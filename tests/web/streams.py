"""A site of a node that is played, and clients that read its events."""

import json
import socket

from discoveryd.web.answers import WebAnswers
from discoveryd.web.app import Site
from discoveryd.web.events import Hub
from tests.runtime.waiting import WAIT


class Stage:
    """A site of a node that is played, with its hub."""

    def __init__(self, loop, discovery, serve):
        self.loop, self.discovery = loop, discovery
        self.is_closed = False
        self.hub = loop.run(self._make())
        self.door = serve(Site(self.answers, self.hub).application())

    async def _make(self):
        self.answers = WebAnswers(self.discovery)
        return Hub(self.discovery, self.answers.look)

    def close(self):
        async def close():
            self.hub.close()

        if not self.is_closed:
            self.is_closed = True
            self.loop.run(close())

    def open(self, path="/events", **headers):
        return Reader(self.door, path, headers)


class Reader:
    """A client that reads a stream, event by event."""

    def __init__(self, door, path, headers):
        self.sock = socket.create_connection(door.address[:2], timeout=WAIT)
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        self.text = b""

    def event(self):
        """Give the fields of the next event; None at the end."""
        while b"\n\n" not in self.text:
            size = int(self.file.readline() or b"0", 16)
            self.text += self.file.read(size)
            self.file.readline()
            if not size:
                return None
        block, _, self.text = self.text.partition(b"\n\n")
        return dict(line.split(": ", 1) if ": " in line else (line, "") for line in block.decode().splitlines())

    def told(self):
        """Give id and JSON of the next event with data."""
        while (found := self.event()) is not None:
            if "data" in found:
                return found.get("id"), json.loads(found["data"])
        return None

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
