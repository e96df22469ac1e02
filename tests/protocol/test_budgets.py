"""What strangers spend is theirs: they use up no answer that a peer needs, and get none twice.

The numbers in the names of attacks are those of the audit of 0.1.0.
"""

from collections import Counter

import pytest

from discoveryd.protocol import rate_limits as gate
from discoveryd.protocol.bounded import GIFT, REFILL
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.sealed.envelope import Sealer
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Hello, Ping, Pong, mark
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import boot, hello, make_node, row_of, source
from tests.protocol.segment import K1, fleet, ring

BIG = Record(name="big", tags={"text": "x" * 250, "more": "x" * 250})


def views(segment, stations, seconds, each):
    """Let the time pass, and give what the stations say of each other after each step."""
    said = []
    for _ in range(round(seconds / each)):
        segment.run(each)
        said += [(peer.id, peer.two_way) for station in stations for peer in station.node.peers(segment.now)]
    return said


# --- finding 16: answers are budgeted by an address that anybody can forge --------------------------------


@pytest.mark.parametrize("boot_of", ["the peer", "nobody"])
def test_forged_pings_of_a_peer_use_up_none_of_its_answers(boot_of):
    segment, [v, p] = fleet(2)
    segment.loss = 0.2
    segment.run(5.0)
    forged = Ping(
        realm="default", id="n2", boot=p.node.boot if boot_of == "the peer" else "0" * 16, nonce="e" * 16, to=v.node.boot
    ).encode()  # fmt: skip
    said = []
    for _ in range(60 * 50):
        segment.deliver(forged, p.address, v, unicast=True)
        said += views(segment, [p], 0.02, 0.02)
    assert {two_way for _, two_way in said} == {True}
    assert p.lost() == v.lost() == []


def test_pings_of_each_path_have_their_own_bound():
    node = make_node(answers=2)
    ask = Ping(realm="default", id="web1", boot=boot(1), nonce="e" * 16).encode()
    node.receive(hello().encode(), source(), 1.0)
    row_of(node.table, 1).paths.of(source()).answered_at = 1.0
    node.credit.prove(source().address, 1.0)
    sends = [node.receive(ask, source(), 1.0).sends for _ in range(gate.PONGS_PER_PATH + 5)]
    assert sum(len(one) for one in sends) == gate.PONGS_PER_PATH
    assert node.drops["rate", "eth0"] == 5
    assert len(node.receive(ask, source("10.0.0.8"), 1.0).sends) == 1, "others have a bound of theirs"


# --- finding 13: one sealed PING is answered for ever ------------------------------------------------------


def recorded_question():
    """Return a segment, a node, and a PING sealed for it by a run of another one that it never heard of."""
    segment, [v, p] = fleet(2, ring(K1))
    segment.run(5.0)
    w = segment.add(ring(K1)).start()
    segment.mute.add(w.address)  # so w asks v, and v does not ask w
    asked = []
    hear = v.hear
    v.hear = lambda datagram, source: asked.append(datagram) if source.address == w.address else hear(datagram, source)
    segment.run(2.0)
    w.crash()
    v.hear = hear
    segment.run(20.0)
    return segment, v, p, w, asked[0]


def test_a_recorded_ping_is_answered_once():
    segment, v, p, w, question = recorded_question()
    before = v.node.sent["pong"]
    others = len(segment.recorded(segment.now, v.address, p.address))
    said = []
    for number in range(600):
        segment.deliver(question, [p, w][number % 2].address, v, unicast=True)
        said += views(segment, [p], 0.1, 0.1)
    answered = [one for at, sender, to, one in segment.tape if sender == v.address and to == w.address]
    assert v.node.sent["pong"] - before - others <= 1 + 60 / 50, "one, and those to the true peer, in turn"
    assert len(answered) <= 1
    assert {two_way for _, two_way in said} == {True}
    assert v.drops()["replayed"] >= 299


def test_old_sealed_pings_are_not_answered_again():
    segment, [v, p] = fleet(2, ring(K1))
    segment.run(70.0)
    questions = segment.recorded(sender=p.address, to=v.address)
    p.crash()
    segment.run(20.0)
    before = v.node.sent["pong"]
    for question in questions:
        segment.deliver(question, p.address, v, unicast=True)
    segment.run(1.0)
    assert v.node.sent["pong"] == before


# --- amplification (n06): somebody spoofs the address of a victim --------------------------------------------

VICTIM = "10.0.0.66"


def spoofed(segment, stations, rate, seconds, datagrams):
    """Broadcast datagrams in the name of a victim, and give the bytes that went in, and those that came to it."""
    since, bytes_in = segment.now, 0
    for number in range(round(rate * seconds)):
        one = datagrams(number)
        bytes_in += len(one)
        for station in stations:
            segment.deliver(one, VICTIM, station)
        segment.run(1 / rate)
    segment.run(5.0)
    return bytes_in, sum(len(one) for at, _, to, one in segment.tape if at >= since and to == VICTIM)


@pytest.mark.parametrize("rate", [1, 8])
@pytest.mark.parametrize("full", [False, True])
def test_nobody_amplifies_through_us(rate, full):
    segment, stations = fleet(6)
    for station in stations:
        station.node.set_record(BIG, segment.now)
    segment.run(10.0)
    solicit = lambda number: hello(number + 1, f"n{number + 100}", full=full, solicit=True).encode()
    bytes_in, bytes_out = spoofed(segment, stations, rate, 15, solicit)
    gifts = len(stations) * (GIFT + 20 * REFILL)
    assert bytes_out <= bytes_in + gifts, "of all together"


def test_a_short_solicit_is_challenged_before_its_answer():
    node, there = make_node(), source()
    node.set_record(BIG, 0.0)
    node.poll(0.0)
    [question] = node.receive(hello(solicit=True).encode(), there, 1.0).sends
    ping = decode(question.datagram)
    assert (ping.to, question.to) == (mark("web1", boot(1)), there.address)
    pong = Pong(realm="default", boot=boot(1), nonce=ping.nonce, heard_ms=1).encode()
    [answer] = node.receive(pong, there, 1.001).sends
    assert decode(answer.datagram).record == BIG.encoded
    assert row_of(node.table, 1).paths.of(there).two_way


def test_three_solicits_are_answered_then_one_a_second():
    node = make_node()
    node.receive(hello().encode(), source(), 1.0)
    row_of(node.table, 1).prove(1.0)
    said = [len(node.receive(hello(seq=seq, solicit=True).encode(), source(), 1.0 + seq / 10).sends) for seq in range(1, 101)]
    assert said[:3] == [1, 1, 1]
    assert sum(said[3:]) in (9, 10)


def solicit(node, number, now, node_id="web1"):
    """Return what a boot is sent that solicits for the first time."""
    said = hello(number, node_id, solicit=True).encode()
    return [decode(send.datagram) for send in node.receive(said, source(), now).sends]


def test_a_node_that_starts_again_is_answered_after_its_pong():
    node, pings = make_node(newcomers=1000), 0
    for number in range(1, 30):
        now = 1.0 + number / 100
        sent = solicit(node, number, now)
        for ping in [one for one in sent if isinstance(one, Ping) and one.to == mark("web1", boot(number))]:
            pings += 1
            answer = Pong(realm="default", boot=boot(number), nonce=ping.nonce, heard_ms=1).encode()
            sent += [decode(send.datagram) for send in node.receive(answer, source(), now).sends]
        assert node.record.encoded in [one.record for one in sent if isinstance(one, Hello)], number
    assert pings > 3


def test_forged_solicits_of_new_boots_bring_pings_and_no_records():
    node = make_node(newcomers=1000)
    sent = [one for number in range(1, 101) for one in solicit(node, number, 1.0 + number / 100, f"n{number}")]
    kinds = Counter("ping" if isinstance(one, Ping) else "record" for one in sent)
    assert 3 <= kinds["record"] <= 3 + 1
    assert 0 < kinds["ping"] <= 2 * Limits().answers


def test_an_unproven_address_gets_no_more_than_it_sent():
    node = make_node(newcomers=1000, source_datagrams=100_000)
    sent = came = 0
    for number in range(1, 400):  # a peer that falls silent is asked, and asked again
        datagram = hello(number, f"n{number}", ttl=3600, full=False).encode() if number < 9 else b"?"
        came += len(datagram)
        outcome = node.receive(datagram, source(), number / 10)
        sent += sum(len(send.datagram) for send in (*outcome.sends, *node.poll(number / 10).sends) if send.to == "10.0.0.7")
    assert GIFT / 2 < sent <= came + GIFT + 40 * REFILL
    assert node.credit.withheld > 0


# --- finding 17: envelopes forged in the name of a peer, by the ten thousand -------------------------------


def test_a_source_has_only_so_many_envelopes_opened(monkeypatch):
    segment, (v, p) = fleet(2, ring(K1, mode="require"))
    segment.run(10.0)
    opened, really = [], Sealer.open
    monkeypatch.setattr(Sealer, "open", lambda *given: opened.append(1) or really(*given))
    forged = segment.recorded(sender=p.address)[-1][:-3] + b"xxx"
    for _ in range(20_000):
        v.node.receive(forged, source(p.address), segment.now)
    assert len(opened) <= Limits().source_datagrams
    assert v.drops()["rate"] >= 19_500
    segment.run(2.0)
    assert v.peers() == {p.name: K1.id}


def test_a_flooding_address_is_not_let_through_whole():
    node = make_node(source_datagrams=20)
    for number in (7, 8):
        node.receive(hello(number, f"n{number}").encode(), source(f"10.0.0.{number}"), 1.0)
    for _ in range(30):
        node.receive(b"rubbish", source(), 2.0)
    assert node.known_addresses(1.5, 2.0) == ("10.0.0.8",)
    assert node.known_addresses(1.5, 2.0 + gate.NOISY_FOR) == ("10.0.0.7", "10.0.0.8")


def test_flooding_addresses_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(gate, "MAX_NOISY", 3)
    node = make_node(source_datagrams=10)
    for number in range(1, 6):
        node.receive(hello(number, f"n{number}").encode(), source(f"10.0.0.{number}"), 1.0)
        for _ in range(15):
            node.receive(b"rubbish", source(f"10.0.0.{number}"), 2.0)
    assert node.known_addresses(1.5, 2.0) == ("10.0.0.1", "10.0.0.2")


# --- beyond our links ---------------------------------------------------------------------------------------


def test_peers_beyond_our_links_are_bounded_but_seeds():
    node = make_node(parameters=Parameters(seeds=("192.0.2.200",)), newcomers=1000, routed=5)
    for number in range(1, 21):
        node.receive(hello(number, f"n{number}").encode(), source(f"192.0.2.{number}", None), 1.0)
    node.receive(b"HELLO|", source("192.0.2.150", None), 1.0)
    assert (len(node.peers(1.0)), node.drops["table-full", "-"]) == (5, 16)
    node.receive(hello(200, "seed").encode(), source("192.0.2.200", None), 1.0)
    node.receive(hello(100, "here").encode(), source("10.0.0.9"), 1.0)
    assert {"seed", "here"} <= {peer.id for peer in node.peers(1.0)}
    wider = make_node(newcomers=1000, routed=8).parameters
    node.set_parameters(wider, 1.0)
    node.receive(hello(50, "n50").encode(), source("192.0.2.50", None), 1.1)
    assert node.table.beyond() == 7
    assert len(node.peers(9.0)) == 0
    node.poll(9.0)
    assert node.table.beyond() == 0, "who is gone takes no place"


# --- finding 14: old recordings use up the questions -------------------------------------------------------


@pytest.mark.parametrize(("rate", "runs"), [(20, 12), (63, 12), (431, 30)])
def test_old_recordings_keep_no_restarted_node_waiting(rate, runs):
    segment, [a, b] = fleet(2, ring(K1))
    said = []
    for _ in range(runs):
        since = segment.now
        segment.run(2.0)
        said.append(segment.recorded(since, b.address, "10.0.0.255")[0])
        b.crash()
        b.start()
    b.crash()
    segment.run(20.0)
    took = []
    for begun in (0.0, 10.0):  # restarted as the attack begins, and well into it
        begin, restarted = segment.now, 0.0
        for number in range(round((begun + 3.0) * rate)):
            if b.node is None and segment.now >= begin + begun:
                b.start()
                restarted = segment.now
            segment.deliver(said[number % runs], b.address, a)
            segment.run(1 / rate)
            if b.node and any(peer.boot == b.node.boot for peer in a.node.peers(segment.now)):
                took.append(segment.now - restarted)
                break
        b.crash()
        segment.run(20.0)
    assert len(took) == 2
    assert max(took) <= 2.0
