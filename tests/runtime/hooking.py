"""Events and hooks of a test."""

import os
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic

from discoveryd.protocol.table.peer import Event, Peer

WAIT = 10.0
_SEQ = count(1)


def peer(id="web1", *, name=None, address="10.0.0.7", boot="0" * 16, clone=False):
    return Peer(
        id=id, name=name, state="up", kind="node", address=address, addresses=(address,), link="eth0", boot=boot,
        services=(), tags={}, first_seen_s=1.0, last_heard_s=0.5, expires_s=3.5, interval_s=0.8, ttl_s=4.0, rtt_ms=None,
        loss=None, two_way=None, restarts=0, clone=clone, key=None,
    )  # fmt: skip


def event(kind="joined", about=None, *, seq=None):
    return Event(kind=kind, seq=seq or next(_SEQ), peer=about or peer(), reason="said so")


class Gate:
    """A FIFO at which programs wait, each for a word; this end stays open, so that none of them reads its end instead."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)

    def open(self):
        """Let one program go on."""
        os.write(self._descriptor, b"go\n")


def write_hook(directory, name, script, *, mode=0o755):
    """Write a hook, a shell script unless it says otherwise."""
    directory.mkdir(mode=0o755, exist_ok=True)
    path = directory / name
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(mode)
    return str(path)


class Feed:
    """Tells hooks of events as a daemon does."""

    def __init__(self):
        self.seq = 0
        self.hooks = None

    def tell(self, kind="joined", about=None):
        self.seq += 1
        happened = event(kind, about, seq=self.seq)
        self.hooks.hear(happened)
        return happened

    def miss(self, count):
        """Let events happen that the hooks are not told of."""
        self.seq += count


class Notices:
    """Collects what is notified, and waits for it."""

    def __init__(self):
        self.seen = []
        self._queue = SimpleQueue()
        self.put = self._queue.put

    def until(self, text, timeout=WAIT, **fields):
        """Give the next notice of a text with these fields."""
        deadline = monotonic() + timeout
        while True:
            try:
                notice = self._queue.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                raise AssertionError(f"no {text!r} {fields}, but {self.seen}") from None
            self.seen.append(notice)
            if notice.text == text and fields.items() <= notice.fields.items():
                return notice

    def rest(self):
        """Give what has come and was not waited for."""
        found = []
        while not self._queue.empty():
            found.append(self._queue.get())
        self.seen += found
        return found
