"""An event loop in its thread, for what is served on it."""

from contextlib import contextmanager

from discoveryd.runtime.loop import Loop


@contextmanager
def running_loop():
    """Give a loop for the block; nothing on it may have died."""
    deaths = []
    made = Loop(lambda _: None, lambda *death: deaths.append(death))
    made.start()
    yield made
    made.stop()
    assert deaths == []
