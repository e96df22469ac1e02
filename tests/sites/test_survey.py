"""What a real node knows first-hand, as the gateways of its site tell it."""

from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.sites.row import key_of, read_row
from discoveryd.sites.settings import GATEWAY_TAG
from discoveryd.sites.survey import SURVEY_GAP, Surveyor

LINK = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")


def node(name, address, **tags):
    made = Node(record=Record(name=name, tags=tags, services=(Service(name="http", port=80),)), node_id=name, random=Random(name))
    made.set_links([LINK._replace(address=address)], now=0.0)
    return made


def talk(nodes, now):
    """Let each hear the HELLOs of each, and what follows."""
    for sender in nodes:
        for send in sender.poll(now).sends:
            deliver(nodes, sender, send, now)


def deliver(nodes, sender, send, now):
    for receiver in nodes:
        if receiver is not sender and send.to in (LINK.broadcast, "255.255.255.255", receiver.links[0].address):
            source = Source(sender.links[0].address, receiver.links[0], unicast=not send.is_to_all)
            for answer in receiver.receive(send.datagram, source, now).sends:
                deliver(nodes, receiver, answer, now)


def three():
    nodes = [
        node("a", "10.0.0.1", **{GATEWAY_TAG: "berlin"}), node("b", "10.0.0.2", **{GATEWAY_TAG: "berlin"}),
        node("c", "10.0.0.3", role="web"), node("far", "10.0.0.4", **{GATEWAY_TAG: "paris"}),
    ]  # fmt: skip
    for step in range(20):
        talk(nodes, step * 0.4)
    return nodes


def wait(node, now, until):
    while (now := now + 0.05) < until:
        node.poll(now)


def test_gateways_tell_the_same_of_each_peer():
    a, b, c, _ = three()
    sets = [{row.key: row.text for row in Surveyor("berlin").survey(one, 8.0).rows} for one in (a, b)]
    assert sets[0] == sets[1]
    assert set(sets[0]) == {key_of(one.id, one.boot) for one in (a, b, c)}
    found = read_row(key_of("c", c.boot), sets[0][key_of("c", c.boot)])
    assert (found["name"], found["addresses"], found["tags"]) == ("c", ["10.0.0.3"], {"role": "web"})


def test_speakers_and_other_sites_are_known_by_a_tag():
    a, b, _, _ = three()
    survey = Surveyor("berlin").survey(a, 8.0)
    [speaker] = survey.speakers
    assert (speaker.id, speaker.boot) == ("b", b.boot)
    assert 0 <= b.seq - speaker.seq <= 1
    assert 8.0 - speaker.heard < 2.0
    row = a.table.get("b", b.boot)
    row.last_heard = 8.0  # by a PONG
    assert Surveyor("berlin").survey(a, 8.0).speakers == (speaker,)
    assert survey.elsewhere == {"far"}
    assert (survey.seq, survey.boot, survey.name, survey.is_isolated) == (a.seq, a.boot, "a", False)


def test_rows_are_read_only_when_something_changed():
    a, b, c, _ = three()
    surveyor = Surveyor("berlin")
    assert surveyor.survey(a, 8.0).rows is not None
    assert surveyor.survey(a, 8.1).rows is None
    for send in c.goodbye().sends:
        deliver([a, b], c, send, 8.2)
    gone = {row.key: row.state for row in surveyor.survey(a, 8.3).rows}
    assert gone[key_of("c", c.boot)] in ("left", "up")  # a plain goodbye is asked about first
    b.set_record(Record(name="b", tags={GATEWAY_TAG: "berlin", "new": "1"}), 8.4)
    talk([a, b], 8.5)
    assert any("new" in row.text for row in surveyor.survey(a, 8.6).rows)
    assert surveyor.survey(a, 8.7).rows is None
    assert surveyor.survey(a, 8.7 + SURVEY_GAP).rows is not None


def test_a_node_without_a_link_is_isolated():
    a, *_ = three()
    a.set_links([], 9.0)
    assert Surveyor("berlin").survey(a, 9.0).is_isolated


def test_a_peer_that_is_due_is_listed_until_its_end_is_known():
    """Else other sites were told that nobody knows of it any more, and not what follows a moment later."""
    a, _, c, _ = three()
    key, due = key_of("c", c.boot), a.table.get("c", c.boot).expires
    wait(a, 8.0, due)
    surveyor = Surveyor("berlin")
    assert {row.key: row.state for row in surveyor.survey(a, due + 0.01).rows}[key] == "up"
    wait(a, due, due + 0.1)
    assert {row.key: row.state for row in surveyor.survey(a, due + 0.1).rows}[key] == "down"


def test_the_reason_of_a_goodbye_is_read():
    a, b, c, _ = three()
    for peer, reason in ((b, "reboot"), (c, "stop")):
        for send in peer.goodbye(reason).sends:
            deliver([a], peer, send, 8.1)
    wait(a, 8.1, 30.0)  # a plain goodbye is asked about first
    rows = {row.key: (row.state, row.reason) for row in Surveyor("berlin").survey(a, 30.0).rows}
    assert (rows[key_of("b", b.boot)], rows[key_of("c", c.boot)]) == (("left", "reboot"), ("left", "stop"))


def test_a_process_that_died_is_told_from_one_that_fell_silent():
    a, b, c, _ = three()
    for peer in (b, c):
        a.table.get(peer.id, peer.boot).last_heard = 8.0
    a.table.refused(a.table.get("b", b.boot), "its process died", 8.1, is_certain=True)
    assert {row.key: row.state for row in Surveyor("berlin").survey(a, 8.2).rows}[key_of("b", b.boot)] == "died"
    wait(a, 8.2, 30.0)
    states = {row.key: row.state for row in Surveyor("berlin").survey(a, 30.0).rows}
    assert (states[key_of("b", b.boot)], states[key_of("c", c.boot)]) == ("died", "down")
