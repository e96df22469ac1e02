"""What grows has a bound, and what is past it is told."""

import tracemalloc
from random import Random

import pytest

from discoveryd.errors import WireError
from discoveryd.sites.channel import SiteChannel
from discoveryd.sites.following import EVENTS_AT_ONCE
from discoveryd.sites.gone import DOMINANT, MAX_GONE, GonePeers
from discoveryd.sites.nonces import Echoes, Nonces
from discoveryd.sites.remote_site import MAX_VIEWS, RemoteSite
from discoveryd.sites.row import encode_row, mark
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.speaking import SNAPSHOT_GAP, SNAPSHOTS, Speaking
from discoveryd.sites.values import LocalRow, Survey
from discoveryd.sites.view import MAX_WAITING, View
from discoveryd.sites.wire import MAX_ENDS, MAX_SET, Delta, End, SetPart, Want, decode_message, encode_message
from tests.sites.world import KEYRING, World, text_of


def key(number):
    return f"id{number:014} {number:016x}"


def snapshot(changes, number=1):
    rows = [(one, text) for one, text in changes if text.startswith("[")]
    digest = sum(mark(*row) for row in rows) % 2**64
    return SetPart(set=number, part=0, of=1, count=len(rows), digest=digest, changes=tuple(changes))


def test_peers_past_the_limit_are_counted_and_not_kept():
    made = World(7)
    paris = made.place("paris", 1)
    [reader] = made.place("berlin", 1, rows=10).nodes
    for number in range(20):
        paris.up(key(number), text_of(f"m{number}"))
    made.run(10)
    assert len(reader.rows()) == 10
    assert reader.site("paris")["omitted"] == 11
    assert reader.site("paris")["state"] == "reachable"
    paris.up(key(99), text_of("one more"))
    made.run(1)
    assert len(reader.rows()) == 10
    assert reader.site("paris")["omitted"] == 12
    assert reader.status()["rows"] == 10


def test_sites_are_bounded():
    made = World(7)
    for name in ("paris", "rome", "oslo"):
        made.place(name, 1)
    [reader] = made.place("berlin", 1, sites=2).nodes
    made.run(10)
    assert len(reader.status()["sites"]) == 2
    assert reader.dropped()["table-full"] >= 1


def test_gateways_of_one_site_that_are_followed_are_bounded():
    site = RemoteSite("paris", 0.0)
    for number in range(MAX_VIEWS + 1):
        view = site.view(f"{number:016x}", f"g{number}", is_sealed=True)
        view.heard = float(number)
    assert len(site.views) == MAX_VIEWS
    assert f"{0:016x}" not in site.views


def test_peers_that_are_gone_are_bounded_and_forgotten():
    site = RemoteSite("paris", 0.0)
    view = site.view("0" * 16, "gate", is_sealed=True)
    changes = [(key(number), text_of(f"m{number}")) for number in range(MAX_GONE + 5)]
    site.load(view, snapshot(changes), changes, 10**6, 0.0)
    view.heard = 1e9
    site.change(view, [(key(number), "d") for number in range(MAX_GONE + 5)], 10**6, 1.0)
    assert len(site.gone) == MAX_GONE
    site.tidy(3600.0, 3602.0)
    assert site.gone == {}
    assert site.seen == {}


def test_an_end_is_doubted_again_by_what_is_heard_after_it():
    gone = GonePeers()
    gone.end("web1 ", End("died"), "[]", 10.0)
    assert gone.due == 10.0 + DOMINANT
    assert gone.doubtful(gone.due) == ["web1 "]
    assert gone.since(11.0, 30.0) == []
    assert gone.due == float("inf")
    assert gone.since(9.0, 30.0) == ["web1 "]
    assert gone.due == 30.0


def test_what_says_less_of_a_peer_that_is_gone_changes_nothing():
    gone = GonePeers()
    for state, shown in (("unknown", "unknown"), ("down", "down"), ("unknown", "down"), ("left", "left"), ("down", "left")):
        gone.end(key(1), End(state), "text", 1.0)
        assert gone[key(1)].state == shown
    gone.end(key(2), End("down"), "", 1.0)  # of which nothing was kept
    assert set(gone) == {key(1)}


def test_deltas_that_wait_are_bounded():
    view = View("0" * 16, "gate", is_sealed=True)
    for number in range(MAX_WAITING + 10):
        assert view.follow(Delta(set=number, changes=())) == []
    view.load({}, 0, 8)
    assert view.due() == []  # 9 made room
    view.load({}, 0, 9)
    assert [delta.set for delta in view.due()] == list(range(10, MAX_WAITING + 10))


def test_a_snapshot_tells_of_so_many_peers_that_are_gone():
    made = World(7)
    [node] = made.place("berlin", 1).nodes
    node.table.update({key(number): ("down", "") for number in range(MAX_ENDS + 10)})
    node.survey()
    made.run(5)
    made.place("paris", 1)
    made.run(5)
    full = [payload for subject, payload, _ in made.broker.tape if subject.endswith("berlin.full")]
    assert len(full) == 1
    assert len(full[0]) < MAX_ENDS * 40


def test_snapshots_are_bounded_whoever_asks():
    random = Random(1)
    nonces, run = Nonces(random.randbytes), "a" * 16
    channel = SiteChannel(
        KEYRING, nonces, site="berlin", realm="default", id="gate", run=run, process=lambda: 0
    )  # fmt: skip
    speaking = Speaking(
        SiteSettings(site="berlin"), channel, nonces, Echoes(), id="gate", name="gate", boot="0" * 16, random=random.random
    )
    speaking.is_connected = True
    speaking.learn(Survey((LocalRow(key(1), "up", text_of("gate")),)), 0.0)
    speaking.poll(10.0)
    assert speaking.role == "gateway"
    want = Want(run=run, nonce="abcdefgh")
    assert sum(len(speaking.want("paris", want, 10.0)) for _ in range(100)) == SNAPSHOTS
    speaking.poll(10.0 + SNAPSHOT_GAP)
    assert channel.sent["full"] == SNAPSHOTS + 1


def test_events_of_peers_are_told_in_portions():
    made = World(7)
    paris = made.place("paris", 1)
    for number in range(3 * EVENTS_AT_ONCE):
        paris.up(key(number), text_of(f"m{number}"))
    [reader] = made.place("berlin", 1).nodes
    made.run(10)
    times = [at for at, event in reader.events if event.kind == "joined"]
    assert len(times) == 3 * EVENTS_AT_ONCE + 1
    assert max(times.count(at) for at in set(times)) <= EVENTS_AT_ONCE


def test_a_row_takes_600_bytes_at_most_by_two_gateways():
    services = ()
    tags = {"role": "web", "rack": "r12", "version": "1.24.0"}
    tracemalloc.start()
    site = RemoteSite("paris", 0.0)
    count = 2000
    for run in ("a" * 16, "b" * 16):
        view = site.view(run, "gate", is_sealed=True)
        changes = [
            (key(number), encode_row(f"web-{number:05}", [f"10.1.{number >> 8}.{number & 255}"], tags, services, "0a1b2c3d", clone=False))
            for number in range(count)
        ]
        part = snapshot(changes)
        site.load(view, part, changes, 10**6, 0.0)
        del changes, part
    site.tell(10**6, 0.0)
    site.judge(lambda _: 10.0, 0.0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(site.views["b" * 16].rows) == count
    assert taken / count <= 600


def test_a_set_that_is_too_large_is_refused():
    part = SetPart(set=1, part=0, of=1, count=MAX_SET + 1, digest=0, changes=())
    with pytest.raises(WireError, match="malformed"):
        decode_message("full", encode_message(part))
    view = View("0" * 16, "gate", is_sealed=True)
    view.load(dict.fromkeys(map(key, range(MAX_SET)), 0), 0, 1)
    view.apply(key(MAX_SET), "text", 1)
    assert len(view.rows) == MAX_SET


def test_parts_have_no_more_than_the_set_that_they_announce():
    view = View("0" * 16, "gate", is_sealed=True)
    changes = tuple((key(number), "d") for number in range(MAX_ENDS + 2))
    with pytest.raises(WireError, match="too-long"):
        view.assemble(SetPart(set=1, part=0, of=2, count=1, digest=0, changes=changes))
    assert view.assemble(SetPart(set=1, part=1, of=2, count=1, digest=0, changes=())) is None
