"""Waiting for an event of a subscription, and for what another thread does."""

from time import monotonic, sleep

WAIT = 15.0
"""Seconds that a slow machine may need."""


def wait_for(subscription, kind, name=None, timeout=WAIT):
    """Read events up to one of a kind.

    A peer whose first HELLO the kernel lost, as in a flood of another test, joins without a name, which comes later.
    """
    deadline = monotonic() + timeout
    while (left := deadline - monotonic()) > 0:
        event = subscription.get(timeout=left)
        kinds = ("joined", "updated") if kind == "joined" and name else (kind,)
        if event is not None and event.kind in kinds and name in (None, event.peer.name):
            return event
    raise AssertionError(f"no {kind} of {name} within {timeout:g} s")


def until(holds, timeout=WAIT):
    """Wait until `holds` returns true."""
    deadline = monotonic() + timeout
    while not holds():
        assert monotonic() < deadline, f"not within {timeout:g} s"
        sleep(0.005)
