"""What one source may have us look at."""

from tests.protocol.samples import boot, hello, make_node, source


def test_one_source_has_only_so_many_datagrams_looked_at():
    node = make_node(source_datagrams=20)
    for _ in range(30):
        node.receive(b"rubbish", source(), 1.0)
    assert dict(node.drops) == {("malformed", "eth0"): 20, ("rate", "eth0"): 10}
    node.receive(b"rubbish", source("10.0.0.8"), 1.0)
    assert node.drops["malformed", "eth0"] == 21
    node.receive(b"rubbish", source(), 2.0)
    assert node.drops["malformed", "eth0"] == 22


def test_steady_hellos_of_a_listed_peer_are_never_too_many():
    node, web1 = make_node(source_datagrams=20), source()
    node.receive(hello(seq=1).encode(), web1, 1.0)
    for _ in range(100):
        node.receive(b"rubbish", web1, 1.0)  # somebody speaks in its name
    for beat in range(2, 40):
        node.receive(hello(seq=beat, full=False).encode(), web1, 1.0)
    assert node.received["hello"] == 39
    assert node.drops["rate", "eth0"] == 100 - 19
    assert node.table.get(boot(1)).state == "up"


def test_another_limit_holds_at_once():
    node = make_node(source_datagrams=10)
    wider = make_node(source_datagrams=1000).parameters
    node.set_parameters(wider, 1.0)
    for _ in range(100):
        node.receive(b"rubbish", source(), 1.0)
    assert node.drops["rate", "eth0"] == 0
