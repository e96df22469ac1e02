"""The mirror for programs of asyncio."""

import asyncio

import pytest

from discoveryd.errors import ConfigError, QueryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.record import Service
from discoveryd.runtime.async_client import AsyncClient
from discoveryd.runtime.discovery import Discovery
from tests.control import TOKEN, Control

PATIENCE = 10.0


@pytest.fixture
def make():
    port = free_port("127.0.0.1", "udp")
    running = []

    def make(name, number, **options):
        parameters = Parameters(port=port, loopback=f"127.0.7.{number}", interval=0.1, ttl=0.5)
        made = Discovery(parameters, name=name, node_id=name, query=(f"127.0.7.{number}", 0), control=Control(), **options)
        made.start()
        running.append(made)
        return made

    yield make
    for one in running:
        one.stop()


def test_peers_events_and_waiting(make):
    a = make("a", 1)

    async def main():
        async with AsyncClient(a.query_address) as client:
            assert await client.wait_connected(PATIENCE)
            assert client.is_connected
            assert client.last_error == ""
            assert client.peers() == ()
            assert await client.wait_for(lambda peers: peers, 0.01) is None
            events = client.events()
            b = await asyncio.to_thread(make, "b", 2)
            (peer,) = await client.wait_for(lambda peers: [one for one in peers if one.name], PATIENCE)
            assert peer.name == "b"
            told = [(await asyncio.wait_for(anext(events), PATIENCE)).kind]
            await asyncio.to_thread(b.stop)
            async for event in events:
                told.append(event.kind)
                if event.kind == "left":
                    break
            assert told[0] == "joined"
            more = client.events()
        assert [event async for event in more] == []  # they end with the client

    asyncio.run(main())


def test_registering_and_messages(make):
    a, b = make("a", 1), make("b", 2)

    async def main():
        async with AsyncClient(a.query_address, token=lambda: TOKEN) as client, AsyncClient(b.query_address, token=lambda: TOKEN) as other:
            for one in (client, other):
                assert await one.wait_for(lambda peers: [peer for peer in peers if peer.name], PATIENCE)
            with client.register(Service(name="render", port=9000)) as registration:
                assert await asyncio.to_thread(registration.wait, PATIENCE)
                assert await other.wait_for(lambda peers: [one for one in peers if one.services], PATIENCE)
            messages = other.messages("deploy")
            coming = asyncio.ensure_future(anext(messages))
            result = await client.send("deploy", "v2", to=["b"], timeout=PATIENCE)
            while result.deliveries[0].status == "refused":  # nobody listened yet
                result = await client.send("deploy", "v2", to=["b"], timeout=PATIENCE)
            assert (await asyncio.wait_for(coming, PATIENCE)).payload == b"v2"
            await messages.aclose()
            answer = await client.ask("upper", "abc", to=["b"], timeout=PATIENCE)
            assert answer.deliveries[0].answer == b"ABC"

    asyncio.run(main())


def test_nobody_there_and_stopping_without_a_start():
    async def main():
        client = AsyncClient(("127.0.7.1", 9))
        await client.stop()
        async with AsyncClient(("127.0.7.1", 9)) as client:
            assert not await client.wait_connected(0.05)
            assert "no daemon" in client.last_error
            with pytest.raises(QueryError):
                await anext(client.messages())

    asyncio.run(main())


def test_a_wrong_argument_is_refused_at_once():
    with pytest.raises(ConfigError, match="token: must be a function"):
        AsyncClient(token="secret")
