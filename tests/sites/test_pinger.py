"""When a server is asked for a sign of life, on a virtual clock."""

import asyncio

import pytest

from discoveryd.sites.nats import NatsTrouble
from discoveryd.sites.pinger import MEASURE_EVERY, PING_EVERY, PONG_WITHIN, SPARED, Pinger
from tests.sites.virtual import run


class Server:
    """One that answers, as long as it is not hung."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.is_hung = False
        self.asked, self.answers, self.faults = [], [], []
        self.pinger = Pinger(self.ping, self.answers.append, lambda: self.faults.append(self.now))

    @property
    def now(self):
        return self.loop.time() - 1000.0

    async def ping(self, timeout):
        self.asked.append(self.now)
        if self.is_hung:
            await asyncio.sleep(timeout)
            raise NatsTrouble("unreachable", "hangs")
        return 0.001

    async def talk(self, seconds, every):
        """Send a message each so many seconds."""
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(every)
            self.pinger.heard()


def test_a_silent_server_is_asked_again_and_again():
    async def body():
        server = Server()
        await server.pinger.start()
        await asyncio.sleep(5 * PING_EVERY + 1.0)
        assert server.asked == pytest.approx([PING_EVERY * number for number in range(6)])
        assert server.answers == [0.001] * 6

    run(body())


def test_a_server_that_sends_is_asked_once_a_minute():
    async def body():
        server = Server()
        await server.pinger.start()
        await server.talk(1.9 * MEASURE_EVERY, 0.5)
        assert server.asked == pytest.approx([0.0, MEASURE_EVERY])
        assert not server.faults

    run(body())


def test_the_timer_wakes_nobody_while_messages_come():
    async def body():
        server = Server()
        await server.pinger.start()
        await server.talk(30.0, 0.5)
        assert len(server.loop.wakes) == 60, "by the messages alone"

    run(body())


@pytest.mark.parametrize("talks", [0.0, 7.0, 31.3])
def test_a_server_that_hangs_is_noticed_in_time(talks):
    async def body():
        server = Server()
        await server.pinger.start()
        await server.talk(talks, 0.3)
        server.is_hung, hung = True, server.now
        await asyncio.sleep(60.0)
        assert len(server.faults) == 1
        assert PING_EVERY - SPARED <= server.faults[0] - PONG_WITHIN - hung <= PING_EVERY
        assert str(server.pinger.fault) == "hangs"

    run(body())


def test_what_is_sent_wants_a_pong_whatever_comes():
    """A server that sends, and reads nothing of ours, has to be left too."""

    async def body():
        server = Server()
        await server.pinger.start()
        await server.talk(10.0, 0.5)
        server.pinger.sent()
        server.is_hung, sent = True, server.now
        await server.talk(10.0, 0.5)
        assert server.faults[0] <= sent + PING_EVERY + PONG_WITHIN

    run(body())


def test_a_pinger_that_is_stopped_asks_nobody():
    async def body():
        server = Server()
        await server.pinger.start()
        server.pinger.stop()
        server.pinger.heard()
        await asyncio.sleep(10.0)
        assert server.asked == [0.0]

    run(body())
