"""A live fleet begins to use a key, and changes it, by reloads alone; recordings of it are worth nothing."""

import select
import signal
import socket
import time

from tests.conftest import BUSY
from tests.netns.daemons import asking, until
from tests.netns.flood import datagram as ip_datagram
from tests.netns.members import NEW, OLD, SUBNET, Member


def settled(fleet, keys):
    """Wait until each lists all others with these keys (by name, None for plain)."""
    for one in fleet:
        wanted = {other.name: keys.get(other.name, keys.get("")) for other in fleet if other is not one}
        with asking(one.host) as client:
            until(client, lambda peers, wanted=wanted: {peer["name"]: peer["key"] for peer in peers} == wanted)


def step(fleet, mode, *keys, send_with=None):
    for one in fleet:
        one.write(mode, *keys, send_with=send_with)
        one.reload()


def test_a_live_fleet_begins_to_use_a_key_and_changes_it(lab):
    fleet = [Member(lab, number) for number in range(1, 6)]
    away = fleet[4]
    for one in fleet:
        one.write("off")
        one.start()
    settled(fleet, {"": None})
    step(fleet, "off", OLD)
    settled(fleet, {"": None})
    step(fleet, "accept", OLD)
    settled(fleet, {"": OLD.id})
    step(fleet, "require", OLD)
    settled(fleet, {"": OLD.id})
    with asking(fleet[0].host) as client:
        security = client.request("status")["security"]
    assert (security["mode"], security["keys"], security["plain_peers"]) == ("require", [{"id": OLD.id, "peers": 4}], 0)
    assert all(one.lost() == [] for one in fleet)

    away.process.send_signal(signal.SIGTERM)
    assert away.process.wait(5) == 0
    here = fleet[:4]
    step(here, "require", OLD, NEW, send_with=OLD)
    step(here, "require", OLD, NEW, send_with=NEW)
    settled(here, {"": NEW.id})
    away.start()  # with what it knew
    for one in here:
        with asking(one.host) as client:
            until(client, lambda peers: {peer["name"]: peer["key"] for peer in peers}.get("n5") == OLD.id)
    with asking(away.host) as client:
        until(client, lambda peers: {peer["key"] for peer in peers} == {OLD.id} and len(peers) == 4)
    step([away], "require", OLD, NEW, send_with=NEW)
    settled(fleet, {"": NEW.id})
    step(fleet, "require", NEW)
    settled(fleet, {"": NEW.id})
    shown = fleet[0].host.discoveryctl("list").stdout
    assert "KEY" in shown
    assert shown.count(NEW.id) == 4
    for one in here:
        assert one.lost() == ["n5"], one.host.log()


class Tap:
    """A host that hears all broadcasts, and sends whatever to whom it likes."""

    def __init__(self, lab):
        host = lab.host("tap", address=f"{SUBNET}.66/24")
        with host.namespace():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.socket.bind(("", 3400))
        self.socket.setblocking(False)
        self.heard = []

    def listen(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self.heard.append(self.socket.recv(2048))
        return self.heard

    def send(self, number, datagrams):
        for datagram in datagrams:
            self.socket.sendto(datagram, (f"{SUBNET}.{number}", 3400))

    def spoof(self, number, source, datagrams):
        """Send as if from the address of another member."""
        addresses = [socket.inet_aton(f"{SUBNET}.{last}") for last in (source, number)]
        for datagram in datagrams:
            self.raw.sendto(ip_datagram(*addresses, datagram), (f"{SUBNET}.{number}", 0))


def test_what_a_stranger_says_or_recorded_lists_nobody(lab):
    tap = Tap(lab)
    pair = [Member(lab, number) for number in (1, 2)]
    for one in pair:
        one.write("require", OLD)
    pair[0].start()
    settled(pair[:1], {})
    began = time.monotonic()
    pair[1].start()
    settled(pair, {"": OLD.id})
    assert time.monotonic() - began < 1.0 * BUSY, "the start of Python included"
    recorded = list(tap.listen(4.0))
    assert len(recorded) > 8
    assert all(datagram.startswith(b"SEALED|2|") and len(datagram) <= 1024 for datagram in recorded)
    pair[1].process.kill()
    with asking(pair[0].host) as client, tap.socket, tap.raw:
        until(client, lambda peers: peers == [])
        (gone,) = client.request("list", all=True)["peers"]
        said = next(datagram for datagram in recorded if gone["boot"].encode() in datagram)
        boot, digit = gone["boot"].encode(), b"B" if said[-20:-19] == b"A" else b"A"
        forged = [
            b"HELLO|", b"HELLO|2|default|n2|%b|800|4000||%b|9999" % (boot, boot), said[:-20] + digit + said[-19:],
            said.replace(OLD.id.encode(), NEW.id.encode()), said[:60],
        ]  # fmt: skip
        for _ in range(3):
            tap.send(1, forged + recorded)
            tap.spoof(1, 2, recorded)
            tap.listen(0.4)
            assert client.request("list")["peers"] == []
        drops = {drop["reason"]: drop["count"] for drop in client.request("status")["drops"]}
        assert {"plain", "bad-seal", "unknown-key", "malformed", "unproven", "own-echo"} <= drops.keys(), drops
        # and one that was just started knows nothing of what it said before
        pair[0].process.kill()
        pair[0].process.wait(5)
        pair[0].start()
        with asking(pair[0].host) as afresh:
            for _ in range(3):
                tap.send(1, recorded)
                tap.spoof(1, 2, recorded)
                tap.listen(0.4)
                assert afresh.request("list")["peers"] == []
            status = afresh.request("status")
            assert status["security"]["challenges"]["asked"] > 0
            assert status["security"]["challenges"]["answered"] == 0
            assert status["events"]["joined"] == 0
