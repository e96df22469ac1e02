"""The zone: who is found under which name, and what is said of names that are not there."""

import pytest

from discoveryd.dns import index as index_module
from discoveryd.dns.names import BROWSING
from discoveryd.dns.zone import MOST_ROWS, DnsQuestion
from discoveryd.protocol.wire.record import Record, Service
from tests.dns.stage import HTTP, Stage, found
from tests.protocol.samples import boot, hello, source

PLAIN = Service(name="render", port=9000, proto="udp")


@pytest.fixture
def stage():
    made = Stage()
    made.joins(1, "bert", "10.0.0.2", HTTP, PLAIN, tags={"role": "gpu", "rack": "b2"})
    return made


def test_a_peer_is_found_by_its_name_in_any_case(stage):
    for name in ("bert.peers.internal", "BeRT.Peers.INTERNAL"):
        assert found(stage.answer(name)) == ["10.0.0.2"]
    assert stage.answer("BeRT.peers.internal").records[0].owner == (b"BeRT", b"peers", b"internal")


def test_names_that_are_not_there_are_told_apart_from_types(stage):
    """NXDOMAIN is for names of nobody; NODATA for those that have something else, or names below them."""
    stage.joins(2, "web.a", "10.0.0.3")
    for name in ("ernie", "x.bert", "_http._udp", "x._http._tcp", "_x", "b.a"):
        assert stage.answer(f"{name}.peers.internal").code == "NXDOMAIN", name
    for name, kind in (("bert", "AAAA"), ("bert", "HTTPS"), ("a", "A"), ("_tcp", "A"), ("_udp", "PTR"), ("_http._tcp", "A"),
                       ("_dns-sd._udp", "A"), ("web.a", "TXT"), ("_services._dns-sd._udp", "A"), ("discoveryd", "TXT")):  # fmt: skip
        answer = stage.answer(f"{name}.peers.internal", kind)
        assert (answer.code, answer.records) == ("NOERROR", ()), name
        [soa] = answer.authority
        assert (soa.kind, soa.ttl, soa.owner) == ("SOA", 0, (b"peers", b"internal"))


@pytest.mark.parametrize("name", ["example.org", "internal", "", "xpeers.internal", "2.0.0.192.in-addr.arpa", "local"])
def test_whatever_is_not_of_the_zone_is_refused(stage, name):
    assert stage.answer(name).code == "REFUSED"
    assert not stage.answer(name).authority


@pytest.mark.parametrize("kind", ["ANY", "AXFR", "IXFR"])
def test_nobody_gets_all_at_once(stage, kind):
    assert stage.answer("bert.peers.internal", kind).code == "REFUSED"


def test_the_domain_says_who_answers_for_it(stage):
    assert found(stage.answer("peers.internal", "NS")) == ["discoveryd.peers.internal"]
    assert found(stage.answer("discoveryd.peers.internal")) == ["127.0.0.1"]
    [soa] = stage.answer("peers.internal", "SOA").records
    assert soa.data[:2] == ((b"discoveryd", b"peers", b"internal"), (b"nobody", b"peers", b"internal"))
    serial = soa.data[2]
    stage.joins(2, "ernie", "10.0.0.3")
    assert stage.answer("peers.internal", "SOA").records[0].data[2] > serial


def test_the_server_at_every_address_is_found_on_our_links():
    assert found(Stage(address=None).answer("discoveryd.peers.internal")) == ["10.0.0.1"]
    assert found(Stage(address="::1").answer("discoveryd.peers.internal", "AAAA")) == ["::1"]


# --- life -------------------------------------------------------------------------------------------


def test_a_goodbye_is_seen_before_the_index_is(stage):
    stage.leaves(1)
    assert stage.answer("bert.peers.internal").code == "NXDOMAIN"
    for name, kind in (("_http._tcp", "SRV"), ("_services._dns-sd._udp", "PTR"), ("bert._http._tcp", "TXT")):
        assert found(stage.answer(f"{name}.peers.internal", kind)) == [], name


def test_silence_ends_a_name_with_its_ttl_though_no_timer_ran(stage):
    stage.now = 3.99
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.2"]
    stage.now = 4.0
    assert stage.answer("bert.peers.internal").code == "NXDOMAIN"


def test_a_ttl_is_never_longer_than_what_a_peer_has_left():
    stage = Stage(ttl=30.0)
    stage.joins(1, "bert", "10.0.0.2", HTTP)
    for name, kind in (("bert", "A"), ("_http._tcp", "SRV"), ("_http._tcp", "PTR"), ("_services._dns-sd._udp", "PTR")):
        ttls = []
        for stage.now in (0.0, 1.5, 3.9):
            ttls.append(stage.answer(f"{name}.peers.internal", kind).records[0].ttl)
        assert ttls == [4, 2, 0], name
    assert stage.answer("ernie.peers.internal").authority[0].ttl == 30
    assert Stage(ttl=2.0).answer("ernie.peers.internal").authority[0].ttl == 2


def test_a_peer_that_restarts_has_its_new_address(stage):
    stage.joins(6, "web.a", "10.0.0.8")
    stage.joins(5, "bert", "10.0.0.9", id="id1")
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.9"]
    stage.node.table.expire(100.0)
    stage.now = 100.0
    stage.refresh()
    index = stage.zone.index
    assert [*index.names, *index.types, *index.instances, *index.hosts, *index.addresses, *index.between] == []


def test_a_record_that_changes_changes_the_names(stage):
    stage.joins(1, "ernie", "10.0.0.2", seq=2)
    assert stage.answer("bert.peers.internal").code == "NXDOMAIN"
    assert found(stage.answer("ernie.peers.internal")) == ["10.0.0.2"]
    assert stage.answer("_http._tcp.peers.internal", "SRV").code == "NXDOMAIN"
    assert stage.answer("bert.peers.internal", "TXT").code == "NXDOMAIN"


# --- several of one name ----------------------------------------------------------------------------


def alias(number, name="bert"):
    return f"{name}-{boot(number)[:4]}.peers.internal"


def test_two_of_one_name_answer_both_and_each_alone():
    stage = Stage()
    first, second = 1 << 60, 2 << 60
    stage.joins(first, "bert", "10.0.0.2", HTTP)
    assert found(stage.answer("_http._tcp.peers.internal", "SRV")) == [(0, 80, "bert.peers.internal")]
    stage.joins(second, "Bert", "10.0.0.3", HTTP)
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.2", "10.0.0.3"]
    assert [found(stage.answer(alias(one))) for one in (first, second)] == [["10.0.0.2"], ["10.0.0.3"]]
    assert found(stage.answer("_http._tcp.peers.internal", "SRV")) == [
        (0, 80, alias(first)), (0, 80, alias(second, "Bert"))]  # fmt: skip
    instances = found(stage.answer("_http._tcp.peers.internal", "PTR"))
    assert instances == ["bert-1000._http._tcp.peers.internal", "Bert-2000._http._tcp.peers.internal"]
    assert [found(stage.answer(one, "SRV")) for one in instances] == [[(0, 80, alias(first))], [(0, 80, alias(second, "Bert"))]]
    assert found(stage.answer("3.0.0.10.in-addr.arpa", "PTR")) == [alias(second, "Bert")]


def test_a_plain_peer_takes_no_name_of_one_that_seals():
    stage = Stage()
    stage.joins(1 << 60, "bert", "10.0.0.66", HTTP)
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.66"]
    stage.joins(2 << 60, "bert", "10.0.0.2", HTTP, key="3fa29c01")
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.2"]
    assert found(stage.answer("bert._http._tcp.peers.internal", "SRV")) == [(0, 80, alias(2 << 60))]
    assert found(stage.answer(alias(1 << 60))) == ["10.0.0.66"]


def test_the_name_of_this_node_is_its_own():
    stage = Stage(with_self=True)
    stage.joins(1 << 60, "me", "10.0.0.66")
    assert found(stage.answer("me.peers.internal")) == ["10.0.0.1"]
    assert found(stage.answer(alias(1 << 60, "me"))) == ["10.0.0.66"]
    assert Stage().answer("me.peers.internal").code == "NXDOMAIN"


def test_a_peer_that_never_answered_does_not_take_a_name():
    stage = Stage(proved=False)
    stage.joins(1, "bert", "10.0.0.66")
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.66"]  # alone it is found at once
    stage.node.table.enter(hello(2, "id2", 1, stage.node.table.get("id1", boot(1)).record), source("10.0.0.2"), 0.0, proved=True)
    stage.refresh()
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.2"]


# --- services ---------------------------------------------------------------------------------------


def test_services_are_found_with_their_addresses(stage):
    answer = stage.answer("_http._tcp.peers.internal", "SRV")
    assert found(answer) == [(0, 80, "bert.peers.internal")]
    assert [(one.owner[0], one.data) for one in answer.additional] == [(b"bert", "10.0.0.2")]
    assert found(stage.answer("_render._udp.peers.internal", "SRV")) == [(0, 9000, "bert.peers.internal")]


def test_services_are_browsed_as_dns_sd_says(stage):
    assert found(stage.answer("_services._dns-sd._udp.peers.internal", "PTR")) == [
        "_http._tcp.peers.internal", "_render._udp.peers.internal"]  # fmt: skip
    for name in BROWSING:
        assert found(stage.answer(f"{b'.'.join(name).decode()}.peers.internal", "PTR")) == ["peers.internal"]
    [instance] = found(stage.answer("_http._tcp.peers.internal", "PTR"))
    assert instance == "bert._http._tcp.peers.internal"
    assert found(stage.answer(instance, "TXT")) == [(b"path=/",)]
    assert found(stage.answer("bert._render._udp.peers.internal", "TXT")) == [(b"",)]
    assert found(stage.answer(instance, "SRV")) == [(0, 80, "bert.peers.internal")]


def test_a_second_port_of_a_service_is_another_instance(stage):
    stage.joins(2, "ernie", "10.0.0.3", HTTP, Service(name="http", port=81), Service(name="HTTP", port=81))
    assert found(stage.answer("ernie:81._http._tcp.peers.internal", "SRV")) == [(0, 81, "ernie.peers.internal")]
    assert found(stage.answer("ernie._http._tcp.peers.internal", "SRV")) == [(0, 80, "ernie.peers.internal")]
    assert stage.zone.index.hosts["id2", boot(2)].left_out == 1


def test_a_peer_that_is_overdue_or_deaf_comes_last(stage):
    stage.now = 1.0
    stage.joins(2, "ernie", "10.0.0.3", HTTP)
    stage.now = 2.2
    answer = stage.answer("_http._tcp.peers.internal", "SRV")
    assert found(answer) == [(0, 80, "ernie.peers.internal"), (20, 80, "bert.peers.internal")]
    row = stage.node.table.get("id2", boot(2))
    row.paths.best(2.2).two_way = False
    row.changed()
    assert found(stage.answer("_http._tcp.peers.internal", "SRV"))[0][0] == 10


def test_tags_are_texts_and_what_is_too_long_is_left_out():
    stage = Stage()
    stage.joins(1, "bert", "10.0.0.2", tags={"role": "gpu", "long": "x" * 251, "a=b": "c", "empty": ""})
    assert found(stage.answer("bert.peers.internal", "TXT")) == [(b"role=gpu", b"empty=")]
    assert stage.zone.index.hosts["id1", boot(1)].left_out == 2


@pytest.mark.parametrize("service", [
    Service(name="no port", port=0), Service(name="two words", port=1), Service(name="ärger", port=1), Service(name="a.b", port=1),
    Service(name="dns-sd", port=1, proto="udp"), Service(name="-x", port=1), Service(name="x" * 63, port=1), Service(name="x", port=1, proto="a b"),
], ids=lambda one: one.name[:9])  # fmt: skip
def test_what_can_be_no_name_is_left_out(service):
    stage = Stage()
    stage.joins(1, "bert", "10.0.0.2", service)
    assert not stage.zone.index.types
    assert stage.zone.index.hosts["id1", boot(1)].left_out == 1


def test_a_name_too_long_for_a_service_leaves_the_address():
    stage = Stage(zone=".".join(["z" * 31] * 4))
    long = Service(name="s" * 62, port=1)
    stage.joins(1, "n" * 60, "10.0.0.2", long)
    assert found(stage.answer(f"{'n' * 60}.{'.'.join(['z' * 31] * 4)}")) == ["10.0.0.2"]
    assert stage.zone.index.hosts["id1", boot(1)].left_out == 1


# --- addresses --------------------------------------------------------------------------------------


def test_reverse_names_are_those_of_peers_on_our_links(stage):
    stage.node.table.enter(hello(2, "id2", 1), source("192.168.9.9", None), 0.0)
    stage.refresh()
    assert found(stage.answer("2.0.0.10.in-addr.arpa", "PTR")) == ["bert.peers.internal"]
    assert stage.answer("2.0.0.10.in-addr.arpa", "A").code == "NOERROR"
    for name in ("9.9.168.192", "3.0.0.10", "0.10", "", "02.0.0.10", "x.0.0.10"):
        assert stage.answer(f"{name}.in-addr.arpa".removeprefix("."), "PTR").code == "REFUSED", name
    stage.leaves(1)
    assert stage.answer("2.0.0.10.in-addr.arpa", "PTR").code == "REFUSED"


def test_addresses_that_need_a_zone_are_not_told():
    stage = Stage()
    stage.joins(1, "bert", "10.0.0.2")
    for number, address in enumerate(("fe80::1%eth0", "2001:db8::7"), 2):
        stage.node.table.enter(hello(1, "id1", number, full=False), source(address, None), 0.0)
    stage.refresh()
    assert found(stage.answer("bert.peers.internal", "AAAA")) == ["2001:db8::7"]
    assert found(stage.answer("bert.peers.internal")) == ["10.0.0.2"]


def test_a_bare_peer_goes_by_its_address(stage):
    stage.node.table.heard_bare(source("10.0.0.9"), 4.0, 0.0)
    stage.refresh()
    assert found(stage.answer("bare-10-0-0-9.peers.internal")) == ["10.0.0.9"]


# --- bounds -----------------------------------------------------------------------------------------


def test_of_many_rows_a_question_looks_at_some():
    stage, seen = Stage(newcomers=10_000), []
    question = DnsQuestion((b"_http", b"_tcp", b"peers", b"internal"), "SRV")
    for number in range(1, 301):
        stage.node.table.enter(hello(number, f"id{number}"), source(f"10.0.{number // 200}.{number % 200}"), 0.0)
    assert stage.refresh() == 7  # turns of the look at the table
    stage.zone.answer(question, lambda keys: seen.append(list(keys)) or stage.look(seen[-1]))
    stage.zone.answer(question, lambda keys: seen.append(list(keys)) or stage.look(seen[-1]))
    assert [len(set(keys)) for keys in seen] == [MOST_ROWS, MOST_ROWS]
    assert set(seen[0]) != set(seen[1])



def test_a_look_at_a_big_table_is_taken_in_turns(monkeypatch):
    """A turn with nothing new is short too, and what happens between two turns is not lost."""
    monkeypatch.setattr(index_module, "LOOKED_AT", 40)
    stage = Stage(newcomers=10_000)
    for number in range(1, 101):
        stage.node.table.enter(hello(number, f"id{number}"), source(f"10.0.0.{number}"), 0.0)
    stage.refresh()
    assert stage.refresh() == 3
    index = stage.zone.index
    index.take(index.turn(stage.node, 0.0)[0])
    stage.node.table.enter(hello(999, "new", 1, Record(name="late")), source("10.0.0.200"), 0.0)
    stage.leaves(1)
    stage.refresh()
    stage.refresh()
    assert found(stage.answer("late.peers.internal")) == ["10.0.0.200"]
    assert ("id1", boot(1)) not in index.hosts
