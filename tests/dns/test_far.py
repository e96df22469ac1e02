"""Names of the peers of other sites: an engine of the sites against a model of NATS, and a table that hears some peers itself."""

import pytest

from discoveryd.dns.far import FarNames
from discoveryd.protocol.table.peer import peer_from_json
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.row import encode_row
from discoveryd.sites.settings import Follow
from tests.dns.stage import HTTP, Stage, found
from tests.protocol.samples import boot, hello, source
from tests.sites.world import World

BERT = f"id7 {boot(7)}"


ALL = (Follow(),)


def text_of(name, address, *services, **tags):
    return encode_row(name, [address], tags, services, "3fa29c01", clone=False)


class Desk:
    """What a node of paris knows of other sites, as `discoveryd.sites.desk` tells it."""

    site = "paris"

    def __init__(self, node):
        self.node = node

    def followed(self):
        return self.node.engine.followed()

    def live(self, site):
        return self.node.engine.live(site)

    def read(self, key, text):
        return render(key, text, "up", Voucher(self.site, None, None, 0.0), 0.0)

    def look(self, site, keys):
        return self.node.engine.look(site, keys, self.node.clock.now)


class FarStage(Stage):
    """A node of paris with a zone, which is told of berlin; its own peers are said by `joins`."""

    def __init__(self, follow=ALL, **more):
        super().__init__(**more)
        self.world = World(7)
        self.berlin = self.world.place("berlin", 2)
        self.paris = self.world.place("paris", 2, follow=follow)
        self.world.run(10)
        self.desk = Desk(self.paris.nodes[0])
        self.far = FarNames(self.zone, lambda: self.desk)
        self.zone.sites = self.far
        self.refresh_far()

    def refresh_far(self):
        return sum(1 for _ in self.far.refresh())

    def up(self, key, text):
        self.berlin.up(key, text)
        self.world.run(1)
        self.refresh_far()

    def reverse(self, address, kind="PTR"):
        """Give the code of the answer to a reverse name, and whose it is."""
        answer = self.answer(".".join([*reversed(address.split(".")), "in-addr", "arpa"]), kind)
        return answer.code, found(answer)

    def names(self, site="berlin"):
        return {b".".join(name).decode() for name in self.far.zones[site].index.names}


@pytest.fixture
def stage():
    made = FarStage()
    made.up(BERT, text_of("bert", "10.9.0.2", HTTP, Service(name="render", port=9000, proto="udp"), role="gpu"))
    return made


def test_a_peer_of_another_site_is_found_below_its_site(stage):
    for name in ("bert.berlin.peers.internal", "BERT.Berlin.peers.INTERNAL", f"bert-{boot(7)[:4]}.berlin.peers.internal"):
        assert found(stage.answer(name)) == ["10.9.0.2"], name
    assert found(stage.answer("bert.berlin.peers.internal", "TXT")) == [(b"role=gpu",)]
    assert stage.answer("bert.peers.internal").code == "NXDOMAIN"


def test_services_of_another_site_are_found_below_it(stage):
    answer = stage.answer("_http._tcp.berlin.peers.internal", "SRV")
    assert found(answer) == [(0, 80, "bert.berlin.peers.internal")]
    assert [(one.owner[:2], one.data) for one in answer.additional] == [((b"bert", b"berlin"), "10.9.0.2")]
    [instance] = found(stage.answer("_http._tcp.berlin.peers.internal", "PTR"))
    assert instance == "bert._http._tcp.berlin.peers.internal"
    assert found(stage.answer(instance, "TXT")) == [(b"path=/",)]
    assert set(found(stage.answer("_services._dns-sd._udp.berlin.peers.internal", "PTR"))) == {
        "_http._tcp.berlin.peers.internal", "_render._udp.berlin.peers.internal"}  # fmt: skip
    assert found(stage.answer("b._dns-sd._udp.berlin.peers.internal", "PTR")) == ["berlin.peers.internal"]
    assert stage.answer("_http._tcp.peers.internal", "SRV").code == "NXDOMAIN"


def test_what_is_not_there_has_the_start_of_the_domain(stage):
    for name, code in (("ernie.berlin", "NXDOMAIN"), ("bert.rome", "NXDOMAIN"), ("rome", "NXDOMAIN"), ("berlin", "NOERROR"),
                       ("x.bert.berlin", "NXDOMAIN"), ("_tcp.berlin", "NOERROR"), ("discoveryd.berlin", "NXDOMAIN"),
                       ("bert.berlin.paris", "NXDOMAIN"), ("bert.berlin.berlin", "NXDOMAIN")):  # fmt: skip
        answer = stage.answer(f"{name}.peers.internal")
        assert (answer.code, answer.records) == (code, ()), name
        [soa] = answer.authority
        assert (soa.owner, soa.data[0]) == ((b"peers", b"internal"), (b"discoveryd", b"peers", b"internal"))
    assert stage.answer("bert.berlin.peers.internal", "AAAA").code == "NOERROR"


def test_the_own_site_is_this_network_once_more():
    stage = FarStage(with_self=True)
    stage.joins(1, "carl", "10.0.0.2", HTTP)
    assert found(stage.answer("carl.paris.peers.internal")) == ["10.0.0.2"]
    assert found(stage.answer("me.paris.peers.internal")) == ["10.0.0.1"]
    assert found(stage.answer("_http._tcp.paris.peers.internal", "SRV")) == [(0, 80, "carl.peers.internal")]
    assert stage.answer("paris.peers.internal").code == "NOERROR"
    stage.leaves(1)
    assert stage.answer("carl.paris.peers.internal").code == "NXDOMAIN"


def test_without_sites_a_label_is_no_site():
    stage = Stage()
    stage.joins(1, "carl", "10.0.0.2")
    assert stage.answer("carl.paris.peers.internal").code == "NXDOMAIN"


def test_a_goodbye_there_is_heard_before_the_names_are_new(stage):
    stage.berlin.gone(BERT, "left")
    stage.world.run(1)
    assert stage.answer("bert.berlin.peers.internal").code == "NXDOMAIN"
    assert found(stage.answer("_http._tcp.berlin.peers.internal", "SRV")) == []
    stage.refresh_far()
    assert "bert" not in stage.names()


def test_of_a_silent_site_no_address_is_told(stage):
    """As of a peer of this network that fell silent: nobody here knows, and an address would say that it is up."""
    for node in stage.berlin.nodes:
        node.disconnect()
    stage.world.run(20)
    stage.refresh_far()
    assert stage.desk.node.site("berlin")["state"] == "unreachable"
    for name in ("bert.berlin", "bert._http._tcp.berlin", "_http._tcp.berlin"):
        assert stage.answer(f"{name}.peers.internal", "SRV").code == "NXDOMAIN", name
    for node in stage.berlin.nodes:
        node.connect()
    stage.world.run(10)
    stage.refresh_far()
    assert found(stage.answer("bert.berlin.peers.internal")) == ["10.9.0.2"]


def test_a_word_that_is_too_old_is_none_though_no_timer_ran(stage):
    node = stage.desk.node
    now, left = node.clock.now, stage.desk.look("berlin", [BERT])[0]["expires_s"]
    assert 0 < left <= 10.0
    node.clock.now = now + left
    assert stage.answer("bert.berlin.peers.internal").code == "NXDOMAIN"
    node.clock.now = now


def test_a_ttl_is_never_longer_than_the_word_of_a_site_holds():
    stage = FarStage(ttl=60.0)
    stage.up(BERT, text_of("bert", "10.9.0.2"))
    [record] = stage.answer("bert.berlin.peers.internal").records
    assert 0 < record.ttl == int(stage.desk.look("berlin", [BERT])[0]["expires_s"])


def test_a_site_that_is_not_followed_has_no_names():
    stage = FarStage(follow=(Follow(site="rome"),))
    stage.up(BERT, text_of("bert", "10.9.0.2"))
    assert stage.desk.node.site("berlin")["peers"] == 0
    for name in ("bert.berlin", "berlin"):
        assert stage.answer(f"{name}.peers.internal").code == "NXDOMAIN"


def test_a_peer_of_this_network_with_such_a_name_comes_first(stage):
    stage.joins(1, "bert.berlin", "10.0.0.66")
    stage.joins(2, "x.ernie.berlin", "10.0.0.67")
    assert found(stage.answer("bert.berlin.peers.internal")) == ["10.0.0.66"]
    assert stage.answer("bert.berlin.peers.internal", "TXT").records == ()
    assert stage.answer("ernie.berlin.peers.internal").code == "NOERROR"
    stage.up("id8 " + boot(8), text_of("ernie", "10.9.0.3"))  # below it is a name of this network
    assert found(stage.answer("ernie.berlin.peers.internal")) == ["10.9.0.3"]
    stage.leaves(1)
    assert found(stage.answer("bert.berlin.peers.internal")) == ["10.9.0.2"]


def test_what_this_node_hears_itself_of_a_peer_comes_first(stage):
    said = hello(7, "id7", 1, Record(name="bert"))
    stage.node.table.enter(said, source("10.0.0.7"), 0.0)
    stage.refresh()
    assert found(stage.answer("bert.berlin.peers.internal")) == ["10.0.0.7"]


def test_two_of_one_name_answer_both_and_each_alone_there(stage):
    other = 2 << 60
    stage.up(f"id8 {boot(other)}", text_of("bert", "10.9.0.3"))
    assert sorted(found(stage.answer("bert.berlin.peers.internal"))) == ["10.9.0.2", "10.9.0.3"]
    assert found(stage.answer("bert-2000.berlin.peers.internal")) == ["10.9.0.3"]


def test_names_of_a_site_are_kept_as_its_peers_are(stage):
    stage.up(BERT, text_of("robert", "10.9.0.2"))
    assert "bert" not in stage.names()
    assert found(stage.answer("robert.berlin.peers.internal")) == ["10.9.0.2"]
    new = f"id7 {boot(9)}"
    stage.berlin.restart(BERT, new, text_of("robert", "10.9.0.4"))
    stage.world.run(1)
    stage.refresh_far()
    assert ("id7", boot(7)) not in stage.far.zones["berlin"].index.hosts
    assert found(stage.answer("robert.berlin.peers.internal")) == ["10.9.0.4"]
    stage.desk = None
    stage.refresh_far()
    assert stage.far.zones == {}
    assert stage.answer("robert.berlin.peers.internal").code == "NXDOMAIN"


def test_an_address_of_another_site_has_a_name_there(stage):
    assert stage.reverse("10.9.0.2") == ("NOERROR", ["bert.berlin.peers.internal"])
    assert stage.reverse("10.9.0.2", "A") == ("NOERROR", [])
    assert stage.reverse("10.9.0.3") == ("REFUSED", [])
    other = f"id8 {boot(2 << 60)}"
    stage.up(other, text_of("bert", "10.9.0.3"))
    assert stage.reverse("10.9.0.3") == ("NOERROR", ["bert-2000.berlin.peers.internal"])
    stage.berlin.gone(BERT, "left")
    stage.world.run(1)
    assert stage.reverse("10.9.0.2") == ("REFUSED", [])


def test_an_address_in_two_sites_has_no_name(stage):
    rome = stage.world.place("rome", 1)
    rome.up(f"id9 {boot(9)}", text_of("nina", "10.9.0.2"))
    stage.world.run(10)
    stage.refresh_far()
    assert found(stage.answer("nina.rome.peers.internal")) == ["10.9.0.2"]
    assert stage.reverse("10.9.0.2") == ("REFUSED", [])
    for node in stage.berlin.nodes:
        node.disconnect()
    stage.world.run(20)
    assert stage.desk.node.site("berlin")["state"] == "unreachable"
    assert stage.reverse("10.9.0.2") == ("NOERROR", ["nina.rome.peers.internal"])
    rome.gone(f"id9 {boot(9)}")
    stage.world.run(1)
    assert stage.reverse("10.9.0.2") == ("REFUSED", [])


def test_an_address_of_this_network_is_no_other_sites(stage):
    stage.up(f"id8 {boot(8)}", text_of("ernie", "10.0.0.7"))  # as in the network of a link of this node
    assert found(stage.answer("ernie.berlin.peers.internal")) == ["10.0.0.7"]
    assert stage.reverse("10.0.0.7") == ("REFUSED", [])
    stage.joins(1, "carl", "10.0.0.7")
    assert stage.reverse("10.0.0.7") == ("NOERROR", ["carl.peers.internal"])


def test_an_address_of_a_peer_heard_from_afar_is_no_other_sites(stage):
    said = hello(2, "id2", 1, Record(name="dora"))
    stage.node.table.enter(said, source("10.9.0.2", None), 0.0)
    stage.refresh()
    assert found(stage.answer("dora.peers.internal")) == ["10.9.0.2"]
    assert stage.reverse("10.9.0.2") == ("REFUSED", [])


def test_a_reverse_name_is_kept_while_the_word_of_its_site_holds():
    stage = FarStage(ttl=60.0)
    stage.up(BERT, text_of("bert", "10.9.0.2"))
    [record] = stage.answer("2.0.9.10.in-addr.arpa", "PTR").records
    assert 0 < record.ttl == int(stage.desk.look("berlin", [BERT])[0]["expires_s"])
    stage.desk = None
    assert stage.reverse("10.9.0.2") == ("REFUSED", [])


def test_many_peers_are_named_in_turns(stage):
    for number in range(120):
        stage.berlin.up(f"n{number} {boot(number + 100)}", text_of(f"n{number}", "10.9.1.1"))
    stage.world.run(2)
    assert stage.refresh_far() == 4  # three turns of 50 names, and the end
    assert len(stage.far.zones["berlin"].index.hosts) == 120 + 1 + 2
    assert stage.refresh_far() == 1


def test_an_answer_looks_at_the_peer_as_it_is(stage):
    [row] = stage.desk.look("berlin", [BERT, "nobody " + "0" * 16])
    assert (row["site"], row["state"], peer_from_json(row).name) == ("berlin", "up", "bert")
    assert row["via"] in {node.id for node in stage.berlin.nodes}
    assert stage.desk.look("rome", [BERT]) == []
