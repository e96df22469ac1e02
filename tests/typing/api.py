"""The public API as a user writes it; mypy --strict reads this file, nothing runs it."""

from collections.abc import Mapping
from random import Random

from discoveryd import (
    AsyncClient,
    Client,
    ConfigError,
    Delivery,
    Discovery,
    Event,
    IncomingMessage,
    Key,
    Keyring,
    Limits,
    Link,
    MessageLimits,
    MessageResult,
    Node,
    Notice,
    Outcome,
    Parameters,
    Peer,
    PeerTable,
    PingResult,
    PortTaken,
    QueryClient,
    QueryError,
    Record,
    Registration,
    Service,
    Source,
    Subscription,
    SubscriptionLagged,
    machine_settings,
    machine_token,
)


def embed() -> tuple[str | None, ...]:
    parameters = Parameters(interval=0.5, ttl=2.5, interfaces=("eth*", "!eth1"), limits=Limits(peers=100))
    service = Service(name="render", port=9000, proto="tcp", tags={"queue": "gpu"})

    def notify(notice: Notice) -> None:
        print(notice.level, notice.text, dict(notice.fields))

    try:
        with Discovery(parameters, name="a", tags={"role": "gpu"}, services=[service], notify=notify) as discovery:
            subscription: Subscription = discovery.subscribe()
            for event in subscription:
                handle(event)
            result: PingResult = discovery.ping("b", count=3, timeout=0.5)
            print(result.rtt_ms, result.hears_us_s)
            peers: tuple[Peer, ...] = discovery.peers(gone=True)
            discovery.set_record(name="a", tags={}, services=())
    except (ConfigError, OSError) as error:
        raise SystemExit(str(error)) from error
    except SubscriptionLagged:
        return ()
    return tuple(peer.name for peer in peers)


def handle(event: Event) -> None:
    tags: Mapping[str, str] = event.peer.tags
    print(event.kind, event.seq, event.peer.address, tags.get("role"), event.reason)


def talk(discovery: Discovery) -> None:
    def handle(message: IncomingMessage) -> str:
        return f"{message.sender.name}: {len(message.payload)}"

    def told(delivery: Delivery) -> None:
        print(delivery.peer.label, delivery.status, delivery.reason, delivery.took_s)

    discovery.on_message("disk", handle)
    sent: MessageResult = discovery.send("deploy", "v2", tags={"role": "worker"}, wait_handled=True, told=told)
    print(sent.is_complete, sent.expected, sent.counts["acked"])
    for peer, answer in discovery.ask("disk", b"/var", everyone=True, timeout=2.0).answers:
        print(peer.label, answer.decode())
    print(Parameters(messages=MessageLimits(budget=100)).messages.rate)


def listen(token: str) -> None:
    client = Client(token=lambda: token)
    print(client.send("deploy", to=["h1", "h2"]).counts, client.ask("info", everyone=True).answers)
    for message in client.messages("deploy", "restart"):
        print(message.name, message.payload, message.sender.address, message.is_sealed)


def mirror() -> None:
    with Client(("127.0.0.1", 3400)) as client:
        shares: dict[str, float] = {
            peer["id"]: peer["availability"] for peer in client.availability(since=86_400.0, tags={"role": "db"})["peers"]
        }
        happened: list[Mapping[str, object]] = client.history("renderer", since=3600.0)["events"]
        print(shares, happened)
        found: tuple[Peer, ...] | None = client.wait_for(lambda peers: len(peers) > 2, timeout=1.0)
        print(found, client.is_connected, client.last_error)


def ask() -> None:
    try:
        with QueryClient(("127.0.0.1", 3400), timeout=1.0) as query:
            print(query.request("list", tags={"role": "gpu"})["peers"])
    except QueryError as error:
        print(error.code, error.message)


def engine(datagram: bytes) -> Outcome:
    keyring = Keyring(keys=(Key(bytes(32)),), mode="require")
    node = Node(Parameters(), Record(name="a"), node_id="a", random=Random(1), keyring=keyring)
    node.set_keyring(Keyring(keys=keyring.keys, send_with=keyring.keys[0].id, mode="accept"))
    eth0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
    node.set_links([eth0], now=0.0)
    for send in node.poll(now=0.0).sends:
        print(send.to, send.link, len(send.datagram))
    table = PeerTable(limit=10, remember=60.0)
    table.heard_bare(Source("10.0.0.9", eth0), ttl=4.0, now=1.0)
    return node.receive(datagram, Source("10.0.0.2", eth0), now=node.next_deadline())


async def serve() -> None:
    async with AsyncClient(token=machine_token) as client:
        connected: bool = await client.wait_connected(timeout=1.0)
        registration: Registration = client.register(Service(name="render", port=9000))
        found: tuple[Peer, ...] | None = await client.wait_for(lambda peers: len(peers) > 2, timeout=1.0)
        print(connected, registration.is_registered, registration.last_error, found, client.peers())
        print((await client.ask("info", everyone=True)).answers)
        async for event in client.events():
            print(event.kind, event.peer.label)
        async for message in client.messages("deploy"):
            print(message.name)


def join() -> None:
    try:
        with Discovery(name="renderer", **machine_settings()) as node, Client() as client:
            print(node.peers(), client.wait_connected(1.0), client.register(Service(name="a", port=1)).wait(timeout=1.0))
    except PortTaken as error:
        print(error.errno, error.strerror)
