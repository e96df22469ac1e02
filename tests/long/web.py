"""The load that HTTP and DNS may put on a daemon: 100 clients of events, 2,000 questions of DNS a second, and ``list``.

Not part of README's test line; ``python tests/long/run.py web`` runs it.
"""

import json
import os
import select
import socket
import statistics
import struct
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from time import monotonic, sleep

import pytest

from discoveryd.errors import DiscoveryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.wire.record import Record, Service
from tests.conftest import memory_of
from tests.ear import Ear, fields
from tests.integration.process import Daemon
from tests.protocol.samples import hello
from tests.runtime.waiting import WAIT, until

SECONDS = float(os.environ.get("DISCOVERYD_WEB_SECONDS") or 20)
CLIENTS, STREAMS = 100, 32
QUESTIONS = 2000
"""A second."""
CHANGES = 20
"""Events a second, of one peer whose record changes."""
PEERS = 100
LIST, BEAT = 0.010, 0.8
"""Seconds for a ``list`` on an open connection (of 95 in 100), and between two HELLOs."""
GROWTH = 40 << 20
"""Bytes that all of this may take: starlette and uvicorn are 7 million of them, the streams and answers the rest."""


def crowd(port, stop):
    """Play peers at addresses of their own: each says HELLO at its time, and one of them something new each time."""
    with ExitStack() as stack:
        socks = []
        for number in range(PEERS):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind((f"127.0.9.{number + 1}", port))
            socks.append(sock)
        record = Record(name="web", services=(Service(name="http", port=80),))
        seq = 0
        while not stop.is_set():
            seq += 1
            for number, sock in enumerate(socks if seq % (CHANGES * 4) == 1 else socks[:1]):
                said = replace(record, name=f"web{number}", tags={"turn": str(seq)} if number == 0 else {})
                sock.sendto(hello(number + 1, f"p{number}", seq=seq, record=said, interval=4.0, ttl=20.0).encode(), ("127.255.255.255", port))
            stop.wait(1 / CHANGES)


def question(number):
    """Give a question for the address of a peer."""
    name = b"".join(bytes([len(part)]) + part for part in (f"web{number % PEERS}".encode(), b"peers", b"internal"))
    return struct.pack(">6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack(">2H", 1, 1)


def ask_dns(address, stop, counts):
    """Ask at an even pace, and count what is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.setblocking(False)
        began, sent = monotonic(), 0
        while not stop.is_set():
            due = int((monotonic() - began) * QUESTIONS)
            while sent < due:
                sock.send(question(sent))
                sent += 1
            stop.wait(0.005)
            counts["answered"] += drained(sock)
        counts["asked"] = sent


def drained(sock):
    found = 0
    while select.select([sock], [], [], 0)[0]:
        found += len(sock.recv(2048)) > 12
    return found


def open_streams(address, stack):
    """Open more streams than there may be; give those that were, and the statuses of the others."""
    streams, statuses = [], []
    for _ in range(CLIENTS):
        client = stack.enter_context(socket.create_connection(address, timeout=WAIT))
        client.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        status = int(client.recv(12, socket.MSG_WAITALL).split()[1])
        (streams if status == 200 else statuses).append(client if status == 200 else status)
    return streams, statuses


def read_streams(streams, stop, counts):
    """Read what comes, and count the events of one of them."""
    while not stop.is_set():
        for sock in select.select(streams, [], [], 0.1)[0]:
            counts[sock] = counts.get(sock, 0) + sock.recv(1 << 20).count(b"\nid: ")


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
    stop, dns, streamed = threading.Event(), {"answered": 0, "asked": 0}, {}
    with ExitStack() as stack, Ear(daemon.port) as ear, daemon.client() as client:
        stack.callback(stop.set)
        threads = [threading.Thread(target=crowd, args=(daemon.port, stop))]
        threads[0].start()
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(stop.set)
        until(lambda: len(client.request("list")["peers"]) == PEERS, 60)
        before = memory_of(daemon.process.pid)
        streams, statuses = open_streams(daemon.web, stack)
        assert len(streams) == STREAMS
        assert set(statuses) == {503}
        for target, arguments in ((read_streams, (streams, stop, streamed)), (ask_dns, (daemon.dns, stop, dns))):
            threads.append(threading.Thread(target=target, args=arguments))
            threads[-1].start()
        took, beats = [], []
        ear.rest()
        ends = monotonic() + SECONDS
        while (now := monotonic()) < ends:
            assert len(client.request("list")["peers"]) == PEERS
            took.append(monotonic() - now)
            beats += [now for said, (address, _) in ear.rest() if address == daemon.address and fields(said)[4] != ""]
            sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
        status = client.request("status")
        grown = memory_of(daemon.process.pid) - before
    quick = sorted(took)[int(len(took) * 0.95)]
    gaps = [later - former for former, later in pairwise(beats)]
    found = {
        "list_p50_ms": round(1000 * statistics.median(took), 2), "list_p95_ms": round(1000 * quick, 2), "lists": len(took),
        "dns_asked_s": round(dns["asked"] / SECONDS), "dns_answered_s": round(dns["answered"] / SECONDS),
        "events_each": round(statistics.mean(streamed.values())), "refused": len(statuses), "longest_beat_s": round(max(gaps), 3),
        "grown_mb": round(grown / 1e6, 1), "behind_ms": status["event_loop"]["behind_ms"],
    }  # fmt: skip
    print(json.dumps(found))
    assert quick < LIST
    assert max(gaps) < 2 * BEAT
    assert dns["answered"] > 0.99 * dns["asked"] > 0.9 * QUESTIONS * SECONDS
    assert min(streamed.values()) > 0.8 * CHANGES * SECONDS
    assert len(streamed) == STREAMS
    assert grown < GROWTH
