"""What is listed of another site is what its gateways say, and as long as that is proved."""

import json

import pytest

from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.wire.messages import REASON_LETTERS
from discoveryd.protocol.wire.record import Service
from discoveryd.sites.gone import DOMINANT
from discoveryd.sites.row import encode_row
from discoveryd.sites.settings import Follow, SiteSettings
from tests.sites.world import BEAT, KEYRING, World, text_of

KEY, NEW = "web1 " + "a" * 16, "web1 " + "b" * 16


def world(berlin=2, paris=2, **settings):
    made = World(7)
    return made, made.place("berlin", berlin), made.place("paris", paris, **settings)


def kinds(node, since=0.0):
    return [(event.kind, event.peer and event.peer["name"]) for at, event in node.events if at >= since and event.kind != "gateway"]


def states(place, key):
    return [node.rows().get(key, {}).get("state") for node in place.nodes if node.is_up]


def roles(place):
    return sorted(node.status()["role"] for node in place.nodes if node.is_up)


def test_each_node_of_each_site_lists_all():
    made, berlin, paris = world(5, 5)
    rome = made.place("rome", 5)
    made.run(9)
    for place in (berlin, paris, rome):
        assert roles(place) == ["gateway", "gateway", "standby", "standby", "standby"]
        others = {key for other in (berlin, paris, rome) if other is not place for key in other.truth}
        for node in place.nodes:
            assert set(node.rows(None, "up")) == others
            assert {row["site"] for row in node.rows().values()} == {berlin.name, paris.name, rome.name} - {place.name}


def test_a_join_a_goodbye_and_a_crash_are_told_at_once():
    made, berlin, paris = world(3, 3)
    made.run(10)
    for act, state in ((lambda: paris.up(KEY, text_of("web1")), "up"), (lambda: paris.gone(KEY, "left"), "left")):
        act()
        made.run(paris.lag + 0.1)
        assert states(berlin, KEY) == [state] * 3
    paris.up(NEW, text_of("web1"))
    made.run(1)
    paris.gone(NEW)
    made.run(paris.lag + 0.1)
    assert states(berlin, NEW) == ["down"] * 3
    assert kinds(berlin.nodes[0])[-4:] == [("joined", "web1"), ("left", "web1"), ("joined", "web1"), ("down", "web1")]


def reasons(node, name):
    return [(event.reason, event.peer["goodbye_reason"]) for _, event in node.events if event.peer and event.peer["name"] == name]


def test_why_a_peer_left_is_told_and_listed():
    made, berlin, paris = world()
    keys = {reason: f"{reason} {number:016x}" for number, reason in enumerate(REASON_LETTERS)}
    for reason, key in keys.items():
        paris.up(key, text_of(reason))
    made.run(10)
    for reason, key in keys.items():
        paris.gone(key, "left", reason)
    made.run(1)
    reader = berlin.nodes[0]
    for reason, key in keys.items():
        said = "it said goodbye to its site" + ("" if reason == "stop" else f": {reason}")
        assert reasons(reader, reason) == [("its site lists it", None), (said, reason)]
        assert (reader.rows()[key]["state"], reader.rows()[key]["goodbye_reason"]) == ("left", reason)
    texts = [json.loads(text) for _, text in reader.engine.texts(None, made.clock.now)]
    assert {row["name"]: row["goodbye_reason"] for row in texts if row["state"] == "left"} == dict(zip(keys, keys, strict=True))


def test_why_a_peer_left_is_in_a_whole_set_too():
    made, berlin, paris = world()
    paris.up(KEY, text_of("web1"))
    made.run(10)
    made.broker.cut.add(("berlin", "paris"))
    made.run(1)
    paris.gone(KEY, "left", "reboot")
    made.run(1)
    made.broker.cut.clear()
    made.run(5)
    assert reasons(berlin.nodes[0], "web1")[-1] == ("it said goodbye to its site: reboot", "reboot")
    paris.up(KEY, text_of("web1"))
    made.run(1)
    assert (states(berlin, KEY), berlin.nodes[0].rows()[KEY]["goodbye_reason"]) == (["up"] * 2, None)


@pytest.mark.parametrize(("state", "said"), [("died", "its process died"), ("down", "its site found it down")])
def test_a_peer_that_is_down_is_told_with_what_shows_it(state, said):
    made, berlin, paris = world()
    paris.up(KEY, text_of("web1"))
    made.run(10)
    paris.gone(KEY, state)
    made.run(1)
    assert reasons(berlin.nodes[0], "web1")[-1] == (said, None)
    assert states(berlin, KEY) == ["down"] * 2


def test_what_is_known_better_of_a_peer_that_is_down_is_no_event():
    made, berlin, paris = world()
    paris.up(KEY, text_of("web1"))
    made.run(10)
    paris.gone(KEY, "down")
    made.run(1)
    paris.gone(KEY, "died")
    made.run(1)
    assert [kind for kind, name in kinds(berlin.nodes[0]) if name == "web1"] == ["joined", "down"]


def test_a_restart_is_one_event():
    made, berlin, paris = world()
    paris.up(KEY, text_of("web1"))
    made.run(10)
    paris.restart(KEY, NEW, text_of("web1"))
    made.run(1)
    assert [kind for kind in kinds(berlin.nodes[0]) if kind[1] == "web1"] == [("joined", "web1"), ("restarted", "web1")]
    formers = [event.former for _, event in berlin.nodes[0].events if event.peer and event.peer["name"] == "web1"]
    assert formers == ["", KEY.partition(" ")[2]]
    assert states(berlin, NEW) == ["up"] * 2
    assert states(berlin, KEY) == [None] * 2


def test_a_row_says_where_it_is_from_and_how_old_its_proof_is():
    made, berlin, paris = world()
    made.run(12)
    row = berlin.nodes[0].rows()[paris.nodes[0].key]
    assert row["site"] == "paris"
    assert row["via"] in [node.id for node in paris.nodes]
    assert 0 <= row["vouched_s"] <= 5
    assert row["expires_s"] == pytest.approx(row["ttl_s"] - row["vouched_s"], abs=0.002)
    assert (row["rtt_ms"], row["two_way"], row["link"]) == (None, None, "")


def test_the_text_of_a_peer_is_that_of_its_json():
    made, berlin, paris = world()
    service = Service(name="dns", port=53, proto="udp", tags={"zone": 'a"b'})
    paris.up(KEY, encode_row('B\xfcro "1"', ["10.0.0.1", "fd00::1"], {"k": "", "\u20ac": "v"}, [service], "0a0b0c0d", clone=True))
    paris.up("10.0.0.9 ", encode_row(None, [], {}, [], "", clone=False))
    made.run(10)
    paris.gone("10.0.0.9 ")
    made.run(1)
    engine, now = berlin.nodes[0].engine, made.clock.now
    for _ in range(2):
        rows = engine.rows(None, now)
        assert [json.loads(text) for _, text in engine.texts(None, now)] == rows
        assert [state for state, _ in engine.texts(None, now)] == [row["state"] for row in rows]
        assert {row["state"] for row in rows} in ({"up", "down"}, {"unknown", "down"})
        made.broker.cut.add(("paris", "paris"))
        made.run(20)
        now = made.clock.now


def test_a_silent_site_is_one_event_and_its_peers_are_unknown():
    made, berlin, paris = world(3, 3)
    for number in range(50):
        paris.up(f"m{number} {number:016x}", text_of(f"m{number}"))
    made.run(10)
    began = made.clock.now
    made.broker.cut.add(("berlin", "paris"))
    made.run(12)
    for node in berlin.nodes:
        assert kinds(node, began) == [("site-unreachable", None)]
        assert len(node.rows(None, "unknown")) == 53 == len(node.rows())
        assert node.site("paris")["state"] == "unreachable"
        assert node.site("paris")["unknown"] == 53
    paris.gone(f"m1 {1:016x}")
    made.run(3)
    made.broker.cut.clear()
    healed = made.clock.now
    made.run(5)
    for node in berlin.nodes:
        assert kinds(node, healed) == [("site-back", None), ("down", "m1")]
        assert set(node.rows(None, "up")) == set(paris.truth)
    assert {node.site("berlin")["state"] for node in paris.nodes} == {"reachable"}


def test_a_gateway_that_lost_its_lan_takes_nobody_down():
    """It does not notice: its table says that all the others are down, and that is what it tells."""
    made, berlin, paris = world(2, 3)
    paris.up(KEY, text_of("web1"))
    made.run(10)
    deaf = next(node for node in paris.nodes if node.status()["role"] == "gateway")
    for key in list(deaf.table):
        if key != deaf.key:
            deaf.table[key] = ("down", "")
    deaf.survey()
    made.run(30)
    assert set(berlin.nodes[0].rows(None, "up")) == set(paris.truth)
    assert all(kind not in ("down", "left", "unknown") for kind, _ in kinds(berlin.nodes[0]))


def test_an_isolated_node_speaks_for_nobody():
    made, berlin, paris = world(2, 1)
    paris.up(KEY, text_of("web1"))
    made.run(10)
    [gateway] = paris.nodes
    gateway.is_isolated = True
    gateway.survey()
    gateway.table[KEY] = ("down", "")
    gateway.survey()
    assert gateway.status()["role"] == "isolated"
    made.run(13)
    assert states(berlin, KEY) == ["unknown"] * 2
    gateway.is_isolated = False
    gateway.table[KEY] = ("up", text_of("web1"))
    gateway.survey()
    made.run(7)
    assert states(berlin, KEY) == ["up"] * 2
    assert ("down", "web1") not in kinds(berlin.nodes[0])


def test_a_node_speaks_once_it_has_met_its_site():
    made, berlin, paris = world(2, 1)
    paris.up(KEY, text_of("web1"))
    [gateway] = paris.nodes
    made.run(2)
    assert gateway.status()["role"] == "settling"
    assert not any("paris" in subject for subject, *_ in made.broker.tape)
    for number in range(4):  # it goes on to learn of peers
        paris.up(f"m{number} {number:016x}", text_of(f"m{number}"))
        made.run(0.5)
    assert gateway.status()["role"] == "settling"
    made.run(2)
    assert gateway.status()["role"] == "gateway"
    assert len(berlin.nodes[0].rows()) == 6


def test_a_gateway_that_starts_anew_takes_nobody_down():
    made, berlin, paris = world(2, 1)
    for number in range(20):
        paris.up(f"m{number} {number:016x}", text_of(f"m{number}"))
    made.run(10)
    [gateway] = paris.nodes
    gateway.stop()
    gateway.start()
    gateway.table = dict(list(gateway.table.items())[:10])
    made.run(25)
    assert not {kind for kind, name in kinds(berlin.nodes[0]) if name and name.startswith("m")} & {"down", "left"}
    assert set(berlin.nodes[0].rows(None, "up")) >= set(paris.truth)


def test_a_dead_gateway_is_replaced_within_a_second():
    made, berlin, paris = world(2, 5)
    made.run(10)
    for _ in range(2):
        gateway = next(node for node in paris.nodes if node.is_up and node.status()["role"] == "gateway")
        gateway.stop()
        made.run(1.5)
        assert roles(paris).count("gateway") == 2
    made.run(20)
    assert set(berlin.nodes[0].rows(None, "up")) == set(paris.truth)
    assert [kind for kind, _ in kinds(berlin.nodes[0])].count("site-unreachable") == 0
    assert not berlin.nodes[0].rows(None, "unknown")


def test_a_gateway_whose_connection_is_lost_is_passed_over():
    made, berlin, paris = world(2, 5)
    made.run(10)
    cut = [node for node in paris.nodes if node.status()["role"] == "gateway"]
    for node in cut:
        node.disconnect()
    made.run(8)
    assert roles(paris) == ["disconnected", "disconnected", "gateway", "gateway", "standby"]
    assert [kind for kind, _ in kinds(berlin.nodes[0])].count("site-unreachable") == 0
    cut[0].connect()
    made.run(8)
    assert cut[0].status()["role"] == "gateway"
    assert roles(paris).count("gateway") == 2


def test_a_hung_server_proves_nothing_when_it_wakes():
    """What it held back comes all at once, and echoes nonces that are old by then."""
    made, berlin, paris = world(2, 1)
    paris.up(KEY, text_of("web1"))
    made.run(10)
    [gateway] = paris.nodes
    made.broker.stall(gateway.connection, is_stalled=True)
    made.run(60)
    assert states(berlin, KEY) == ["unknown"] * 2
    paris.gone(KEY)
    gateway.is_up = False
    made.broker.stall(gateway.connection, is_stalled=False)
    made.run(1)
    assert states(berlin, KEY) == ["unknown"] * 2


def test_first_hand_rows_win():
    made, berlin, paris = world()
    made.run(10)
    reader, shared = berlin.nodes[0], paris.nodes[0]
    assert shared.key in reader.rows()
    reader.table[shared.key] = ("up", shared.text)
    reader.survey()
    assert shared.key not in reader.rows()


def test_only_the_peers_that_are_followed_are_kept():
    made = World(7)
    paris, rome = made.place("paris", 2), made.place("rome", 2)
    rules = (Follow(site="par*", tags={"role": "web"}), Follow(site="par*", name="db-*"))
    berlin = made.place("berlin", 2, follow=rules)
    paris.up("a " + "a" * 16, text_of("a", role="web"))
    paris.up("db-1 " + "b" * 16, text_of("db-1"))
    paris.up("c " + "c" * 16, text_of("c"))
    made.run(10)
    [reader, _] = berlin.nodes
    assert {row["name"] for row in reader.rows().values()} == {"a", "db-1"}
    assert reader.site("paris")["omitted"] == 3
    assert reader.site("rome")["state"] == "pending"
    paris.up("c " + "c" * 16, text_of("c", role="web"))
    made.run(1)
    assert {row["name"] for row in reader.rows().values()} == {"a", "db-1", "c"}
    settings = SiteSettings(site="berlin", follow=(Follow(),))
    reader.do(reader.engine.set_settings(settings, made.clock.now))
    assert {row["name"] for row in reader.rows(None, "up").values()} == {"a", "db-1", "c"}  # no row is lost meanwhile
    made.run(5)
    assert set(reader.rows(None, "up")) == {*paris.truth, *rome.truth}
    reader.do(reader.engine.set_settings(SiteSettings(site="berlin", follow=(Follow(site="rome"),)), made.clock.now))
    assert set(reader.rows()) == set(rome.truth)
    made.run(20)
    assert set(reader.rows()) == set(rome.truth)
    assert [kind for kind, _ in kinds(reader)].count("site-unreachable") == 0


def test_deltas_are_subscribed_to_where_a_site_is_followed():
    made = World(7)
    paris, _ = made.place("paris", 1), made.place("rome", 1)
    [reader] = made.place("berlin", 1, follow=(Follow(site="paris"),)).nodes
    made.run(10)
    assert {subject for subject in reader.connection.subjects if "delta" in subject} == {"discoveryd.default.paris.delta"}
    reader.disconnect()
    reader.connect()
    assert "discoveryd.default.paris.delta" in reader.connection.subjects
    paris.up(KEY, text_of("web1"))
    made.run(5)
    assert reader.rows()[KEY]["state"] == "up"


def test_two_sites_may_have_a_bare_peer_of_one_address():
    made, berlin, paris = world()
    bare = "10.0.0.5 "
    for place in (berlin, paris):
        place.up(bare, text_of("bare"))
    made.run(10)
    assert berlin.nodes[0].rows()[bare]["site"] == "paris"
    assert berlin.nodes[0].rows()[bare]["kind"] == "bare"


def test_a_node_that_has_just_started_reads_before_it_may_speak():
    made, berlin, paris = world(3, 2)
    made.run(10)
    node = berlin.nodes[0]
    node.stop()
    made.run(20)
    node.start()
    made.run(5)
    assert set(node.rows(None, "up")) == set(paris.truth)


def test_a_fleet_changes_its_key_and_no_site_falls_silent():
    made, berlin, paris = world(3, 2)
    made.run(10)
    old, new = KEYRING.keys[0], Key(bytes(range(1, 33)))
    rings = [
        Keyring(keys=(old, new), mode="require"), Keyring(keys=(old, new), send_with=new.id, mode="require"),
        Keyring(keys=(new,), mode="require"),
    ]  # fmt: skip
    for ring in rings:
        for node in (*berlin.nodes, *paris.nodes):
            node.engine.set_keyring(ring)
            made.run(1)
        made.run(10)
    for node in (*berlin.nodes, *paris.nodes):
        assert [kind for kind, _ in kinds(node)].count("site-unreachable") == 0
        assert len(node.rows(None, "up")) == 5 - len(node.place.nodes)
        assert "unknown-key" not in node.dropped()


def test_a_standby_dates_nonces_by_the_hellos_of_a_large_network():
    made, berlin, paris = world(3, 3)
    made.run(10)
    [standby] = [node for node in berlin.nodes if node.status()["role"] == "standby"]
    gateways = [node for node in berlin.nodes if node is not standby]
    ages = [node.rows(None, "up")[paris.nodes[0].key]["vouched_s"] for node in (standby, *gateways)]
    assert ages[0] <= max(ages[1:]) + 2 * BEAT


def test_a_gateway_speaks_until_its_successor_is_heard():
    made, berlin, paris = world(1, 3)
    made.run(10)
    first, second = [node for node in paris.nodes if node.status()["role"] == "gateway"]
    [other] = [node for node in paris.nodes if node not in (first, second)]
    first.stop()
    made.run(10)
    first.start()
    made.run(1)  # its place is its own again, and it does not speak yet
    paris.truth[KEY] = text_of("web1")
    other.hear_of(KEY, "up", paris.truth[KEY])
    made.run(0.2)
    assert states(berlin, KEY) == ["up"]
    made.run(8)
    assert [node.status()["role"] for node in (first, second, other)] == ["gateway", "gateway", "standby"]


@pytest.mark.parametrize("silence", [0.0, 4.0], ids=["its machine says so", "it is silent"])
@pytest.mark.parametrize("interval", [2.0, 8.0])
def test_a_dead_gateway_is_told_though_it_listed_itself(silence, interval):
    """Its own last list is whole, and proved for seconds more: it is older than the word of the other one."""
    made, berlin, paris = world(2, 3, interval=interval)
    made.run(40)
    gateway = next(node for node in paris.nodes if node.status()["role"] == "gateway")
    key = gateway.key
    for place in (berlin, paris):
        for node in place.nodes:
            node.events.clear()
    gateway.is_up = False
    gateway.disconnect()
    made.run(silence * interval / 2)
    paris.gone(key, "down" if silence else "died")
    made.run(paris.lag + 0.1)
    assert states(berlin, key) == ["down"] * 2
    made.run(60)
    assert states(berlin, key) == ["down"] * 2
    assert [kind for kind, name in kinds(berlin.nodes[0]) if name == gateway.id] == ["down"]


@pytest.mark.parametrize("interval", [2.0, 16.0])
def test_a_gateway_that_another_does_not_hear_lists_itself(interval):
    made, berlin, paris = world(2, 2, interval=interval)
    made.run(60)
    deaf, heard = paris.nodes
    for state in ("down", "died"):
        sent = heard.status()["sent"]["beat"]
        while heard.status()["sent"]["beat"] == sent:
            made.run(0.1)
        deaf.table[heard.key] = (state, "")
        deaf.survey()
        made.run(DOMINANT + 1.2 * interval)
        assert states(berlin, heard.key) == ["up"] * 2
        deaf.table[heard.key] = ("up", heard.text)
        deaf.survey()
        made.run(30)
    assert [kind for kind, name in kinds(berlin.nodes[0]) if name == heard.id] == ["joined", "down", "joined"]


def test_an_end_is_told_by_a_gateway_that_never_listed_the_peer():
    """That one lists nothing any more, so the others would know nothing else of the peer."""
    made, berlin, paris = world(2, 2)
    made.run(20)
    first, second = paris.nodes
    paris.truth[KEY] = text_of("web1")
    second.hear_of(KEY, "up", text_of("web1"))
    made.run(1)
    assert states(berlin, KEY) == ["up"] * 2
    del paris.truth[KEY]
    second.stop("died")
    made.run(1)
    first.hear_of(KEY, "down", "")
    made.run(20)
    assert states(berlin, KEY) == ["down"] * 2


def test_a_goodbye_that_is_known_late_is_told_too():
    made, berlin, paris = world(2, 1)
    paris.up(KEY, text_of("web1"))
    made.run(20)
    for state in ("down", "left"):
        paris.gone(KEY, state)
        made.run(1)
        assert states(berlin, KEY) == [state] * 2
    assert paris.nodes[0].status()["sent"]["delta"] == 2
