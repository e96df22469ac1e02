"""A broker that lies, recordings, forged sites: refused, counted, and without an effect but that rows are unknown."""

from functools import partial
from random import Random

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.sealed.payload import PayloadSealer
from discoveryd.sites.channel import MAX_SENDERS, SiteChannel
from discoveryd.sites.nonces import Nonces
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.wire import Beat, Talk, decode_message, encode_message
from tests.sites.broker import Faults
from tests.sites.history import SEEDS, History
from tests.sites.world import KEYRING, SimulatedNode, World, text_of

KEY = "web1 " + "a" * 16
OTHER = Keyring(keys=(Key(bytes(range(1, 33))),), mode="require")


def world(nodes=2):
    made = World(7)
    berlin, paris = made.place("berlin", nodes), made.place("paris", nodes)
    made.run(10)
    return made, berlin, paris


def inject(made, reader, subject, payload):
    reader.do(reader.engine.receive(subject, payload, made.clock.now))


def refused(made, reader, subject, payload):
    """Return for which reason a message is dropped, which changes nothing."""
    before, rows = reader.dropped(), reader.rows()
    inject(made, reader, subject, payload)
    assert reader.rows() == rows
    return [reason for reason, count in reader.dropped().items() if count != before.get(reason, 0)]


def beat(**more):
    values = {"name": "x", "boot": "0" * 16, "hello": 1, "set": 10**6, "count": 0, "digest": 0, "nonce": "abcdefgh", "interval": 2.0}
    return encode_message(Beat(**{**values, **more}))


def opened_beats(made, site):
    """Return the bodies of the beats of a site, as somebody with the keys reads them."""
    subject = f"discoveryd.default.{site}.beat"
    reader = PayloadSealer(KEYRING, realm="default", id="thief", run="d" * 16)
    return [reader.open(payload, subject).body for topic, payload, _ in made.broker.tape if topic == subject]


def forged(keyring, id, site, realm="default", **more):
    subject = f"discoveryd.{realm}.{site}.beat"
    return subject, PayloadSealer(keyring, realm=realm, id=id, run="e" * 16).seal(beat(**more), subject)


def test_a_message_that_is_played_again_is_refused():
    made, berlin, paris = world()
    paris.up(KEY, text_of("web1"))
    made.run(1)
    for kind in ("beat", "delta"):
        subject, payload, _ = [one for one in made.broker.tape if one[0] == f"discoveryd.default.paris.{kind}"][-1]
        assert refused(made, berlin.nodes[0], subject, payload) == ["replayed"]


def test_a_recording_of_a_gateway_that_is_gone_proves_nothing():
    made, berlin, paris = world()
    tape = [one for one in made.broker.tape if one[2] == "paris"]
    for node in paris.nodes:
        node.stop()
    made.run(100)
    reader = SimulatedNode(berlin, "berlin-9")  # it has never heard them
    berlin.nodes.append(reader)
    reader.start()
    made.run(5)
    for subject, payload, _ in tape:
        inject(made, reader, subject, payload)
        inject(made, berlin.nodes[0], subject, payload)
    assert reader.rows(None) == {}
    assert berlin.nodes[0].rows(None, "up") == {}
    assert reader.dropped()["unproven"] >= 2
    assert berlin.nodes[0].dropped()["replayed"] >= 5


def test_what_has_no_key_of_the_fleet_is_refused():
    made, berlin, _ = world()
    reader = berlin.nodes[0]
    assert refused(made, reader, *forged(OTHER, "paris-0", "paris")) == ["unknown-key"]
    assert refused(made, reader, *forged(NO_KEYS, "paris-0", "paris")) == ["plain"]
    subject, payload, _ = [one for one in made.broker.tape if one[0].endswith("paris.beat")][-1]
    assert refused(made, reader, subject.replace("paris", "rome"), payload) == ["bad-seal"]
    assert refused(made, reader, subject, payload[:-1] + b"x") == ["bad-seal"]
    assert refused(made, reader, subject.replace("default", "lab"), payload) == ["other-realm"]
    assert refused(made, reader, subject, b"junk") == ["malformed"]
    assert refused(made, reader, "another.subject", payload) == ["malformed"]


def test_a_gateway_of_berlin_cannot_speak_for_paris():
    """It is stolen, so it has the keys of the fleet, and echoes what it hears. Its permissions were not bound to its site."""
    made, berlin, paris = world()
    [reader] = made.place("rome", 1).nodes
    made.run(10)
    stolen = berlin.nodes[0]
    subject = "discoveryd.default.paris.beat"
    [nonce] = {decode_message("beat", opened).nonce for opened in opened_beats(made, "rome")[-1:]}
    echo = {"rome": (nonce,)}
    payload = PayloadSealer(KEYRING, realm="default", id=stolen.id, run="e" * 16).seal(beat(echo=echo), subject)
    assert refused(made, reader, subject, payload) == ["wrong-site"]
    assert refused(made, paris.nodes[1], subject, payload) == ["wrong-site"]
    assert refused(made, berlin.nodes[1], subject, payload) == ["wrong-site"]


def test_a_run_that_proved_to_be_of_one_site_speaks_for_no_other():
    made, berlin, _ = world()
    subject, payload, _ = [one for one in made.broker.tape if one[0].endswith("paris.beat")][-1]
    sealer = PayloadSealer(KEYRING, realm="default", id=payload.split(b"|")[3].decode(), run=payload.split(b"|")[4].decode())
    sealer.counter, other = 10**6, subject.replace("paris", "rome")
    assert refused(made, berlin.nodes[0], other, sealer.seal(beat(), other)) == ["wrong-site"]


def test_two_sites_of_one_name_are_told():
    made = World(7)
    one, two = made.place("berlin", 1), made.place("paris", 1)
    twin = SimulatedNode(two, "twin", settings=SiteSettings(site="berlin"))
    two.nodes.append(twin)
    twin.start()
    made.run(10)
    assert one.nodes[0].dropped()["wrong-site"] >= 2


def test_plain_is_not_taken_for_a_site_that_seals():
    made = World(7)
    accepting = Keyring(keys=KEYRING.keys, mode="accept")
    berlin, paris = made.place("berlin", 1, start=False), made.place("paris", 1, start=False)
    for node in (*berlin.nodes, *paris.nodes):
        node.keyring = accepting
        node.start()
    made.run(10)
    reader = berlin.nodes[0]
    plain = PayloadSealer(NO_KEYS, realm="default", id="evil", run="e" * 16)
    subject = "discoveryd.default.paris.beat"
    assert refused(made, reader, subject, plain.seal(beat(), subject)) == ["downgrade"]
    assert [view["state"] for view in reader.status()["sites"]] == ["reachable"]
    assert reader.site("paris")["gateways"] == ["paris-0"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_broker_that_lies_can_only_make_rows_unknown(seed):
    history = History(seed, faults=Faults(loss=0.02))
    broker, random = history.world.broker, history.random

    def lie(subject, payload):
        dice = random.random()
        if dice < 0.1:
            return []
        if dice < 0.2:
            return [(subject, payload)] * 2
        if dice < 0.3:
            return [random.choice(broker.tape)[:2], (subject, payload)]
        if dice < 0.35:
            return [(subject.replace("paris", "rome"), payload)]
        if dice < 0.4:
            place = random.randrange(len(payload))
            return [(subject, payload[:place] + bytes([random.randrange(256)]) + payload[place + 1 :])]
        if dice < 0.5:  # held back for a while
            history.world.clock.after(random.random() * 20, partial(release, subject, payload))
            return []
        return [(subject, payload)]

    def release(subject, payload):
        for connection in list(broker.connections):
            if connection.wants(subject):
                broker.arrive(connection, subject, payload)

    broker.lie = lie
    history.play(40)
    assert history.problems == []
    dropped = {reason for place in history.places for node in place.nodes if node.is_up for reason in node.dropped()}
    assert {"replayed", "bad-seal"} <= dropped
    history.heal()
    history.world.run(30)
    assert history.problems == []
    assert history.differences() == []


def test_senders_are_bounded():
    nonces = Nonces(Random(1).randbytes)
    reader = SiteChannel(NO_KEYS, nonces, site="berlin", realm="default", id="me", run="0" * 16, process=lambda: 0)
    subject, echo = "discoveryd.default.paris.beat", {"berlin": (nonces.own(0.0, 1e9),)}
    first = PayloadSealer(NO_KEYS, realm="default", id="g", run=f"{1:016x}")
    reader.open(subject, first.seal(beat(echo=echo), subject), 1.0)
    for run in range(2, MAX_SENDERS + 2):
        reader.open(subject, PayloadSealer(NO_KEYS, realm="default", id="g", run=f"{run:016x}").seal(beat(echo=echo), subject), 1.0)
    _, heard = reader.open(subject, first.seal(beat(), subject), 1.0)
    assert not heard.is_proved
    _, heard = reader.open(subject, first.seal(beat(echo=echo), subject), 1.0)
    assert heard.is_proved


def test_what_others_ask_is_heard_of_a_live_sender_of_that_site():
    nonces = Nonces(Random(1).randbytes)
    reader = SiteChannel(KEYRING, nonces, site="berlin", realm="default", id="me", run="0" * 16, process=lambda: 0)
    sealer = PayloadSealer(KEYRING, realm="default", id="g", run="1" * 16)

    def ask(site, **more):
        subject = f"discoveryd.default.{site}.ask.berlin"
        body = encode_message(Talk(run="0" * 16, number="abcdefgh", body=b"what?", **more))
        return reader.open(subject, sealer.seal(body, subject), 1.0)

    with pytest.raises(WireError, match="unproven"):
        ask("paris")
    assert ask("paris", echo={"berlin": (nonces.own(0.0, 60.0),)})
    assert ask("paris")
    with pytest.raises(WireError, match="wrong-site"):
        ask("rome")
