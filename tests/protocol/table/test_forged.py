"""What a stranger says under the id or the boot of a peer neither hides nor delays nor revives nor changes it for long.

The numbers of findings are those of the audit of 0.1.0.
"""

from dataclasses import replace

import pytest

from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Pong
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import hello
from tests.protocol.segment import DELAY, K1, Segment, ring

ACCEPT = ring(K1, mode="accept")
STRANGER = "10.0.0.66"
HOUR = 3600.0


class Squatted(Segment):
    """A segment with somebody who answers the first frame of each boot in plain, before it arrives anywhere.

    Attributes:
        forge: gives what is said of a station.
    """

    def __init__(self):
        super().__init__(1)
        self.forge = lambda _: ()
        self._seen = set()

    def carry(self, sender, to, datagram):
        said_by = self.stations[sender]
        if to == "10.0.0.255" and said_by.node.boot not in self._seen:
            self._seen.add(said_by.node.boot)
            for forged in self.forge(said_by):
                for station in self.stations.values():
                    if station is not said_by:
                        self.deliver(forged.encode(), STRANGER, station)
        super().carry(sender, to, datagram)


def forger(who, then):
    """Give what squats the id, the boot, or both of a station, and what is said after that."""

    def forge(station):
        first = replace(
            hello(seq=1_000_000, ttl=HOUR), id="evil" if who == "boot" else station.name,
            boot="e" * 16 if who == "id" else station.node.boot,
        )  # fmt: skip
        further = {
            "silence": (),
            "goodbye": (replace(first, seq=2_000_000, goodbye=True),),
            "restarts": (replace(first, boot="d" * 16), first, replace(first, boot="c" * 16)),
        }
        return [first, *further[then]]

    return forge


def seconds_until_listed(segment, listener, peer, key=K1.id):
    began = segment.now
    while listener.peers().get(peer.name, "") != key:
        segment.run(DELAY / 2)
        assert segment.now < began + 5.0, listener.drops()
    return segment.now - began


# --- finding 2: a name that is not proved is taken by who comes first ----------------------------------------


def own_addresses(listener, peer):
    """Return whether a peer is listed under its key and boot, at no address but its own."""
    sealed = [one for one in listener.node.peers(listener.segment.now) if one.key]
    return [one.addresses for one in sealed if one.boot == peer.node.boot] == [(peer.address,)]


@pytest.mark.parametrize("who", ["id", "boot", "both"])
@pytest.mark.parametrize("then", ["silence", "goodbye", "restarts"])
def test_a_plain_squatter_delays_no_peer_that_seals(who, then):
    """On 0.1.0 a squatter of the boot hid the peer for an hour."""
    segment = Squatted()
    listener = segment.add(ACCEPT).start()
    segment.run(3.0)
    segment.forge = forger(who, then)
    peer = segment.add(ACCEPT).start()
    took = [seconds_until_listed(segment, listener, peer)]
    assert own_addresses(listener, peer)
    segment.run(10.0)
    peer.crash()
    peer.start()
    segment.run(16 * DELAY)
    took.append(seconds_until_listed(segment, listener, peer))
    assert max(took) <= 16 * DELAY
    assert own_addresses(listener, peer)
    segment.run(20.0)
    assert listener.peers()[peer.name] == K1.id
    assert [one for one in listener.lost() if one[2] == peer.name and one[0] > 20.0] == []


def test_in_plain_two_ids_of_one_boot_are_two_peers():
    """On 0.1.0 the one that spoke second was not listed for an hour."""
    segment = Squatted()
    listener = segment.add().start()
    segment.run(3.0)
    segment.forge = forger("boot", "silence")
    peer = segment.add().start()
    assert seconds_until_listed(segment, listener, peer, key=None) <= 2 * DELAY


# --- finding 6: a PONG counts for the boot that was asked ----------------------------------------------------


@pytest.mark.parametrize("end", ["crash", "leave"])
@pytest.mark.parametrize("keyring", [NO_KEYS, ACCEPT], ids=["plain", "accept"])
def test_a_pong_in_the_name_of_a_dead_peer_does_not_revive_it(keyring, end):
    """A stranger is listed, has itself asked, and answers in the name of a peer that is dead."""
    segment = Segment(1)
    victim, dead = segment.add(keyring).start(), segment.add(keyring).start()
    segment.run(10.0)
    boot = dead.node.boot
    getattr(dead, end)()
    segment.run(5.0)
    assert victim.peers() == {}
    seen, tape = set(), len(segment.tape)
    for beat in range(120):
        segment.deliver(replace(hello(seq=beat), id="evil", boot="e" * 16).encode(), STRANGER, victim)
        ask = Ping(realm="default", id="evil", boot="e" * 16, nonce=f"{beat:016x}", to=victim.node.boot)
        segment.deliver(ask.encode(), STRANGER, victim, unicast=True)
        for _ in range(8):
            segment.run(0.1)
            for _, _, to, datagram in segment.tape[tape:]:
                if to == STRANGER and datagram.startswith(b"PING|"):
                    pong = Pong(realm="default", boot=boot, nonce=decode(datagram).nonce, heard_ms=10)
                    segment.deliver(pong.encode(), STRANGER, victim, unicast=True)
            tape = len(segment.tape)
            seen |= set(victim.peers().items())
    assert seen == {("evil", None)}
    assert victim.drops()["unexpected"] + victim.drops().get("downgrade", 0) > 10


# --- what a forged HELLO says of a peer ---------------------------------------------------------------------


@pytest.mark.parametrize("address", ["10.0.0.2", STRANGER])
def test_what_a_forged_hello_says_of_a_peer_holds_until_its_next(address):
    segment = Segment(1)
    listener, peer = segment.add().start(), segment.add().start()
    segment.run(5.0)

    def shown():
        [one] = listener.node.peers(segment.now)
        return one.name, one.boot, one.address, one.interval_s, one.ttl_s, one.state

    before = shown()
    forged = hello(seq=peer.node.seq + 1, interval=60.0, ttl=HOUR, record=Record(name="evil"))
    segment.deliver(replace(forged, id="n2", boot=peer.node.boot).encode(), address, listener)
    segment.run(DELAY)
    assert shown()[0] == "evil"
    segment.run(2 * 0.88)
    assert shown() == before
    assert listener.lost() == []


# --- finding 4: a full table ---------------------------------------------------------------------------------


def test_a_full_table_prefers_a_sealed_newcomer_to_plain_peers():
    """On 0.1.0 it was refused, `table-full`, for as long as the plain ones lived."""
    segment = Segment(1)
    listener = segment.add(ACCEPT, parameters=Parameters(limits=Limits(peers=4))).start()
    for _ in range(4):
        segment.add().start()
    segment.run(5.0)
    assert set(listener.peers().values()) == {None}
    assert len(listener.peers()) == 4
    newcomers = [segment.add(ACCEPT).start() for _ in range(2)]
    segment.run(1.0)
    assert [listener.peers().get(one.name) for one in newcomers] == [K1.id, K1.id]
    segment.run(20.0)
    assert sorted(key or "" for key in listener.peers().values()) == ["", "", K1.id, K1.id]
    assert [one for one in listener.lost() if one[2] in {newcomer.name for newcomer in newcomers}] == []
