"""The connection to real NATS servers, and the ready configurations of config/nats."""

import asyncio
import datetime as dt
import ipaddress
import signal
import socket
from contextlib import suppress
from random import Random
from time import monotonic

import pytest

from discoveryd.query.site_findings import site_findings
from discoveryd.sites.access import Access
from discoveryd.sites.link import NatsLink
from discoveryd.sites.nats import NatsTrouble, Session
from tests.consumers.nats_fleet import Fleet
from tests.consumers.nats_server import NatsServer

WAIT = 15.0
LARGE = 100_000
"""Bytes of a message; twenty of them are less than a socket takes, and more than what its other end takes unread."""


class End:
    """A link with what it heard and told."""

    def __init__(self, name, access):
        self.heard = []
        self.notices = []
        self.states = []
        self.link = NatsLink(
            access, name=name, hear=lambda subject, payload: self.heard.append((subject, payload)), changed=self.states.append,
            notify=self.notices.append, random=Random(1),
        )  # fmt: skip
        self.task = asyncio.ensure_future(self.link.run())

    @property
    def trouble(self):
        trouble = self.link.status()["trouble"]
        return trouble and trouble["kind"]

    def finding(self):
        """Give the code of the finding that follows from the connection."""
        return next((code for code, *_ in site_findings({"sites": {"connection": self.link.status(), "sites": []}})), None)

    def is_connected(self):
        return self.link.status()["connected"]


async def until(holds, what=""):
    deadline = monotonic() + WAIT
    while not holds():
        assert monotonic() < deadline, what or holds
        await asyncio.sleep(0.02)


def run(body):
    """Run a test on a loop, and see that it leaves nothing behind."""

    async def whole():
        ends = []

        def end(name, server, **access):
            ends.append(End(name, Access(servers=(server,), **access)))
            return ends[-1]

        try:
            async with asyncio.timeout(4 * WAIT):
                await body(end)
        finally:
            for one in ends:
                one.task.cancel()
            await asyncio.gather(*(one.task for one in ends), return_exceptions=True)
            await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


@pytest.fixture
def server(tool, tmp_path):
    made = NatsServer(tool("nats-server", "nats-server"), tmp_path / "nats")
    yield made
    made.stop()


@pytest.fixture
def fleet(tool, tmp_path):
    made = Fleet(tool("nats-server", "nats-server"), tmp_path)
    yield made
    made.stop()


def test_a_server_that_hangs_is_left_and_nothing_stale_comes(server):
    async def body(end):
        ear, mouth = end("ear", server.url), end("mouth", server.url)
        ear.link.subscribe("x.*")
        await until(lambda: ear.is_connected() and mouth.is_connected())
        server.hang()
        said, deadline = 0, monotonic() + WAIT
        while mouth.is_connected():  # more than the kernel takes for a server that does not read
            mouth.link.publish("x.1", b"stale %d" % said + bytes(LARGE))
            said += 1
            await asyncio.sleep(0.05)
            assert monotonic() < deadline
        assert mouth.finding() == "nats-unreachable"
        await until(lambda: not ear.is_connected())
        mouth.link.publish("x.1", b"stale, said while nobody listens")
        server.send(signal.SIGCONT)
        await until(lambda: ear.is_connected() and mouth.is_connected())
        await asyncio.sleep(0.3)  # for the subscription of the new session to be there
        mouth.link.publish("x.1", b"fresh")
        await until(lambda: ("x.1", b"fresh") in ear.heard)
        stale = [int(payload[6:].partition(b"\0")[0]) for _, payload in ear.heard if payload != b"fresh"]
        assert len(stale) < said / 4, "at most what the socket of the server itself had taken"
        assert mouth.link.status()["unsent"] >= 1

    run(body)


def test_a_server_that_hangs_is_sent_nothing_when_it_wakes_up():
    async def whole():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            session = Session(lambda *message: None, print, print)
            server = f"nats://127.0.0.1:{listener.getsockname()[1]}"
            opening = asyncio.ensure_future(session.open(server, Access(servers=(server,)), "n"))
            ours, _ = await loop.sock_accept(listener)
        with ours:
            await loop.sock_sendall(ours, b'INFO {"server_id":"s","version":"2.9.0","max_payload":1048576}\r\n')
            said = b""
            while b"PING" not in said:
                said += await loop.sock_recv(ours, 4096)
            await loop.sock_sendall(ours, b"PONG\r\n")
            await opening
            for _ in range(20):
                await session.publish("x", bytes(LARGE))
            with pytest.raises(NatsTrouble, match="hangs"):
                await session.ping(0.05)
            await session.close()
            taken = 0
            with suppress(ConnectionResetError):
                while piece := await loop.sock_recv(ours, LARGE):
                    taken += len(piece)
            assert taken < 10 * LARGE, "what was in our socket is forgotten"

    asyncio.run(asyncio.wait_for(whole(), WAIT))


def test_a_server_that_is_killed_is_found_again(server):
    async def body(end):
        one = end("one", server.url)
        await until(one.is_connected)
        server.kill()
        await until(lambda: one.trouble == "unreachable")
        assert one.states == [True, False]
        server.start()
        await until(one.is_connected)
        status = one.link.status()
        assert (status["sessions"], status["trouble"]) == (2, None)
        assert [notice.text for notice in one.notices][:2] == ["connected to NATS", "no NATS server"]

    run(body)


def test_other_servers_are_taken_over_at_once(server, tool, tmp_path):
    other = NatsServer(tool("nats-server", "nats-server"), tmp_path / "other")

    async def body(end):
        one, ear = end("one", server.url), end("ear", other.url)
        one.link.subscribe("y")
        await until(lambda: one.is_connected() and ear.is_connected())
        one.link.renew(Access(servers=("nats://127.0.0.1:1", other.url)))  # nobody is at the first
        await until(lambda: one.link.status()["server"] == other.url)
        await asyncio.sleep(0.1)
        ear.link.publish("y", b"hello")
        await until(lambda: one.heard == [("y", b"hello")])

    try:
        run(body)
    finally:
        other.stop()


def test_a_stolen_gateway_cannot_speak_for_another_site(fleet):
    server = fleet.single()

    async def body(end):
        berlin, paris = (end(site, server.url, seed=fleet.seeds[site]) for site in ("berlin", "paris"))
        stranger = end("stranger", server.url)
        thief = end("thief", server.url, seed=Fleet("", ".").seeds["paris"])
        for kind in ("beat", "delta", "full"):
            paris.link.subscribe(f"discoveryd.default.*.{kind}")
        paris.link.subscribe("discoveryd.default.*.want.paris")
        await until(lambda: berlin.is_connected() and paris.is_connected())
        await until(lambda: stranger.trouble == thief.trouble == "auth")
        berlin.link.subscribe("discoveryd.default.*.want.paris")  # what others ask of Paris
        berlin.link.publish("discoveryd.default.paris.beat", b"forged")
        berlin.link.publish("discoveryd.default.tokyo.delta", b"forged")
        berlin.link.publish("discoveryd.default.berlin.beat", b"true")
        berlin.link.publish("discoveryd.default.berlin.want.paris", b"true")
        await until(lambda: len(paris.heard) == 2)
        assert paris.heard == [("discoveryd.default.berlin.beat", b"true"), ("discoveryd.default.berlin.want.paris", b"true")]
        await until(lambda: len(berlin.link.status()["denied"]) == 3)
        assert stranger.finding() == thief.finding() == berlin.finding() == "nats-auth"
        assert berlin.is_connected()
        assert "discoveryd.default.paris.beat" in str(berlin.link.status()["denied"])

    run(body)


def test_not_even_a_stolen_server_can_speak_for_another_site(fleet):
    fleet.hub()
    leaves = {site: fleet.leaf(site) for site in ("paris", "tokyo")}
    stolen = fleet.stolen("berlin")

    async def body(end):
        paris, tokyo = (end(site, leaves[site].url, seed=fleet.seeds[site]) for site in leaves)
        thief = end("thief", stolen.url)
        paris.link.subscribe("discoveryd.default.*.beat")
        await until(lambda: paris.is_connected() and tokyo.is_connected() and thief.is_connected())
        deadline = monotonic() + WAIT
        while ("discoveryd.default.berlin.beat", b"true") not in paris.heard:  # until the leaf nodes know each other
            thief.link.publish("discoveryd.default.tokyo.beat", b"forged")
            thief.link.publish("discoveryd.default.berlin.beat", b"true")
            await asyncio.sleep(0.1)
            assert monotonic() < deadline
        tokyo.link.publish("discoveryd.default.tokyo.beat", b"true")
        await until(lambda: ("discoveryd.default.tokyo.beat", b"true") in paris.heard)
        assert {payload for _, payload in paris.heard} == {b"true"}

    run(body)


@pytest.fixture(scope="module")
def certificates():
    """Give certificate and key, in PEM, of a server on 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_tls_is_never_left_out(tool, tmp_path, server, fleet, certificates):
    certificate, key = certificates
    (tmp_path / "crt").write_text(certificate)
    (tmp_path / "key").write_text(key)
    config = f'tls {{ cert_file: "{tmp_path}/crt", key_file: "{tmp_path}/key" }}\nauthorization {{ users = [ {{ nkey: {fleet.publics["paris"]} }} ] }}'
    secured = NatsServer(tool("nats-server", "nats-server"), tmp_path / "secured", config)

    async def body(end):
        seed = fleet.seeds["paris"]
        good = end("good", secured.url.replace("nats:", "tls:"), seed=seed, authorities=certificate)
        unknown = end("unknown", secured.url.replace("nats:", "tls:"), seed=seed)
        misnamed = end("misnamed", secured.url.replace("nats://127.0.0.1", "tls://localhost"), seed=seed, authorities=certificate)
        plain = end("plain", server.url.replace("nats:", "tls:"), seed=seed, authorities=certificate)
        await until(good.is_connected)
        await until(lambda: unknown.finding() == misnamed.finding() == plain.finding() == "nats-tls")
        assert "self-signed" in unknown.link.status()["trouble"]["error"].replace(" ", "-")
        assert plain.link.status()["trouble"]["error"] == "the server does not offer TLS, and is named with tls://"

    try:
        run(body)
    finally:
        secured.stop()


def test_nothing_is_signed_for_a_server_without_tls():
    """Somebody between could pass on a challenge of the real server, and log in there with our answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)

    async def body(end):
        fleet = Fleet("", ".")
        url = f"tls://127.0.0.1:{listener.getsockname()[1]}"
        one = end("one", url, seed=fleet.seeds["paris"])
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        with sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(sock, b'INFO {"nonce":"abc","auth_required":true,"max_payload":1000}\r\n')
            assert await asyncio.get_running_loop().sock_recv(sock, 1000) == b""
        await until(lambda: one.trouble == "tls")

    with listener:
        run(body)
