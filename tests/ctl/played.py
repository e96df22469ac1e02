"""A daemon that is played, with the replies it gives, and ways to run ``discoveryctl`` against it."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from discoveryd.ctl import main
from tests.query.samples import peer

ROOT = Path(__file__).resolve().parents[2]

GREETING = {"discoveryd": "0.1.0", "protocol": 1, "schema": 1, "node": {"id": "n1", "name": "one", "boot": "b1"}}


PATHS = [
    {"address": "10.0.0.2", "link": "eth0", "last_heard_s": 0.4, "expires_s": 3.6},
    {"address": "10.1.0.2", "link": "wlan0", "last_heard_s": 1.2, "expires_s": 2.8},
]
METRICS = {
    "ok": True, "schema": 1, "content_type": "text/plain", "text": "# TYPE a gauge\na 1.0\n",
    "metrics": [{"name": "a", "labels": {}, "value": 1.0}],
}  # fmt: skip


def peers_reply(*peers):
    return {"ok": True, "schema": 1, "peers": list(peers)}


def refusal(code, message):
    return {"ok": False, "error": {"code": code, "message": message}}


def snapshot(*peers):
    return [{"event": "snapshot", "schema": 1, "peers": list(peers)}, {"event": "sync", "seq": 7}]


def event(kind, seq=8, reason="first HELLO on eth0", **changed):
    return {"event": kind, "seq": seq, "peer": peer(**changed), "reason": reason}


def drop(reason, link="eth0", count=3):
    return {"reason": reason, "link": link, "count": count}


STOPPING = refusal("stopping", "the daemon is stopping")


class Daemon:
    """Plays a daemon: each connection is greeted, and each request answered with the next of the answers.

    An answer is a list of lines. After one that ends in a refusal with code ``stopping`` the connection
    is closed, as a daemon does.
    """

    def __init__(self, answers):
        self.requests = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connection = None
        self._thread = threading.Thread(target=self._serve)
        self._ended = False

    def _serve(self):
        while not self._ended:
            connection, _ = self._listener.accept()
            self._connection = connection
            # the client may have gone, which a flush at the end tells too
            with suppress(ConnectionError), connection, connection.makefile("rwb") as lines:
                self._talk(lines)

    def _talk(self, lines):
        self._send(lines, GREETING)
        while request := lines.readline():
            wanted = json.loads(request)
            if wanted["op"] in ("availability", "history") and not self._keeps_history():
                self._send(lines, refusal("off", "there is no history"))
                continue
            self.requests.append(wanted)
            answer = self._answers.pop(0)
            for one in answer:
                self._send(lines, one)
            if answer[-1] is STOPPING:
                return

    def _keeps_history(self):
        """Return whether the next answer is about the past: commands ask for that by the way."""
        return bool(self._answers) and isinstance(self._answers[0][0], dict) and "since_s" in self._answers[0][0]

    def _send(self, lines, value):
        lines.write((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n")
        lines.flush()

    def __enter__(self):
        self._thread.start()
        return self

    def end(self):
        """End as a daemon does that dies: the connection, and no other comes about."""
        self._ended = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_):
        self._ended = True
        with suppress(ConnectionError), socket.create_connection(self._listener.getsockname()):
            pass  # wakes accept
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive()


def ask(capsys, daemon, *words):
    code = main([*words, "--address", daemon.address])
    found = capsys.readouterr()
    return code, found.out, found.err


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "TERM")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def command(*words):
    return [sys.executable, "-m", "discoveryd.ctl", *words]


def spawn(*words, **more):
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=20, check=False, env=environment(**more)
    )
