"""Seeds with names and ports: the engine greets the addresses that its driver tells."""

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.seeds import MAX_OF_NAME, Seeds
from discoveryd.query.seed_status import SeedState, seed_status
from tests.protocol.engine import fresh, run
from tests.protocol.samples import ETH0, hello, make_node

NAMED = Parameters(seeds=("hub.example.org:3401", "192.0.2.9"))


def greeted(sends):
    return {(send.to, send.port) for send in sends if send.link is None}


def test_addresses_of_a_name_are_greeted_once_they_are_known():
    node = fresh(ETH0, parameters=NAMED)
    assert greeted(node.poll(0.0).sends) == {("192.0.2.9", 0)}
    node.resolve_seed("hub.example.org", ("192.0.2.1", "192.0.2.2"), 0.5)
    sends = node.poll(0.5).sends
    assert greeted(sends) == {("192.0.2.1", 3401), ("192.0.2.2", 3401), ("192.0.2.9", 0)}
    assert all(b"|s|" in send.datagram for send in sends)  # it solicits, as after a start


def test_former_addresses_of_a_name_are_greeted_no_more():
    node = fresh(parameters=NAMED)
    node.resolve_seed("hub.example.org", ("192.0.2.1",), 0.0)
    node.resolve_seed("hub.example.org", ("192.0.2.2",), 0.5)
    assert {send.to for _, send in run(node, 0.5, 5.0)} == {"192.0.2.2", "192.0.2.9"}
    assert {send.to for send in node.goodbye().sends} == {"192.0.2.2", "192.0.2.9"}
    node.resolve_seed("elsewhere", ("192.0.2.3",), 5.0)  # the answer of a name that is no seed any more
    assert node.outbox.routed.targets == ("192.0.2.2", "192.0.2.9")


def test_what_a_name_stands_for_outlives_a_reload():
    node = fresh(parameters=NAMED)
    node.resolve_seed("hub.example.org", ("192.0.2.1",), 0.0)
    node.set_parameters(Parameters(seeds=("hub.example.org",)), 1.0)
    assert greeted(node.poll(1.0).sends) == {("192.0.2.1", 0)}
    node.set_parameters(Parameters(), 2.0)
    assert greeted(node.poll(2.0).sends) == set()
    node.set_parameters(NAMED, 3.0)
    assert greeted(node.poll(3.0).sends) == {("192.0.2.9", 0)}


def test_answers_go_to_the_port_of_a_seed():
    node = fresh(parameters=Parameters(seeds=("192.0.2.9:3401",)))
    node.poll(0.0)
    outcome = node.receive(hello(solicit=True).encode(), Source("192.0.2.9", None, port_fits=False), 0.1)
    assert greeted(outcome.sends) == {("192.0.2.9", 3401)}


def test_a_seed_that_is_this_node_is_left_out():
    node = make_node(parameters=Parameters(seeds=("10.0.0.1", "192.0.2.9")))
    assert (ETH0.address, greeted(node.poll(0.0).sends)) == ("10.0.0.1", {("192.0.2.9", 0)})
    assert {send.to for send in (*node.goodbye().sends, *node.will())} == {"192.0.2.9", ETH0.broadcast}
    node.set_links([Link("eth0", 2, "192.0.2.9", 24, "192.0.2.255")], 1.0)
    sends = node.poll(1.0).sends
    assert greeted(sends) == {("10.0.0.1", 0)}  # it is that of another node by now


def test_addresses_of_one_name_are_bounded():
    seeds = Seeds(["hub"])
    seeds.resolve("hub", [f"192.0.2.{number}" for number in range(100)])
    assert list(seeds.addresses) == [f"192.0.2.{number}" for number in range(MAX_OF_NAME)]


def test_of_two_seeds_at_one_address_the_first_counts():
    seeds = Seeds(["hub:3401", "192.0.2.1"])
    seeds.resolve("hub", ["192.0.2.1"])
    assert seeds.addresses == {"192.0.2.1": 3401}


def test_the_state_of_each_seed_is_told():
    texts = ("answering.example", "192.0.2.9", "me", "new", "lost", "10.0.0.1")
    node = make_node(parameters=Parameters(seeds=texts))
    for host, address in (("answering.example", "192.0.2.1"), ("me", "10.0.0.1"), ("lost", "192.0.2.8")):
        node.resolve_seed(host, (address,), 0.0)
    node.receive(hello().encode(), Source("192.0.2.1", None), 1.0)
    states = {"lost": SeedState((), "EAI_AGAIN: no", False, 9.0), "answering.example": SeedState((), "", False, 31.0)}
    told = seed_status(node, states, 1.5)
    assert [one["seed"] for one in told] == list(texts)
    assert [one["state"] for one in told] == ["answers", "silent", "here", "resolving", "silent", "here"]
    assert told[0]["addresses"] == [{"address": "192.0.2.1", "heard_s": 0.5}]
    assert (told[4]["error"], told[4]["next_try_s"]) == ("EAI_AGAIN: no", 7.5)
    node.set_parameters(Parameters(seeds=("gone",)), 2.0)
    assert seed_status(node, {"gone": SeedState((), "EAI_NONAME: no", False, 9.0)}, 2.0)[0]["state"] == "unresolved"
