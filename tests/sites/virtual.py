"""An event loop on a clock that nothing waits for, which counts how often it was woken."""

import asyncio
import selectors


class _Waits(selectors.DefaultSelector):
    """Lets the time pass that is to be waited, where nothing is ready."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.wakes = []

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout != 0:
            assert timeout is not None, "nothing will ever happen again"
            self.now += timeout
            self.wakes.append(self.now)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs by a virtual clock.

    Attributes:
        wakes: the times at which a wait of some length ended.
    """

    def __init__(self):
        self._waits = _Waits()
        super().__init__(self._waits)

    @property
    def wakes(self):
        return self._waits.wakes

    def time(self):
        return self._waits.now


def run(body):
    """Run a coroutine to its end; `asyncio.sleep` in it takes no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body)
