"""The load that HTTP and DNS may put on a daemon: 100 clients of events, 2,000 questions of DNS a second, and ``list``.

Not part of README's test line; ``python tests/long/run.py web`` runs it. What loads the daemon are processes of their
own, each a function of this module, so that the program that measures waits for the daemon alone.
"""

import json
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from time import monotonic, sleep

import pytest

from discoveryd.errors import DiscoveryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.wire.record import Record, Service
from tests.conftest import memory_of
from tests.ear import Ear
from tests.integration.process import Daemon
from tests.protocol.samples import hello
from tests.runtime.waiting import WAIT, until

SECONDS = float(os.environ.get("DISCOVERYD_WEB_SECONDS") or 20)
CLIENTS, STREAMS = 100, 32
QUESTIONS = 2000
"""A second."""
CHANGES = 20
"""Events a second: of one peer after another the record changes."""
PEERS = 100
TURNS = round(CHANGES * 0.8)
"""Turns between two HELLOs of a peer."""
LIST, BEAT = 0.010, 0.8
"""Seconds for a ``list`` on an open connection (of 95 in 100), and between two HELLOs."""
GROWTH = 40 << 20
"""Bytes that all of this may take."""


# --- processes that end with their input ------------------------------------------------------------


def is_over(seconds):
    """Wait so long; say whether the input has ended."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def crowd(port):
    """Play peers at addresses of their own: each says HELLO at its time, and in its turn something new."""
    socks = []
    for number in range(PEERS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((f"127.0.9.{number + 1}", port))
        socks.append(sock)
    record = Record(name="web", services=(Service(name="http", port=80),))
    said, seqs = [replace(record, name=f"web{number}") for number in range(PEERS)], [0] * PEERS
    for turn in count():
        new = turn % PEERS
        said[new] = replace(said[new], tags={"turn": str(turn)})
        for number, sock in enumerate(socks):
            if number == new or (turn + number) % TURNS == 0:
                seqs[number] += 1
                told = hello(number + 1, f"p{number}", seq=seqs[number], record=said[number])
                sock.sendto(told.encode(), ("127.255.255.255", port))
        if is_over(1 / CHANGES):
            break
    return {}


def question(number):
    """Give a question for the address of a peer."""
    name = b"".join(bytes([len(part)]) + part for part in (f"web{number % PEERS}".encode(), b"peers", b"internal"))
    return struct.pack(">6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">2H", 1, 1)


def ask_dns(address, port):
    """Ask at an even pace, and count what is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        began, sent, answered, ends, codes = monotonic(), 0, 0, False, Counter()
        while not ends:
            ends = is_over(0.005)
            due = int((monotonic() - began) * QUESTIONS)
            for number in range(sent, due):
                sock.send(question(number))
            sent = due
            while select.select([sock], [], [], 1.0 if ends else 0.0)[0] and answered < sent:
                codes[sock.recv(2048)[3] & 0xF] += 1
                answered += 1
        return {"asked": sent, "answered": codes[0], "others": answered - codes[0], "seconds": round(monotonic() - began, 2)}


def stream(address, port):
    """Open more streams than there may be, and count what comes by each."""
    events, refused = {}, 0
    for _ in range(CLIENTS):
        client = socket.create_connection((address, port), timeout=WAIT)
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        if client.recv(12, socket.MSG_WAITALL).endswith(b" 200"):
            events[client] = 0
        else:
            refused += 1
            client.close()
    while not is_over(0):
        for client in select.select([*events], [], [], 0.05)[0]:
            events[client] += client.recv(1 << 20).count(b"\nid: ")
    return {"streams": len(events), "refused": refused, "least": min(events.values())}


@contextmanager
def playing(name, *arguments):
    """Run a function of this module in a process until the end of the block; its result is there then."""
    code = f"import json, tests.long.web as it; print(json.dumps(it.{name}(*{arguments!r})))"
    found = {}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield found
        finally:
            out, _ = process.communicate(timeout=WAIT)
            found.update(json.loads(out or "{}"))


# --- what is measured -------------------------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path):
    port = free_port("127.0.0.1", "udp")
    web, dns = (("127.0.0.2", free_port("127.0.0.2", kind)) for kind in ("tcp", "udp"))
    environment = {"DISCOVERYD_WEB__LISTEN": f"{web[0]}:{web[1]}", "DISCOVERYD_DNS__LISTEN": f"{dns[0]}:{dns[1]}", "DISCOVERYD_LOG__LEVEL": "error"}
    made = Daemon(tmp_path, 2, port, environment=environment, stderr=None)
    made.web, made.dns = web, dns
    made.run()
    try:
        until(lambda: is_served(made))
        yield made
    finally:
        made.close()


def is_served(daemon):
    with suppress(DiscoveryError):
        return daemon.ask("status")["web"]["on"]


def test_streams_and_questions_delay_no_list_and_no_hello(daemon):
    took, beats = [], []
    with ExitStack() as stack:
        client, ear = stack.enter_context(daemon.client()), stack.enter_context(Ear(daemon.port))
        stack.enter_context(playing("crowd", daemon.port))
        until(lambda: len(client.request("list")["peers"]) == PEERS, 60)
        before = memory_of(daemon.process.pid)
        with playing("stream", *daemon.web) as streams, playing("ask_dns", *daemon.dns) as dns:
            until(lambda: client.request("status")["web"]["streams"] == STREAMS)
            ear.rest()
            ends = monotonic() + SECONDS
            while (now := monotonic()) < ends:
                assert len(client.request("list")["peers"]) == PEERS
                took.append(monotonic() - now)
                beats += [monotonic() for _, (address, _) in ear.rest() if address == daemon.address]
                sleep(0.02)
            grown, behind = memory_of(daemon.process.pid) - before, client.request("status")["event_loop"]["behind_ms"]
    quick = sorted(took)[int(len(took) * 0.95)]
    longest = max(later - former for former, later in pairwise(beats))
    print(json.dumps({
        "list_p50_ms": round(1000 * statistics.median(took), 2), "list_p95_ms": round(1000 * quick, 2), "lists": len(took), **streams,
        "dns": dns, "longest_beat_s": round(longest, 3), "grown_mb": round(grown / 1e6, 1), "behind_ms": behind,
    }))  # fmt: skip
    assert quick < LIST
    assert longest < 1.5 * BEAT
    assert dns["answered"] > 0.98 * dns["asked"] > 0.9 * QUESTIONS * SECONDS
    assert (streams["streams"], streams["refused"]) == (STREAMS, CLIENTS - STREAMS)
    assert streams["least"] > 0.9 * CHANGES * SECONDS
    assert grown < GROWTH
