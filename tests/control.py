"""A daemon that can be controlled, in this process, and a peer that sees what it announces."""

import threading

from discoveryd.runtime.query_handlers import ReloadResult

WAIT = 5.0
TOKEN = "0123456789abcdef" * 4


class Control:
    """A daemon's side: answers a reload from another thread, as its main thread does."""

    def __init__(self, result=None):
        self.token = TOKEN
        self.result = result or ReloadResult()
        self.reloads = 0

    def reload(self, done):
        self.reloads += 1
        thread = threading.Thread(target=done, args=(self.result,))
        thread.start()


class Peer:
    """Another node, which sees what the one at hand announces."""

    def __init__(self, discovery):
        self._discovery = discovery
        self._events = discovery.subscribe()

    def sees(self, *names):
        """Wait until these services are announced, by name."""
        while True:
            [peer] = self._discovery.peers() or [None]
            if peer is not None and peer.name and tuple(one.name for one in peer.services) == names:
                return peer.services
            assert self._events.get(timeout=WAIT), f"not {names}, but {peer}"
