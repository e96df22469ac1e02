"""Nodes on loopback that send each other messages, and a handler that keeps what it gets."""

import threading

from tests.ear import Ear

WAIT = 15.0


def meet(port, *nodes):
    """Start nodes, and wait until each has an answer of each other."""
    with Ear(port) as ear:
        for node in nodes:
            node.start()
        for node in nodes:
            ear.until(lambda node=node: [peer.two_way for peer in node.peers()] == [True] * (len(nodes) - 1), WAIT)


def ends(result):
    """Return what became of a message at each receiver, by name."""
    return {one.peer.name: one.reason or one.status for one in result.deliveries}


class Taken:
    """A handler: keeps each message, and returns or raises what it is told to.

    Attributes:
        all: the messages.
        answer: returned; raised if it is an exception; called with the message if it is a function.
    """

    def __init__(self, answer=None):
        self.all = []
        self.answer = answer
        self._came = threading.Condition()

    def __call__(self, message):
        with self._came:
            self.all.append(message)
            self._came.notify_all()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer(message) if callable(self.answer) else self.answer

    def wait(self, count=1):
        """Wait for so many messages, and return the payload of each."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.all) >= count, WAIT), self.all
            return [message.payload for message in self.all]
